"""The parts of deploy/install.sh that do not change a host: usage, refusals, and the output of a dry run.

The rest, installing, upgrading, rolling back and uninstalling for real, needs a booted systemd.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
NOBODY = 65534


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that every user may read, with a copy of what an installation needs."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        for part in ("deploy", "src", "requirements", "tools"):
            shutil.copytree(ROOT / part, directory / "checkout" / part)
        for part in ("pyproject.toml", "README.md", "LICENSE", ".env.example"):
            shutil.copy(ROOT / part, directory / "checkout")
        (directory / "wheelhouse").mkdir()
        (directory / "wheelhouse" / "some-1-py3-none-any.whl").touch()
        yield directory


class Installer:
    """Runs a checkout's installer as an unprivileged user, whoever runs the tests."""

    def __init__(self, checkout: Path) -> None:
        self.checkout = checkout

    def __call__(self, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
        nobody = NOBODY if os.getuid() == 0 else None
        return subprocess.run(
            ["bash", str(self.checkout / "deploy" / "install.sh"), *args],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": os.environ["PATH"], **environ},
            cwd="/",
            user=nobody,
            group=nobody,
            extra_groups=None if nobody is None else [],
        )


@pytest.fixture
def install(place: Path) -> Installer:
    """The installer of a checkout."""
    return Installer(place / "checkout")


@pytest.mark.parametrize("script", sorted(ROOT.glob("deploy/**/*.sh")), ids=lambda path: path.name)
def test_scripts_are_read_by_their_shell(script: Path) -> None:
    """No syntax error is hidden in a branch that rarely runs."""
    shell = script.read_text("utf-8").splitlines()[0].rpartition("/")[2].split()[-1]
    subprocess.run([shell, "-n", str(script)], check=True)


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--update"], "unknown argument '--update'"),
        (["now"], "unknown argument 'now'"),
        (["--wheelhouse"], "--wheelhouse needs a directory"),
        (["--lang"], "--lang needs en or zh-Hant"),
        (["--lang", "zh"], "--lang 'zh' is neither en nor zh-Hant"),
        (["--uninstall", "--lang=en"], "--uninstall needs no --lang"),
        (["--extras"], "--extras needs data, lake, stream, web or none"),
        (["--extras=all"], "--extras 'all' is none of data, lake, stream, web, none"),
        (["--role"], "--role needs collector, merge or nats"),
        (["--role", ""], "--role needs collector, merge or nats"),
        (["--role="], "--role needs collector, merge or nats"),
        (["--extras", "", "--dry-run"], "--extras needs data, lake, stream, web or none"),
        (["--lang="], "--lang needs en or zh-Hant"),
        (["--wheelhouse", ""], "--wheelhouse needs a directory"),
        (["--role=collector,publish"], "--role 'publish' is none of collector, merge, nats"),
        (["--uninstall", "--role", "nats"], "--uninstall needs no --role"),
        (["--extras=data,none"], "--extras 'data,none': none stands alone"),
        (["--uninstall", "--extras", "data"], "--uninstall needs no --extras"),
        (["--wheelhouse", "/nowhere"], "'/nowhere' has no *.whl"),
        (["--upgrade", "--uninstall"], "--uninstall and --upgrade exclude each other"),
    ],
)
def test_wrong_arguments_end_with_one_line(install: Installer, args: list[str], named: str) -> None:
    """Exit code 2, the error and a reference to --help."""
    done = install(*args)
    assert done.returncode == 2
    assert named in done.stderr
    assert done.stderr.count("\n") == 1
    assert "--help" in done.stderr
    assert not done.stdout


def test_uninstall_takes_no_wheelhouse(install: Installer, place: Path) -> None:
    """A useless argument is an error."""
    done = install("--uninstall", "--wheelhouse", str(place / "wheelhouse"))
    assert done.returncode == 2
    assert "--uninstall needs no --wheelhouse" in done.stderr


def test_help_names_every_option(install: Installer) -> None:
    """It also has an example."""
    done = install("--help")
    assert done.returncode == 0
    for word in (
        "--upgrade",
        "--uninstall",
        "--wheelhouse DIR",
        "--extras EXTRAS",
        "--role ROLES",
        "--lang LANG",
        "--dry-run",
        "Example: sudo bash deploy/install.sh",
    ):
        assert word in done.stdout


@pytest.mark.parametrize("args", [[], ["--upgrade"], ["--uninstall"]])
def test_without_permissions_it_ends_with_one_line(install: Installer, args: list[str]) -> None:
    """Before anything is done, with the command to type."""
    done = install(*args)
    assert done.returncode == 1
    assert done.stderr == "install.sh: this needs root: sudo bash deploy/install.sh\n"
    assert not done.stdout


def test_a_copy_without_sources_says_so(place: Path) -> None:
    """The copy in the installed tree can uninstall; it has nothing to install."""
    shutil.copytree(ROOT / "deploy", place / "installed" / "deploy")
    done = Installer(place / "installed")("--dry-run")
    assert done.returncode == 1
    assert f"{place / 'installed'} has no sources (no src)" in done.stderr


def test_a_dry_run_prints_each_step_and_needs_no_permissions(install: Installer, place: Path) -> None:
    """An unprivileged user can see where it would stop and every change to the host."""
    done = install("--dry-run", "--wheelhouse", str(place / "wheelhouse"))
    assert done.returncode == 0, done.stderr
    assert "would stop here: this needs root" in done.stdout
    assert "dry run: nothing was changed" in done.stdout
    steps = "\n".join(line for line in done.stdout.splitlines() if line.startswith("  would run: "))
    for change in (
        "install -d -o hkcollector -g hkcollector -m 0750 /data/sqlite/HK",
        "/opt/futu_tick_downloader/current",
        "systemctl daemon-reload",
    ):
        assert change in steps


@pytest.mark.parametrize(
    ("args", "locks"),
    [
        ([], ["runtime"]),
        (["--extras", "data"], ["data"]),
        (["--extras=none"], ["runtime"]),
        (["--extras=web,data"], ["data", "web"]),
        (["--role", "collector"], ["runtime"]),
        (["--role=merge"], ["stream"]),
        (["--role=collector,nats", "--extras=stream"], ["stream", "cluster"]),
        (["--role=nats"], ["cluster"]),
    ],
)
def test_extras_have_their_own_lock_file(install: Installer, args: list[str], locks: list[str]) -> None:
    """With hashes like the rest, and as another release, so that an upgrade can go back."""
    done = install("--dry-run", *args)
    assert done.returncode == 0, done.stderr
    assert f"--require-hashes {' '.join(f'-r requirements/{lock}.txt' for lock in locks)}\n" in done.stdout


@pytest.mark.parametrize(
    ("extra", "package"), [("data", "pyarrow"), ("lake", "obstore"), ("stream", "nats-py"), ("web", "starlette")]
)
def test_the_lock_files_of_extras_agree_with_that_of_the_service(extra: str, package: str) -> None:
    """Every package of the service is there in the same version, so that several extras can be installed."""
    locks = [(ROOT / "requirements" / f"{name}.txt").read_text("utf-8") for name in ("runtime", extra)]
    service, more = ({line.split()[0] for line in lock.splitlines() if "==" in line} for lock in locks)
    assert service < more
    assert any(line.startswith(f"{package}==") for line in more)


@pytest.mark.parametrize(
    ("args", "locale", "written"),
    [
        (["--lang", "zh-Hant"], "C", "zh-Hant"),
        (["--lang=en"], "zh_HK.UTF-8", "en"),
        ([], "zh_HK.UTF-8", "zh-Hant"),
        ([], "en_US.UTF-8", ""),
    ],
    ids=["told", "told otherwise", "by the locale", "nothing said"],
)
def test_the_operators_language_is_written_into_new_settings(
    install: Installer, args: list[str], locale: str, written: str
) -> None:
    """--lang decides, otherwise a Chinese locale; it is written into the new file."""
    if Path("/opt/futu_tick_downloader/.env").exists():
        pytest.skip("this host has settings, which are kept")
    done = install("--dry-run", *args, LANG=locale)
    assert done.returncode == 0, done.stderr
    step = f"would run: sed -i s/^#OPERATOR_LANG=.*/OPERATOR_LANG={written}/ /opt/futu_tick_downloader/.env"
    assert (step in done.stdout) == bool(written)
    assert "OPERATOR_LANG" not in done.stdout or written
    assert "#OPERATOR_LANG=" in (ROOT / ".env.example").read_text()


@pytest.mark.parametrize(
    ("roles", "done_for", "not_done"),
    [
        (
            "collector",
            ["enable --quiet --now hk-tick-collector-snapshot.timer"],
            ["hk-nats.conf", "HK-merged", "FUTU_SYMBOLS"],
        ),
        (
            "merge",
            ["-m 0750 /data/sqlite/HK-merged", "MERGE_ROOT=/data/sqlite/HK-merged", "FUTU_SYMBOLS=/#&/"],
            ["--now hk-", "nats.conf"],
        ),
        ("nats", ["useradd --system --gid hk-nats", "/etc/hk-nats/nats.conf"], ["--now hk-", "HK-merged"]),
    ],
)
def test_a_role_does_what_its_host_needs_and_enables_no_service(
    install: Installer, place: Path, roles: str, done_for: list[str], not_done: list[str]
) -> None:
    """Accounts, directories and settings of the role; only a collector gets the timers; nothing else is started."""
    if Path("/opt/futu_tick_downloader/.env").exists():
        pytest.skip("this host has settings, which are kept")
    done = install("--dry-run", "--role", roles, "--wheelhouse", str(place / "wheelhouse"))
    assert done.returncode == 0, done.stderr
    steps = "\n".join(line for line in done.stdout.splitlines() if line.startswith("  would run: "))
    assert [each for each in done_for if each not in steps] == []
    assert [each for each in not_done if each in steps] == []
    for unit in ("hk-nats", "hk-tick-publish", "hk-tick-merge"):
        assert f"deploy/systemd/{unit}.service /etc/systemd/system/{unit}.service.new" in steps
        assert f"enable --quiet --now {unit}" not in steps


def test_a_wheelhouse_of_a_role_has_a_command(place: Path) -> None:
    """What the installer says to run on a host with a network names files that exist."""
    steps = r"""
        set -eu
        functions='/^has_role() /p; /^wheelhouse_extras() {/,/^}/p; /^lock_files() {/,/^}/p'
        eval "$(sed -n "$functions" "$1/deploy/install.sh")"
        EXTRAS=stream ROLES=merge,nats
        wheelhouse_extras; echo; lock_files
    """
    done = subprocess.run(
        ["bash", "-c", steps, "bash", str(place / "checkout")], capture_output=True, text=True, check=True
    )
    said, *locks = done.stdout.splitlines()
    assert said == " EXTRAS=stream,cluster"
    assert [lock for lock in locks if not (ROOT / lock).exists()] == []


@pytest.mark.parametrize("action", ["--upgrade", "--uninstall"])
def test_every_action_has_its_dry_run(install: Installer, action: str) -> None:
    """None of them changes the host."""
    done = install(action, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "dry run: nothing was changed" in done.stdout


def test_a_python_that_is_too_old_is_named(install: Installer, place: Path) -> None:
    """With its version and how to use another."""
    old = place / "python3.9"
    old.write_text('#!/bin/sh\ncase "$*" in *platform*) echo 3.9.2 ;; *) exit 1 ;; esac\n')
    old.chmod(0o755)
    done = install("--dry-run", PYTHON=str(old))
    assert f"Python 3.11 or newer is needed, {old} is 3.9.2" in done.stdout
    assert "PYTHON=/path/to/python3.11" in done.stdout


def test_a_python_that_others_may_change_is_refused(install: Installer, place: Path) -> None:
    """Root would execute it: the message has the directory, its owner and the command."""
    mine = place / "python3.11"
    mine.write_text("#!/bin/sh\nexit 0\n")
    mine.chmod(0o757)
    done = install("--dry-run", PYTHON=str(mine))
    assert f"would stop here: {mine} is " in done.stdout
    assert f"root executes what is in it ({mine}): sudo chown root:root {mine} && sudo chmod go-w {mine}" in done.stdout


def opend(**environ: str) -> subprocess.CompletedProcess[str]:
    """Starts OpenD as futu-opend.service does."""
    return subprocess.run(
        [ROOT / "deploy" / "run-opend.sh"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], **environ},
    )


@pytest.mark.parametrize("program", ["", "/nowhere/FutuOpenD", "/"])
def test_a_missing_opend_is_reported_and_not_started_again(program: str) -> None:
    """Exit code 78, after which the unit does not restart, and one line that names the file to correct."""
    done = opend(OPEND_BIN=program)
    assert done.returncode == 78
    assert f"OPEND_BIN={program} is no program" in done.stderr
    assert "/etc/default/futu-opend" in done.stderr


def test_opend_runs_in_its_own_directory_with_its_arguments(tmp_path: Path) -> None:
    """OpenD looks for its own files there; the arguments are separate words."""
    program = tmp_path / "FutuOpenD"
    program.write_text('#!/bin/sh\npwd\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    done = opend(OPEND_BIN=str(program), OPEND_ARGS="-cfg_file=/a/b.xml -no_monitor=1")
    assert done.stdout.splitlines() == [str(tmp_path), "-cfg_file=/a/b.xml", "-no_monitor=1"]


def test_a_dry_run_assumes_the_packages_that_it_would_install(install: Installer, place: Path) -> None:
    """As on a fresh Debian: python3-venv would be installed, so its module is not reported missing."""
    programs = place / "fresh"
    programs.mkdir()
    (programs / "python3").write_text('#!/bin/sh\ncase "$*" in *ensurepip*) exit 1 ;; *) echo 3.11.2 ;; esac\n')
    (programs / "dpkg-query").write_text("#!/bin/sh\nexit 1\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    done = install("--dry-run", PATH=f"{programs}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    assert "python3-venv" in done.stdout
    assert "has no venv module" not in done.stdout
    assert "has no venv module" in install("--dry-run", PYTHON=str(programs / "python3")).stdout


BESIDE = """
set -Eeuo pipefail
UNIT=hk-tick-collector UNIT_DIR=$1/units HOME_DIR=$1/home RELEASES=$1/home/releases CURRENT=$1/home/current
DATA_DIR=$1/data ENV_FILE=$1/home/.env ACCOUNT=hkcollector DRY_RUN=false JOURNAL=$1/home/.upgrade
say() { printf '%s\\n' "$*"; }
act() { "$@"; }
. "$2/trust.sh"
. "$2/predecessor.sh"
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_the_home_of_the_other_program_gets_its_permissions_back(tmp_path: Path) -> None:
    """Root executes from it, so root owns it while both exist; without a takeover owner and mode are restored."""
    home, units = tmp_path / "home", tmp_path / "units"
    home.mkdir()
    units.mkdir()
    os.chown(home, NOBODY, NOBODY)
    home.chmod(0o775)

    def run(steps: str) -> str:
        command = ["bash", "-c", BESIDE + steps, "bash", str(tmp_path), str(ROOT / "deploy" / "lib")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    beside = "FOREIGN=true; keep_home_owner; install -d -o root -g root -m 0755 $HOME_DIR; keep_home_owner"
    run(beside)
    assert (home.stat().st_uid, home.stat().st_mode & 0o777) == (0, 0o755)
    run(beside)  # an installation that was killed and begun again
    assert "hk-tick-collector.home-before-install" in run("say_what_is_left")
    run("put_back_home")
    assert (home.stat().st_uid, home.stat().st_gid, home.stat().st_mode & 0o777) == (NOBODY, NOBODY, 0o775)
    assert list(units.iterdir()) == []
    for name in ("hk-tick-collector.service.before-uninstall", "hk-tick-collector.service.before-install"):
        (units / name).touch()
    (home / ".venv.before-install").mkdir()
    said = run("say_what_is_left")
    assert f"  {home}/.venv.before-install\n" in said
    assert f"  {units}/hk-tick-collector.service.before-uninstall\n" in said
    assert "docs/operations.en.md" in said


def test_the_links_of_installed_pages_lead_to_installed_files(tmp_path: Path) -> None:
    """A reader on the host can open every page and file that an installed page links to, for example SECURITY.md."""
    steps = r"""
        set -eu
        SOURCE=$1
        eval "$(sed -n '/^readonly PAGES=/p; /^copy_files() {/,/^}/p' "$SOURCE/deploy/install.sh")"
        copy_files "$2"
    """
    subprocess.run(["bash", "-c", steps, "bash", str(ROOT), str(tmp_path)], check=True)
    pages = sorted(tmp_path.rglob("*.md"))
    assert tmp_path / "docs" / "operations.md" in pages
    lost = [
        f"{page.relative_to(tmp_path)}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
        if "://" not in link and not (page.parent / link.partition("#")[0]).exists()
    ]
    assert lost == []
