"""Log lines: one event is one line that splits back into its fields, for any values."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hk_tick_collector import log

# Values as they come from OpenD and the system: any language, and what a line must not take literally.
TEXT = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"], include_characters="\n"), max_size=30)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), TEXT, max_size=5))
def test_a_line_splits_back_into_its_fields(fields: dict[str, str]) -> None:
    """Blanks, quotes, equal signs, backslashes, newlines, empty values: one line, the same keys, readable values."""
    stream = io.StringIO()
    log.configure("INFO", stream)
    log.info("event", **fields)
    log.configure("INFO")
    text = stream.getvalue()
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1
    moment, level, event, *rest = split(text)
    assert datetime.fromisoformat(moment).utcoffset() is not None
    assert (level, event) == ("INFO", "event")
    assert [part.partition("=")[0] for part in rest] == list(fields)


def split(line: str) -> list[str]:
    """At blanks, except between double quotes."""
    return re.findall(r'(?:"[^"]*"|[^ "])+', line.rstrip("\n"))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (1.0, "1"),
        (0.25, "0.25"),
        (1 / 3, "0.333"),
        (10.0, "10"),
        (-0.0001, "-0"),
        (10**20, "100000000000000000000"),
        (True, "True"),
        (None, "none"),
        ("", '""'),
        ("plain", "plain"),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "no" now', "\"say 'no' now\""),
        ("two\nlines", '"two lines"'),
    ],
)
def test_values_are_written_in_their_shortest_form(value: object, told: str) -> None:
    """Floats without trailing zeros, whole numbers without a fraction, quotes around text only if necessary."""
    assert log.render(value) == told


def test_times_are_hong_kongs_on_any_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `status`, alerts and day files: who compares two of them need not convert."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    stream = io.StringIO()
    log.configure("INFO", stream)
    log.info("event")
    log.configure("INFO")
    monkeypatch.undo()
    time.tzset()
    moment = datetime.fromisoformat(stream.getvalue().split()[0])
    assert moment.utcoffset() == timedelta(hours=8)
    assert abs(moment.timestamp() - time.time()) < 600


def test_text_from_outside_is_cleaned() -> None:
    """In a field and in the traceback of a bug, control characters are escaped; they begin no line of their own."""
    stream = io.StringIO()
    log.configure("INFO", stream)
    log.info("event", reason="訂閱\x1b[2J\u202e")
    log.bug("bug", ValueError("no\x1b[2J\r\x07"))
    log.configure("INFO")
    assert "reason=訂閱\\x1b[2J\\u202e\n" in stream.getvalue()
    assert "ValueError: no\\x1b[2J" in stream.getvalue()
    assert stream.getvalue().replace("\n", "").isprintable()


def test_repeated_lines_are_left_out_and_counted() -> None:
    """One line for each interval; the next line says how many were left out."""
    repeated = log.Repeated(10.0)
    assert [repeated.allow(now_s) for now_s in (0.0, 1.0, 9.9, 10.0, 10.1, 25.0, 50.0)] == [
        0,
        None,
        None,
        2,
        None,
        1,
        0,
    ]


def test_only_a_bug_has_a_traceback() -> None:
    """The line first, then the traceback, of the error given or of the one being handled."""
    stream = io.StringIO()
    log.configure("WARNING", stream)
    try:
        print(1 / len(stream.getvalue()))
    except ZeroDivisionError:
        log.bug("writer_failed", day="20261120")
    log.bug("task_failed", ValueError("given"))
    log.warning("futu_disconnected", reason="gone")
    log.info("not_told")
    log.configure("INFO")
    lines = stream.getvalue().splitlines()
    events = [split(line)[2] for line in lines if re.match(r"\d{4}-", line)]
    assert events == ["writer_failed", "task_failed", "futu_disconnected"]
    assert lines[0].endswith("ERROR writer_failed day=20261120")
    assert "ZeroDivisionError: division by zero" in lines
    assert "ValueError: given" in lines


def test_the_limit_of_lines_is_for_each_interval() -> None:
    """So many lines at once; the others are a count on the first line of the next interval."""
    ration = log.Rationed(2, 60.0)
    assert [ration.allow(second) for second in (0, 1, 2, 3, 59)] == [0, 0, None, None, None]
    assert [ration.allow(second) for second in (60, 61, 62, 130)] == [3, 0, None, 1]


def child(code: str) -> subprocess.Popen[str]:
    """A process that logs in the background; `code` runs after `log` is ready."""
    start = "import sys; from hk_tick_collector import log; log.configure('INFO'); log.in_background()\n"
    return subprocess.Popen(
        [sys.executable, "-c", start + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_normal_end_loses_no_line() -> None:
    """Every line in its order, those of a bug and those that are no events too, though the process ends at once."""
    code = "for n in range(5000): log.info('event', n=n)\nassert log.write_text('told')"
    with child(code) as process:
        _, told = process.communicate(timeout=60)
    lines = told.splitlines()
    assert lines.pop() == "told"
    assert [line.rpartition("n=")[2] for line in lines] == [str(n) for n in range(5000)]
    assert process.returncode == 0


def test_lines_that_are_not_read_are_counted() -> None:
    """Logging does not wait. When lines are read again, one says how many are missing, and later ones are complete."""
    code = """
for n in range(5000): log.info('early', n=n, text='x' * 1000)
print('logged', flush=True)
sys.stdin.readline()
log.info('late')
"""
    with child(code) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "logged\n"  # nothing of stderr was read
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "log_lines_lost" in line:
                process.stdin.write("\n")
                process.stdin.flush()
    events = [line.split()[2] for line in lines]
    lost = int(lines[events.index("log_lines_lost")].rpartition("count=")[2])
    assert lost > 0
    assert events.count("early") + lost == 5000
    assert events[-1] == "late"


def test_a_log_that_is_never_read_does_not_stop_the_exit() -> None:
    """The end of the process waits one second for a reader, and no longer."""
    with child("for n in range(5000): log.info('event', n=n)\nprint('logged', flush=True)") as process:
        assert process.stdout is not None
        assert process.stdout.read() == "logged\n"
        assert process.wait(60) == 0
