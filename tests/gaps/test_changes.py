"""The rows of `gaps` that a transaction writes: one for a gap, none for a gap that closed before the transaction."""

from __future__ import annotations

from .table import SYMBOL, Table, at, heard, odd, unknown


def test_ticks_out_of_order_within_a_chunk_write_no_gap() -> None:
    """A gap that opens and closes within one transaction is no row of `gaps`."""
    table = Table()
    assert table.see(at(1), at(5), at(3), at(4), at(2)) == []
    assert table.see(at(9), at(7)) != []
    assert table.see(at(8), at(6), at(10)) != []
    assert table.open() == []


def test_a_lost_gap_that_grows_stays_one_row_and_can_be_filled_again() -> None:
    """Dropped ticks right after a lost gap: one contiguous gap, one row."""
    table = Table()
    table.see(at(1))
    table.tracker.lose([at(2)])
    table.see(at(3))
    table.answer(at(3), full=True)
    assert table.tracker.known.missing(SYMBOL) == 0
    table = Table()
    table.see(at(1))
    table.tracker.lose([at(2)])
    table.take()
    (open_gap,) = [open_gap for _, open_gap in table.tracker.known.open_gaps()]
    table.tracker.give_up(SYMBOL)
    table.tracker.lose([at(3)])
    assert (table.open(), table.tracker.known.missing(SYMBOL)) == ([(2, "dropped")], 2)
    assert not open_gap.final


def test_a_doubt_after_a_lost_one_is_a_separate_row() -> None:
    """The first is lost; later answers decide about the second one only."""
    table = Table()
    heard(table, 7, 90, 3)
    for start in (100, 200):
        table.tracker.interrupt("disconnected")
        table.tracker.resume_receiving()
        later = [odd(start + number, start) for number in (9, 4, 6)]
        table.see(*later)
        table.answer(*later, full=True, asked=3)
    assert [gap.cause for gap in unknown(table)] == ["disconnected", "disconnected"]
