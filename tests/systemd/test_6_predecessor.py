"""A predecessor's host is taken over in mid-session: nothing lost, no new login, every verb reads all its days."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from . import cargo, predecessor
from .host import Host
from .predecessor import ACCOUNT, DATA, DEVICE, EARLIER, HOME, OPEND, ROWS
from .reader import Reader
from .tree import fresh_tree
from .watching import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

_INSTALL: Final = f"cd {cargo.CHECKOUT} && sudo bash deploy/install.sh --wheelhouse {cargo.WHEELHOUSE}"
_VICTIM: Final = "/etc/victim"
_PWNED: Final = "/etc/pwned"
_COUNT: Final = "SELECT count(*) FROM ticks"
_VERBS: Final = ("ticks --day {} --format csv", "gaps --day {}", "snapshot --day {} --to /tmp")


@pytest.fixture(scope="module")
def old_host() -> Iterator[Host]:
    """A machine on which the predecessor collects, with files of three days, and traps for an installer."""
    with fresh_tree("old") as tree:
        host = Host(tree)
        try:
            predecessor.bring(host)
            host.boot()
            host.run(f"chown -R duty:duty {cargo.CHECKOUT} {cargo.WHEELHOUSE}")
            predecessor.start(host)
            _traps(host)
            yield host
        finally:
            host.close()


@pytest.fixture(scope="module")
def installed_beside(old_host: Host) -> str:
    """The installer's output while the predecessor runs: killed before every fourth step, and run again."""
    _predecessor_stores(old_host)
    said, step = "", 1
    while (answer := cargo.killed_at(old_host, _INSTALL.replace("sudo ", ""), step, "install_first")).code != 0:
        assert answer.code == 137, answer
        said += answer.text
        step += cargo.STRIDE
    assert step > 10
    said += answer.text
    old_host.run("sudo usermod -aG hkcollector,systemd-journal duty", who="duty")
    return said


@pytest.fixture(scope="module")
def taken_over(old_host: Host, installed_beside: str) -> Watch:
    """The state after the commands that the installer printed."""
    commands = cargo.next_commands(installed_beside)
    reader, watch = Reader(old_host), Watch(old_host)
    reader.paste(commands[0])
    reader.paste(commands[1])
    watch.collecting()
    reader.paste(commands[2], codes=(0, 1))
    return watch


def test_the_predecessor_collects_until_it_is_restarted(old_host: Host, installed_beside: str) -> None:
    """The same process, with its own files: the installation beside it does not affect it."""
    assert "another program runs as hk-tick-collector" in installed_beside
    assert "stopped at" not in installed_beside
    before = old_host.run(f"readlink -f {HOME}/.venv/bin/python && stat -c %U {DATA}")
    assert before == f"/usr/bin/python3.11\n{ACCOUNT}\n"
    assert Watch(old_host).show("NRestarts") == "0"
    assert old_host.run(f"stat -c '%U:%G %a' {HOME}/.env") == f"{ACCOUNT}:{ACCOUNT} 600\n"
    _predecessor_stores(old_host)


def test_until_the_restart_only_the_restart_is_advised(old_host: Host, installed_beside: str) -> None:
    """Nothing that takes the data away from the program that collects: no chown, no import, no start."""
    for who in ("root", "duty"):  # duty may not read the predecessor's settings
        said = old_host.ask("hk-tick-collector status", who=who)
        assert said.code == 1, said
        line = next(line for line in said.text.splitlines() if not line.startswith("warning: "))  # of its settings
        assert line.startswith("WARNING: another program runs as hk-tick-collector, pid ")
        assert line.endswith("the restart takes over -> sudo systemctl restart hk-tick-collector")
        assert "chown" not in said.text
        assert f"import {DATA}" not in said.text
    doctor = old_host.run("hk-tick-collector doctor", codes=(0, 1, 2))
    assert "takeover" in doctor
    assert "chown" not in doctor
    assert f"import {DATA}" not in doctor


def test_root_uses_no_file_that_was_there_before(old_host: Host, installed_beside: str) -> None:
    """Directories are root's now, a planted version was not run, a link in a directory for all was not followed."""
    assert f"{HOME} was {ACCOUNT}:{ACCOUNT}, mode 775: it is given to root" in installed_beside
    owners = old_host.run(f"stat -c '%U:%G %a' {HOME} {HOME}/releases {HOME}/current/")
    assert owners == "root:root 755\n" * 3
    assert old_host.run(f"cat {_VICTIM}") == "precious\n"
    assert old_host.ask(f"ls {_PWNED}").code != 0
    assert old_host.run(f"find {HOME}/current/ ! -uid 0") == ""


def test_opend_is_found_and_its_login_is_kept(old_host: Host, installed_beside: str) -> None:
    """Its unit, program and device file are named by the installer and by `doctor`; OpenD is never restarted."""
    assert f"it runs {OPEND}/FutuOpenD as futu" in installed_beside
    assert f"the login's device file is {DEVICE}" in installed_beside
    doctor = old_host.run("hk-tick-collector doctor", codes=(0, 1, 2))
    assert f"{OPEND}/FutuOpenD runs as futu, the login's device file is {DEVICE}" in doctor
    assert Watch(old_host).show("NRestarts", "futu-opend") == "0"


def test_its_settings_are_reported_before_the_restart(old_host: Host, installed_beside: str) -> None:
    """Before the restart: each setting that is not ours with what became of it, and nothing that stops the start."""
    assert "does not start" not in installed_beside
    said = old_host.run("sudo hk-tick-collector config", who="duty")
    for name in ("FUTU_POLL_ENABLED", "BATCH_SIZE", "MAX_QUEUE_SIZE", "SQLITE_JOURNAL_MODE", "HEALTH_INTERVAL_SEC"):
        assert name in said
    assert "tgram://" in said


def test_it_is_taken_over_during_trading(old_host: Host, taken_over: Watch) -> None:
    """The data and the program change hands with the restart; what was prepared for it is gone."""
    opend = taken_over.show("ExecMainStartTimestampMonotonic", "futu-opend")
    assert taken_over.live()["subscribed"] == len(cargo.SYMBOLS)
    assert taken_over.show("NRestarts") == "0"
    assert taken_over.show("NeedDaemonReload") == "no"
    assert old_host.run(f"stat -c '%U:%G %a' {DATA}") == "hkcollector:hkcollector 750\n"
    assert old_host.run(f"find {DATA} ! -user hkcollector") == ""
    assert old_host.run(f"stat -c '%U:%G %a' {HOME}/.env") == "root:hkcollector 640\n"
    assert "releases" in old_host.run(f"readlink -f {HOME}/.venv")
    assert old_host.ask("ls /etc/systemd/system/hk-tick-collector.service.d").code != 0
    assert taken_over.show("ActiveState", "hk-tick-collector-snapshot.timer") == "active"
    assert taken_over.show("ExecMainStartTimestampMonotonic", "futu-opend") == opend
    journal = taken_over.journal()
    assert "Traceback" not in journal, journal[journal.index("Traceback") - 500 :][:4000]


def test_all_its_days_are_readable_by_every_verb(old_host: Host, taken_over: Watch) -> None:
    """Imported with one command, rows without a sequence are counted; the old files are kept."""
    said = old_host.run(f"sudo hk-tick-collector import {DATA}", who="duty")
    today = old_host.run("TZ=Asia/Hong_Kong date +%Y%m%d").strip()
    for day in (*EARLIER, today):
        for verb in _VERBS:
            answer = old_host.ask(f"hk-tick-collector {verb.format(day)}", who="duty")
            assert answer.code in (0, 1), answer
            assert "Traceback" not in answer.text
    for day in EARLIER:
        assert day in said
        ticks = old_host.run(f"hk-tick-collector ticks --day {day} --format csv 2>/dev/null | wc -l", who="duty")
        assert int(ticks) in (ROWS, ROWS + 1)  # with or without a heading
    kept = old_host.run(f"ls {DATA}")
    assert len(re.findall(r"\.db\.predecessor-\w+$", kept, re.MULTILINE)) == 3
    assert old_host.run(f"find {DATA} ! -user hkcollector") == ""
    for verb in ("status", "report", "sudo hk-tick-collector doctor"):
        answer = old_host.ask(verb if verb.startswith("sudo") else f"hk-tick-collector {verb}", who="duty")
        assert answer.code in (0, 1), answer
    taken_over.collecting()


def test_nothing_is_lost(old_host: Host, taken_over: Watch) -> None:
    """The exchange's truth from the predecessor's first tick of today on, against today's file."""
    old_host.run("systemctl stop futu-opend", cap_s=60)
    taken_over.named(r"no connection to OpenD", 1)
    old_host.run("systemctl stop hk-tick-collector")
    old_host.run(f"cp {predecessor.TRUTH} /tmp/truth && chmod 0644 /tmp/truth")
    verdict = old_host.run("hk-tick-collector verify --truth /tmp/truth", who="duty")
    sql = "SELECT count(*) FROM gaps WHERE status = 'open'"
    db = f"{DATA}/$(TZ=Asia/Hong_Kong date +%Y%m%d).db"
    assert old_host.run(f'sqlite3 -readonly {db} "{sql}"') == "0\n", verdict
    old_host.run("systemctl start futu-opend hk-tick-collector")
    taken_over.collecting()


def test_repeating_and_removing_the_installation_leaves_opend_running(old_host: Host, taken_over: Watch) -> None:
    """The unit of OpenD was not ours: it stays, and runs on."""
    assert "stopped at" not in old_host.run(_INSTALL, who="duty", cap_s=400)
    opend = taken_over.pid("futu-opend")
    old_host.run(f"cd {cargo.CHECKOUT} && sudo bash deploy/install.sh --uninstall", who="duty")
    assert taken_over.pid("futu-opend") == opend


def test_an_opend_without_a_unit_is_run_as_it_was(old_host: Host, taken_over: Watch) -> None:
    """Our unit gets its program, account and home with the device file: it starts without an SMS code."""
    old_host.run("systemctl disable --now futu-opend && mv /etc/systemd/system/futu-opend.service /root")
    said = old_host.run(_INSTALL, who="duty", cap_s=400)
    assert f"found {OPEND}/FutuOpenD" in said
    assert f"the login's device file is {DEVICE}" in said
    old_host.run("sudo systemctl enable --now futu-opend hk-tick-collector", who="duty")
    taken_over.collecting()
    assert taken_over.show("User", "futu-opend") == "futu"
    assert "run-opend.sh" in taken_over.show("ExecStart", "futu-opend")
    doctor = old_host.run("hk-tick-collector doctor", codes=(0, 1))
    assert f"{OPEND}/FutuOpenD runs as futu, the login's device file is {DEVICE}" in doctor


def test_the_commands_of_the_page_restore_the_predecessor(old_host: Host, taken_over: Watch) -> None:
    """Uninstalled, then the block of the page word for word: its unit, account and files collect again."""
    old_host.run(f"cd {cargo.CHECKOUT} && sudo bash deploy/install.sh --uninstall", who="duty")
    old_host.run("mv /root/futu-opend.service /etc/systemd/system && systemctl daemon-reload")
    old_host.run("systemctl enable --now futu-opend")
    old_host.run(f"bash -e <<'PAGE'\n{_way_back()}PAGE")
    assert taken_over.show("User") == ACCOUNT
    assert old_host.run(f"find {DATA} {HOME}/.env ! -user {ACCOUNT}") == ""
    _predecessor_stores(old_host)
    for day in EARLIER:
        assert old_host.run(f'sqlite3 -readonly {DATA}/{day}.db "{_COUNT}"') == f"{ROWS + 1}\n"


def _way_back() -> str:
    """The commands of the page; tests/deploy/test_going_back.py has them with other directories."""
    page = (Path(__file__).parent.parent.parent / "docs/operations.md").read_text("utf-8")
    begin = f"cd {DATA}\nmkdir -p ours\n"
    return begin + page.partition(begin)[2].partition("```")[0]


def _traps(host: Host) -> None:
    """What an unprivileged owner of the directory could have prepared against the installer."""
    host.run(f"echo precious > {_VICTIM} && chmod 0600 {_VICTIM}")
    host.run(f"ln -s {_VICTIM} /run/lock/hk-tick-collector-install.lock", who=ACCOUNT)
    dry = host.run(f"cd {cargo.CHECKOUT} && bash deploy/install.sh --dry-run", who="duty")
    release = re.findall(r"into (\S+/releases/\S+)", dry)[0]
    planted = f"mkdir -p {release}/.venv/bin && touch {release}/.whole && printf '#!/bin/sh\\nid > {_PWNED}\\n' >"
    program = f"{release}/.venv/bin/hk-tick-collector"
    host.run(f"{planted} {program} && chmod 755 {program} && ln -s {_VICTIM} {HOME}/install.log", who=ACCOUNT)
    host.run(f"cp -R {release} {HOME}/current.new && ln -s {_VICTIM} {HOME}/.upgrade.new", who=ACCOUNT)


def _predecessor_stores(host: Host) -> None:
    """Until today's file of the predecessor grows."""
    count = f"python3 -c \"import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('{_COUNT}').fetchone()[0])\""
    ask = f"{count} {DATA}/$(TZ=Asia/Hong_Kong date +%Y%m%d).db"
    before = host.quietly(ask, who=ACCOUNT)
    first = int(before.text) if before.code == 0 else -1

    def grows() -> bool:
        now = host.quietly(ask, who=ACCOUNT)
        return now.code == 0 and int(now.text) > max(first, 0)

    try:
        host.wait("the predecessor stores", grows)
    except AssertionError:
        host.ask("systemctl status hk-tick-collector futu-opend --no-pager -l")  # for the log
        host.ask("journalctl -u hk-tick-collector -n 30 --no-pager -o cat")
        raise
