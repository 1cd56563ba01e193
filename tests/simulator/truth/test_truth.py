"""The truth file reads back exactly, and never lacks a tick that was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hk_tick_collector.errors import UsageError
from hk_tick_collector.simulator.truth.truth import TruthFile, TruthTick, read_truth

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.simulator.exchange.made import MadeRow

SYMBOLS = ["HK.00700", "HK.00981"]
ROWS: list[MadeRow] = [
    (0, (1_795_138_200 << 32) | 1, 1_795_138_200_001, 620.5, 100, 62_050.0, 1, 1),
    (1, -7, 1_795_138_200_001, 0.1 + 0.2, 2**62, 1e22 / 3, 0, 7),
    (1, 3, 1_795_138_200_002, 72.55, 1, 72.55, 3, 99),
]


def test_ticks_read_back_as_they_were_made(tmp_path: Path) -> None:
    """Floats to the last bit, large integers, unknown types as TYPE_n."""
    with TruthFile(tmp_path / "truth", SYMBOLS) as truth:
        truth.write(ROWS[:1])
        truth.write(ROWS[1:])
    assert list(read_truth(tmp_path / "truth")) == [
        TruthTick("HK.00700", ROWS[0][1], 1_795_138_200_001, 620.5, 100, 62_050.0, "BUY", "AUTO_MATCH"),
        TruthTick("HK.00981", -7, 1_795_138_200_001, 0.1 + 0.2, 2**62, 1e22 / 3, "UNKNOWN", "AUCTION"),
        TruthTick("HK.00981", 3, 1_795_138_200_002, 72.55, 1, 72.55, "NEUTRAL", "TYPE_99"),
    ]


def test_a_line_cut_short_by_a_kill_is_left_out(tmp_path: Path) -> None:
    """Its batch was never sent."""
    with TruthFile(tmp_path / "truth", SYMBOLS) as truth:
        truth.write(ROWS)
    whole = (tmp_path / "truth").read_text()
    (tmp_path / "truth").write_text(whole[:-3])
    assert len(list(read_truth(tmp_path / "truth"))) == 2


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """One line with the cause."""
    with pytest.raises(UsageError, match="cannot be written"):
        TruthFile(tmp_path / "missing" / "truth", SYMBOLS)
