"""Tables on a narrow terminal: whole numbers in fewer columns, and the names of the missing columns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import DayFile

    from hk_tick_collector.model import TickRow

    Cli = Callable[..., subprocess.CompletedProcess[str]]
    OnTerminal = Callable[..., tuple[int, str]]

DAY: Final = "20261120"
SEQ: Final = (1_795_138_200 << 32) | 17
NO_END: Final = 2**63 - 1


@pytest.fixture(autouse=True)
def _root(workdir: Path, make_day: Callable[..., DayFile], tick: Callable[..., TickRow]) -> None:
    (workdir / ".env").write_text(f"DATA_ROOT={workdir}\n")
    day = make_day(DAY)
    day.add([tick("HK.00700", SEQ + n, 1_795_138_200_000 + n) for n in range(3)])
    columns = "symbol, from_seq, to_seq, from_ts_ms, to_ts_ms, missing, cause, status, opened_ms, closed_ms"
    values = "'HK.00700', ?, ?, 1795138200000, 1795138201000, 1234567, 'disconnect', 'healed', 1795138200000, ?"
    sql = f"INSERT INTO gaps ({columns}) VALUES ({values})"
    day.execute(sql, (SEQ, SEQ + 9, 1_795_138_205_000))
    day.execute(sql, (SEQ, NO_END, 1_795_138_206_000))


@pytest.mark.parametrize("terminal", ["xterm", "dumb"])
@pytest.mark.parametrize("columns", [40, 80, 250])
@pytest.mark.parametrize("verb", ["ticks", "gaps", "config"])
def test_no_number_is_cut(on_terminal: OnTerminal, verb: str, columns: int, terminal: str) -> None:
    """Every number shown is in the data; lines fit; left-out columns are named, or the terminal wraps."""
    args = [verb] if verb == "config" else [verb, "--day", DAY]
    code, text = on_terminal(*args, COLUMNS=str(columns), TERM=terminal, DISK_MIN_FREE_MB="123456789")
    text = re.sub("\33\\[[0-9;]*m", "", text)
    assert code == 0
    names = {"ticks": "push", "gaps": "to_seq", "config": "allowed"}
    assert ("(not shown at " in text) == (columns < 200 or (verb, terminal) == ("config", "dumb"))
    if columns < 100:
        assert names[verb] not in text.split("(not shown at ")[0]
    if columns == 80 and verb != "config":
        assert max(map(len, text.partition("(not shown at ")[0].splitlines())) <= 80
        assert "388.200" in text if verb == "ticks" else "1,234,567" in text
    if verb == "ticks":
        assert str(SEQ) in text or "seq" in text.partition("(not shown at ")[2]


def test_a_pipe_gets_every_column(cli: Cli) -> None:
    """Without a terminal a table has every column, whatever COLUMNS is."""
    assert " push " in cli("ticks", "--day", DAY, COLUMNS="20").stdout.splitlines()[0]
    assert " to_seq" in cli("gaps", "--day", DAY, COLUMNS="20").stdout.splitlines()[0]
