"""What a terminal gets: colour and redrawn lines if it supports and wants them, otherwise plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import DayFile

    from hk_tick_collector.model import TickRow

    OnTerminal = Callable[..., tuple[int, str]]

DAY: Final = "20261120"
ESCAPE: Final = "\33"
VERBS: Final = {
    "doctor": ["doctor"],
    "status": ["status"],
    "logs": ["logs", "run.log"],
    "table": ["ticks", "--day", DAY],
    "snapshot": ["snapshot", "--day", DAY],
    "demo": ["demo", "--seconds", "3", "--symbols", "5", "--data", "demo-data"],
    "help": ["doctor", "--help"],
}
STYLED: Final = {"doctor", "logs", "table", "snapshot", "demo"}


@pytest.fixture(autouse=True)
def _root(workdir: Path, make_day: Callable[..., DayFile], tick: Callable[..., TickRow]) -> None:
    """A day file and a log to show."""
    (workdir / ".env").write_text(f"DATA_ROOT={workdir}\nFUTU_PORT=1\nMETRICS_ADDR=\nDISK_MIN_FREE_MB=1\n")
    (workdir / "run.log").write_text("2026-11-20T09:30:20.000+08:00 WARNING sqlite_busy_backoff cause=busy\n")
    make_day(DAY).add([tick("HK.00700", seq) for seq in range(1, 4)])


@pytest.mark.parametrize("verb", sorted(VERBS.keys() - {"demo"}))
def test_a_dumb_terminal_gets_plain_text(on_terminal: OnTerminal, verb: str) -> None:
    """TERM=dumb, as in an editor's shell: no escape sequences."""
    _, text = on_terminal(*VERBS[verb], TERM="dumb")
    assert text
    assert ESCAPE not in text


def test_a_demo_on_a_dumb_terminal_prints_lines(on_terminal: OnTerminal) -> None:
    """Without redrawing, one line a second is printed, not everything at the end."""
    for seconds in ("3", "20", "90"):  # from the start of its collector, which is slow on a full machine
        code, text = on_terminal(*VERBS["demo"], "--seconds", seconds, TERM="dumb")
        if code == 0:
            break
    assert code == 0
    assert " HKT  rate " in text
    assert ESCAPE not in text


@pytest.mark.parametrize("verb", sorted(VERBS.keys() - {"demo", "snapshot"}))
def test_no_color_is_respected(on_terminal: OnTerminal, verb: str) -> None:
    """NO_COLOR with any value (https://no-color.org)."""
    _, text = on_terminal(*VERBS[verb], NO_COLOR="1")
    assert text
    assert "\33[3" not in text
    assert "\33[1;3" not in text


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_other_terminals_get_what_they_can_show(on_terminal: OnTerminal, verb: str) -> None:
    """An empty NO_COLOR has no effect. Verbs that are plain everywhere stay plain."""
    _, text = on_terminal(*VERBS[verb], NO_COLOR="")
    assert text
    assert (ESCAPE in text) == (verb in STYLED)
