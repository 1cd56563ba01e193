"""A release, really built from a tagged checkout, and its wheel installed with pipx without a network."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.test_version import git

ROOT = Path(__file__).parent.parent
CHANGELOG = """# Changelog

## [Unreleased]

### Added

- What comes.

## [0.7.0] - 2026-11-30

### Fixed

- What was wrong.

## [0.6.0] - 2026-11-01

- Older.
"""
SBOM = importlib.util.find_spec("cyclonedx_py") is not None  # requirements/release.txt, for make release alone


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of this tree as a separate repository, with a changelog of the test, at the tag v0.7.0."""
    place = tmp_path_factory.mktemp("release") / "checkout"
    for part in ("src", "tools", "requirements"):
        shutil.copytree(ROOT / part, place / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("pyproject.toml", "README.md", "LICENSE", ".gitignore", ".gitattributes", ".git_archival.txt"):
        shutil.copy(ROOT / part, place)
    (place / "CHANGELOG.md").write_text(CHANGELOG, "utf-8")
    git(place, "init", "--quiet")
    git(place, "add", ".")
    git(place, "commit", "--quiet", "--message", "everything")
    git(place, "tag", "v0.7.0")
    return place


def release(place: Path, dist: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs `python -m tools.release` of a checkout; if the SBOM tool is missing, a substitute writes an empty list."""
    environ = dict(os.environ)
    if not SBOM:
        stand_in = dist.parent / "stand-in/cyclonedx_py"
        stand_in.mkdir(parents=True, exist_ok=True)
        empty = '{"metadata": {"component": {"bom-ref": "root"}}, "components": []}'
        (stand_in / "__main__.py").write_text(f"print('{empty}')\n", "ascii")
        environ["PYTHONPATH"] = str(stand_in.parent)
    command = [sys.executable, "-m", "tools.release", "--dist", str(dist), *options]
    return subprocess.run(command, cwd=place, env=environ, capture_output=True, text=True, check=False)


def test_a_tagged_commit_is_built(checkout: Path, tmp_path: Path) -> None:
    """sdist, wheel, SBOM, the notes from its section of the changelog, and the checksums of all of them."""
    dist = tmp_path / "dist"
    done = release(checkout, dist)
    assert done.returncode == 0, done.stderr
    name = "hk_tick_collector-0.7.0"
    made = {"NOTES.md", "SHA256SUMS", "hk-tick-collector-0.7.0.cdx.json", f"{name}.tar.gz", f"{name}-py3-none-any.whl"}
    assert {path.name for path in dist.iterdir()} == made
    assert (dist / "NOTES.md").read_text("utf-8") == "### Fixed\n\n- What was wrong.\n"
    for line in (dist / "SHA256SUMS").read_text("ascii").splitlines():
        wanted, _, file = line.partition("  ")
        assert hashlib.sha256((dist / file).read_bytes()).hexdigest() == wanted
        made.remove(file)
    assert made == {"SHA256SUMS"}
    bill = json.loads((dist / "hk-tick-collector-0.7.0.cdx.json").read_text("utf-8"))
    assert bill["metadata"]["component"]["version"] == "0.7.0"
    with zipfile.ZipFile(dist / f"{name}-py3-none-any.whl") as wheel:
        packed = {info for info in wheel.namelist() if info.endswith(".py")}
    there = {str(path.relative_to(checkout / "src")) for path in (checkout / "src").rglob("*.py")}
    assert packed == there


@pytest.mark.skipif(not SBOM, reason="needs requirements/release.txt, which make release installs")
def test_the_sbom_names_every_locked_package(checkout: Path, tmp_path: Path) -> None:
    """Each with its version, and our package depends on all of them."""
    assert release(checkout, tmp_path / "dist").returncode == 0
    bill = json.loads((tmp_path / "dist/hk-tick-collector-0.7.0.cdx.json").read_text("utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    locked = {line.split()[0] for line in (checkout / "requirements/runtime.txt").read_text("utf-8").splitlines()}
    locked = {each for each in locked if "==" in each}
    assert {f"{part['name']}=={part['version']}" for part in bill["components"]} == locked
    ours = next(each for each in bill["dependencies"] if each["ref"] == bill["metadata"]["component"]["bom-ref"])
    assert len(ours["dependsOn"]) == len(bill["components"])


def test_the_same_commit_gives_the_same_files(checkout: Path, tmp_path: Path) -> None:
    """Anyone who builds it can compare the checksums."""
    assert release(checkout, tmp_path / "one").returncode == 0
    assert release(checkout, tmp_path / "two").returncode == 0
    assert (tmp_path / "one/SHA256SUMS").read_text("ascii") == (tmp_path / "two/SHA256SUMS").read_text("ascii")


def test_what_is_not_tagged_is_not_released(checkout: Path, tmp_path: Path) -> None:
    """The message has the command that tags it; a draft has the notes of the next version."""
    place = tmp_path / "checkout"
    shutil.copytree(checkout, place)
    git(place, "commit", "--quiet", "--allow-empty", "--message", "more")
    done = release(place, tmp_path / "dist")
    assert done.returncode == 1
    assert "git tag --annotate v" in done.stderr
    assert not (tmp_path / "dist").exists()
    assert release(place, tmp_path / "dist", "--draft").returncode == 0
    assert (tmp_path / "dist/NOTES.md").read_text("utf-8") == "### Added\n\n- What comes.\n"


def test_a_release_needs_its_notes(checkout: Path, tmp_path: Path) -> None:
    """A tag without a section in CHANGELOG.md builds nothing."""
    place = tmp_path / "checkout"
    shutil.copytree(checkout, place)
    git(place, "tag", "--delete", "v0.7.0")
    git(place, "tag", "v0.8.0")
    done = release(place, tmp_path / "dist")
    assert (done.returncode, done.stderr.partition(" - ")[0]) == (
        1,
        "make release: CHANGELOG.md has no section '## [0.8.0]",
    )
    assert not (tmp_path / "dist").exists()


def test_the_wheel_is_installed_with_pipx_and_no_network(checkout: Path, tmp_path: Path) -> None:
    """From the wheelhouse alone: pip gets no index and cannot reach one. Then it prints its version and its help."""
    dist, wheelhouse = tmp_path / "dist", tmp_path / "wheelhouse"
    assert release(checkout, dist).returncode == 0
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    fetch = ["download", "--require-hashes", "--only-binary", ":all:", "--dest", str(wheelhouse)]
    locks = ["-r", "requirements/runtime.txt", "-r", "requirements/pipx.txt"]  # as make wheelhouse
    subprocess.run([*pip, *fetch, *locks], cwd=ROOT, check=True, timeout=600)
    (wheel,) = dist.glob("*.whl")
    nowhere = "http://127.0.0.1:9"  # no machine's proxy leads out of here
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "PIPX_HOME": str(tmp_path / "pipx"),
        "PIPX_BIN_DIR": str(tmp_path / "bin"),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_NO_COMPILE": "1",  # half of its time; each module compiles at its first import as well
        "PIP_FIND_LINKS": str(wheelhouse),
        "http_proxy": nowhere,
        "https_proxy": nowhere,
    }
    pipx = [sys.executable, "-m", "pipx", "install", "--python", sys.executable, str(wheel)]
    done = subprocess.run(pipx, env=environ, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    program = tmp_path / "bin/hk-tick-collector"
    said = subprocess.run([program, "--version"], env=environ, capture_output=True, text=True, check=True)
    assert said.stdout == "hk-tick-collector 0.7.0\n"
    helped = subprocess.run([program, "run", "--help"], env=environ, capture_output=True, text=True, check=True)
    assert "FUTU_SYMBOLS" in helped.stdout
