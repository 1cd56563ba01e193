"""The one-page runbook, word for word and in its order, typed by the person on duty into a terminal of the machine.

The page is the one that operators already have, if it is beside the checkout; otherwise our own docs/runbook.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from . import pages
from .cargo import ROOT, SYMBOLS, edits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .host import Host
    from .reader import Reader
    from .watching import Watch

SEED: Final = "shared/spec/runbook.seed.md"
# As the contract has it: who reads needs no root, the backup is written as root.
AS_ROOT: Final = ("5)", "線上快照")
KEY: Final = "/home/duty/key.pem"


def page() -> Path:
    """The runbook."""
    beside = (parent / SEED for parent in ROOT.parents)
    return next((seed for seed in beside if seed.exists()), ROOT / "docs/runbook.md")


def _active(text: str) -> bool:
    return "Active: active (running)" in text


def _lag(text: str) -> bool:
    lag_s, rows = text.split("|")
    return float(lag_s) < 60 and int(rows) > 0


def _by_symbol(text: str) -> bool:
    rows = [line.split("|") for line in text.splitlines()]
    return sorted(row[0] for row in rows) == list(SYMBOLS) and all(int(row[1]) > 0 for row in rows)


def _both_times(text: str) -> bool:
    return re.fullmatch(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\|\1", text.strip()) is not None  # the machine keeps UTC


# What an answer must show, by words of its command; the first that fits counts.
EXPECTED: Final[tuple[tuple[str, Callable[[str], object]], ...]] = (
    ("is-active", lambda text: text.strip() == "active"),
    ("systemctl status", _active),
    ("db_health_check.sh", lambda text: re.search(r"\bOK\b", text)),
    ("journalctl -u hk-tick-collector -f", lambda text: "health connected=True" in text),
    ("WATCHDOG", lambda text: "health connected=" in text and "persist_summary" in text and "Traceback" not in text),
    ("exited|result|started", lambda text: " INFO started " in text),
    ("tail -n 200", lambda text: "persist_loop_heartbeat" in text and len(text.splitlines()) > 20),
    ("lag_sec", _lag),
    ("GROUP BY symbol", _by_symbol),
    ("COUNT(*), MAX(ts_ms)", lambda text: re.fullmatch(r"\d+\|\d{13}", text.strip())),
    ("ts_utc", _both_times),
    ("nc -vz", lambda text: "succeeded" in text),
    ("lslocks", lambda _: True),
    ("lsof", lambda _: True),
    ("fuser", lambda _: True),
    # and what our own page has beside them
    ("hk-tick-collector status", lambda text: re.match(r"(OK|WARNING)\b", text)),
    ("hk-tick-collector doctor", lambda text: "OpenD" in text and "FAILURE" not in text),
    ("hk-tick-collector logs --explain", lambda text: "do:" in text),
    ("hk-tick-collector logs", lambda text: "health connected=True" in text),
    ("hk-tick-collector gaps", lambda text: " gap" in text),
    ("hk-tick-collector config --check", lambda text: text.startswith("OK: ")),
    ("hk-tick-collector config", lambda text: "FUTU_SYMBOLS" in text),
    ("hk-tick-collector snapshot", lambda text: "SHA-256" in text),
    ("journalctl -u futu-opend", lambda text: "run-opend.sh" in text),
    ("df -h", lambda text: "Use%" in text),
    ("findmnt", lambda text: "TARGET" in text),
    ("ls -ld", lambda text: "hkcollector hkcollector" in text),
    ("", lambda text: not text.strip()),  # a variable, an edit, start and stop: silence is the answer
)


def test_every_command_of_the_page(machine: Host, reader: Reader, watch: Watch) -> None:
    """In its order, in one terminal, each with its exit code 0 and the answer that the page promises."""
    blocks = pages.blocks(page().read_text("utf-8"), inline=True)
    assert sum(len(block.commands) for block in blocks) > 30
    edits(machine, "")
    machine.run(f"touch {KEY}", who="duty")
    for block in blocks:
        print(f"\n=== {page().name}:{block.line} {block.title}")
        root = block.root or block.title.startswith(AS_ROOT)
        for command in block.commands:
            text = reader.paste(
                _here(command),
                who="root" if root else "duty",
                codes=block.codes,
                until="health connected=True",
            )
            expected = next(check for words, check in EXPECTED if words in command)
            assert expected(text), f"{page().name}:{block.line}: {command!r} answered:\n{text}"
            if re.search(r"systemctl (start|restart|enable)", command):
                watch.collecting()
    machine.run("rm -f /data/sqlite/HK/*.snapshot.db")  # it is fetched; `report` takes a copy by hand for a damaged one


def _here(command: str) -> str:
    """A command for another computer, as far as this machine takes part: the file can be copied."""
    fetched = re.sub(r"^scp .*@\w+:(\S+) \./$", r"cp \1 /tmp/ && rm /tmp/${DAY}.snapshot.db", command)
    return fetched.replace("<your-key>.pem", KEY)


def test_the_backup_of_the_page_is_whole(machine: Host, reader: Reader, watch: Watch) -> None:
    """`.backup` made a valid file with the rows of its moment, and the collector continued."""
    before = watch.rows()
    for command in ("DAY=$(TZ=Asia/Hong_Kong date +%Y%m%d)", "DB=/data/sqlite/HK/${DAY}.db", "SNAP=/tmp/${DAY}.db"):
        reader.paste(command, who="root")
    reader.paste("""sqlite3 "$DB" ".backup '${SNAP}'\"""", who="root")
    verdict, rows = reader.paste(
        'sqlite3 "$SNAP" "PRAGMA integrity_check; SELECT COUNT(*) FROM ticks;"', who="root"
    ).split()
    assert verdict == "ok"
    assert int(rows) >= before
    watch.grows()
    assert "sqlite_busy_backoff" not in machine.quietly("journalctl -u hk-tick-collector --since=-1min -o cat").text


def test_a_unit_changed_by_hand(machine: Host, reader: Reader, watch: Watch) -> None:
    """Section 3: the edit, daemon-reload, restart; the change is in force."""
    edits(machine, "s/^RestartSec=.*/RestartSec=4/\n")
    for command in ("vim /etc/systemd/system/hk-tick-collector.service", "systemctl daemon-reload"):
        reader.paste(f"sudo {command}")
    reader.paste("sudo systemctl restart hk-tick-collector")
    assert watch.show("RestartUSec") == "4s"
    edits(machine, "s/^RestartSec=.*/RestartSec=5/\n")
    reader.paste("sudo vim /etc/systemd/system/hk-tick-collector.service && sudo systemctl daemon-reload")
    watch.collecting()


def test_a_setting_changed_by_hand(machine: Host, reader: Reader, watch: Watch) -> None:
    """Section 3: the edit of .env and the restart; `config` shows the new value and where it came from."""
    edits(machine, "$ a MAX_WAIT_MS=300\n")
    reader.paste("sudo vim /opt/futu_tick_downloader/.env")
    reader.paste("sudo systemctl restart hk-tick-collector")
    assert re.search(r"MAX_WAIT_MS\s.*300", reader.paste("hk-tick-collector config"))
    edits(machine, "/^MAX_WAIT_MS=300/d\n")
    reader.paste("sudo vim /opt/futu_tick_downloader/.env && sudo systemctl restart hk-tick-collector")
    watch.collecting()
