"""Text from OpenD, files and the environment in the output: every verb, every locale, full streams."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from hk_tick_collector.cli._show import json_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import DayFile
    from tests.nursery import Nursery

    from hk_tick_collector.model import TickRow

    Run = Callable[..., subprocess.CompletedProcess[bytes]]

DAY: Final = "20261120"
# Clears the screen, sets the title, rings, moves up, turns the direction of writing, hides, and fakes a second line.
HOSTILE: Final = "訂阅\x1b[2J\x1b]0;title\x07\x9b1A\u202e\u2066\u200b\nOK: collecting, nothing to do\r\x7f<b>&"
ACTS: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
STRANGE: Final = ("ascii", "latin-1", "big5", "big5hkscs")
LOCALES: Final[tuple[dict[str, str], ...]] = (
    *({"PYTHONIOENCODING": name} for name in STRANGE),
    *({"LC_ALL": name} for name in ("C", "POSIX")),
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
)


def live_state(workdir: Path) -> dict[str, Any]:
    """Every text from OpenD or a disk error is hostile."""
    now_ms = 1_795_140_000_000
    return {
        "written_ms": now_ms, "started_ms": now_ms, "pid": 1, "version": HOSTILE, "instance": HOSTILE,
        "state": "stopped", "data_root": str(workdir), "address": HOSTILE, "connected": False, "link_since_ms": now_ms,
        "link_reason": HOSTILE, "program": HOSTILE, "program_detail": HOSTILE, "quote_logged_in": True,
        "market_state": HOSTILE, "trading": False, "trading_since_ms": None, "drift_s": 0.0, "symbols": 3,
        "subscribed": 3, "refused": {HOSTILE: HOSTILE}, "quota_used": 3, "quota_remaining": 97,
        "trouble": {HOSTILE: HOSTILE}, "connects": 1, "skipped_messages": 0, "received": 9, "stored": 9, "duplicate": 0,
        "rejected": 0, "dropped": 0, "waiting": 0, "max_queue_rows": 100, "persisted_rows_per_min": 0,
        "newest_day": DAY, "link_break_ms": now_ms, "link_break_reason": HOSTILE, "busiest_symbol": HOSTILE,
        "outage_budget_s": 5.0, "held_rows": {HOSTILE: 5}, "held_causes": {HOSTILE: HOSTILE},
    }  # fmt: skip


@pytest.fixture
def place(workdir: Path, make_day: Callable[..., DayFile], tick: Callable[..., TickRow]) -> Path:
    """A directory in which every text from outside is hostile."""
    (workdir / ".env").write_text(f"DATA_ROOT={workdir}\nFUTU_PORT=1\nMETRICS_ADDR=\nDISK_MIN_FREE_MB=1\n")
    (workdir / "status.json").write_text(json.dumps(live_state(workdir)))
    (workdir / "run.log").write_text(
        f"2026-11-20T09:30:20.000+08:00 WARNING symbols_refused reason={HOSTILE.replace(chr(10), ' ')}\n"
        "\x1b[5mmore\x9b\n"
    )
    (workdir / "symbols").write_text(f"HK.00700\n{HOSTILE}\n")
    day = make_day(DAY)
    day.add([(HOSTILE, 1, *tick("x", 1)[2:6], HOSTILE, HOSTILE, HOSTILE, tick("x", 1)[9], tick("x", 1)[10], HOSTILE)])
    for symbol in (HOSTILE, "HK.00005"):
        day.execute(
            "INSERT INTO gaps (symbol, from_seq, to_seq, missing, cause, status, opened_ms)"
            " VALUES (?, 1, 2, 1, ?, 'open', 1)",
            (symbol, HOSTILE),
        )
    day.execute("INSERT OR REPLACE INTO meta VALUES ('software_version', ?)", (HOSTILE,))
    return workdir


@pytest.fixture
def run(workdir: Path) -> Run:
    """Whole starts: a locale, or a stream that is closed, is met by the start of Python."""

    def start(*args: str | bytes, environ: dict[str, str] | None = None, **more: Any) -> Any:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHONIO"))}
        return subprocess.run(
            [sys.executable, "-m", "hk_tick_collector", *args],
            **{"cwd": workdir, "env": {**ours, **(environ or {})}, "stdout": -1, "stderr": -1, **more},
            timeout=300,
            check=False,
        )

    return start


# The arguments, and how many lines are at most said.
VERBS: Final = (
    ("status",),
    ("top",),
    ("doctor",),
    ("report",),
    ("config",),
    ("ticks", "--day", DAY),
    ("ticks", "--day", DAY, "--format", "csv"),
    ("ticks", "--day", DAY, "--format", "jsonl"),
    ("ticks", HOSTILE),
    ("ticks", "--day", HOSTILE),
    ("ticks", "--limit", HOSTILE),
    ("gaps", "--day", DAY),
    ("quality", "--day", DAY),
    ("quality",),
    ("quality", "--symbols", HOSTILE),
    ("quality", "--html", "/dev/null/" + HOSTILE),
    ("snapshot", "--day", DAY, "--to", HOSTILE.replace("\n", " ")),
    ("logs", "run.log"),
    ("logs", "--all", "run.log"),
    ("logs", "--explain", HOSTILE),
    ("logs", HOSTILE),
    ("logs", "--level", HOSTILE),
    ("verify", "--truth", HOSTILE),
    ("run", "--env-file", HOSTILE),
    ("simulate", "--scenario", HOSTILE),
    ("demo", "--data", "/dev/null/" + HOSTILE),
    (HOSTILE,),
    ("help", HOSTILE),
)
JSON: Final = [
    (verb, *more, "--json")
    for verb, *more in (
        ("status",), ("top",), ("doctor",), ("report",), ("config",), ("ticks", "--day", DAY), ("gaps", "--day", DAY),
        ("quality", "--day", DAY), ("logs", "run.log"), ("snapshot", "--day", DAY),
    )
]  # fmt: skip


@pytest.mark.parametrize("args", VERBS, ids=lambda args: "-".join(map(ascii, args))[:40])
def test_no_verb_prints_control_characters_from_outside(place: Path, nursery: Nursery, args: tuple[str, ...]) -> None:
    """No control or bidi character and no extra line, neither on stdout nor on stderr."""
    done = nursery.run_bytes([*args], place, {})
    text = (done.stdout + done.stderr).decode()
    assert text.strip()
    assert ACTS.findall(text) == []
    assert not any(line.startswith("OK: collecting") for line in text.splitlines())
    assert "Traceback" not in text


@pytest.mark.parametrize("name", ["FUTU_SYMBOLS", "DATA_ROOT", "FUTU_HOST", "BATCH_ROWS", "INSTANCE_ID", "ALERT_URLS"])
@pytest.mark.parametrize("verb", ["run", "status", "config", "doctor"])
def test_no_setting_prints_control_characters(place: Path, nursery: Nursery, verb: str, name: str) -> None:
    """A value of the environment, valid or not, and a list of symbols from a file."""
    value = "@symbols" if name == "FUTU_SYMBOLS" else HOSTILE
    settings = {"FUTU_SYMBOLS": "HK.00700", "DATA_ROOT": str(place / "none")} if verb == "run" else {}
    done = nursery.run_bytes([verb], place, {**settings, name: value})
    text = (done.stdout + done.stderr).decode()
    assert ACTS.findall(text) == []
    assert "Traceback" not in text


@pytest.mark.parametrize("environ", LOCALES, ids=lambda environ: "-".join(environ.values()))
def test_any_locale_shows_every_word(place: Path, run: Run, environ: dict[str, str]) -> None:
    """A character that a terminal lacks is shown as its code; the exit code is the same."""
    for args, code in ((("status",), 2), (("logs", "run.log"), 0), (("gaps", "--day", DAY), 0), ((HOSTILE,), 2)):
        if HOSTILE in args and environ.get("PYTHONUTF8") == "0":
            continue  # the argument itself has no characters there
        done = run(*args, environ=environ)
        assert done.returncode == code
        assert b"Traceback" not in done.stderr
        assert b"\x1b" not in done.stdout + done.stderr
        encoding = environ.get("PYTHONIOENCODING", "utf-8")
        shown = (done.stdout + done.stderr).decode(encoding)
        assert "阅" in shown or "\\u9605" in shown


@pytest.mark.parametrize("environ", [LOCALES[3], LOCALES[-1]], ids=lambda environ: "-".join(environ.values()))
def test_json_is_json_in_any_locale(place: Path, run: Run, environ: dict[str, str]) -> None:
    """Pure ASCII, so that every reader in any locale gets the same document with the original text."""
    for args in JSON:
        done = run(*args, environ=environ)
        assert done.stdout.isascii(), args
        document = json.loads(done.stdout, parse_constant=pytest.fail)
        assert document
        if args[0] == "gaps":
            assert document["gaps"][-1]["cause"] == HOSTILE


def test_json_follows_its_standard() -> None:
    """What Python would write and other readers refuse: NaN, Infinity, halves of characters."""
    document = {
        "a": float("inf"),
        "b": [float("nan"), 1.5],
        "c": "x\ud800y😀\x7f\u202e",
        "d": b"\xff".decode("utf-8", "surrogateescape"),
    }
    text = json_text(document)
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == {"a": None, "b": [None, 1.5], "c": "x\ufffdy😀\x7f\u202e", "d": "\ufffd"}


@pytest.mark.parametrize("args", [("status",), ("status", "--json"), ("--help",), ("config",), ("logs", "run.log")])
def test_a_full_disk_behind_stdout_is_named(place: Path, run: Run, args: tuple[str, ...]) -> None:
    """Exit code 1 and one line; no traceback, also not from the interpreter's exit."""
    with Path("/dev/full").open("w") as full:
        done = run(*args, stdout=full)
        assert done.returncode == 1
        assert done.stderr.decode() == "hk-tick-collector: No space left on device\n"
        assert run("nonsense", stderr=full).returncode == 2


def test_a_saved_log_is_read_in_any_locale(place: Path, run: Run) -> None:
    """stdin is UTF-8, like the journal; an invalid byte is shown as its code."""
    line = "2026-11-20T09:30:20.000+08:00 WARNING gap_opened cause=阅".encode() + b"\xff\n"
    for environ in LOCALES:
        done = run("logs", "-", environ=environ, input=line)
        assert done.returncode == 0
        assert done.stdout.rstrip().endswith(b"\\xff")


@pytest.mark.parametrize("environ", LOCALES, ids=lambda environ: "-".join(environ.values()))
def test_log_lines_are_utf_8_in_any_locale(workdir: Path, run: Run, environ: dict[str, str]) -> None:
    """journald and `logs` accept only UTF-8; a file or a pipe has no encoding of its own."""
    code = "import hk_tick_collector.log as log; log.configure('INFO'); log.info('x', words='\\u9605')"
    ours = {**os.environ, **environ}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=ours, check=True, timeout=300)
    assert done.stderr.decode().endswith("words=阅\n")


@pytest.mark.parametrize(
    ("encoding", "is_chinese"),
    [("utf-8", True), ("big5", True), ("gb18030", True), ("latin-1", False), ("ascii", False)],
)
def test_a_terminal_without_chinese_characters_gets_english(workdir: Path, encoding: str, is_chinese: bool) -> None:
    """Codes like \\u6536 in place of characters are of no use to anyone."""
    settings = {"DATA_ROOT": str(workdir), "OPERATOR_LANG": "zh-Hant", "PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [sys.executable, "-m", "hk_tick_collector", "status"],
        cwd=workdir, env={**os.environ, **settings}, capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    text = done.stdout.decode(encoding)
    assert any("\u4e00" <= char <= "\u9fff" for char in text) == is_chinese
    assert "\\u" not in text
