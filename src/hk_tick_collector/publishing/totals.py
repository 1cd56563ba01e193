"""What a day file has as proof of its completeness → the message with the sums of the day.

That is the comparison with OpenD's totals after the close: a merge cannot ask OpenD. The sums are sent without it if it
cannot be read or does not fit into a message; then the merged day is not provable, and nothing else is affected.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hk_tick_collector import market
from hk_tick_collector.errors import MessageError, StoreError
from hk_tick_collector.jetstream.message import encode_sums
from hk_tick_collector.model import CLOSE
from hk_tick_collector.store.outbox_reader import OutboxReader

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.jetstream.message import SumsMessage
    from hk_tick_collector.model import Reconciled

_MOST_BYTES: Final = 250_000  # every server that is used takes 256 KiB; 2,000 symbols need 160,000


def sums_payload(path: Path, message: SumsMessage) -> tuple[bytes, int]:
    """The message as bytes, with the comparison that the day file `path` has, and how many symbols that has."""
    try:
        with_totals = replace(message, totals=_totals(path))
        payload = encode_sums(with_totals)
    except (MessageError, StoreError, OSError):
        return encode_sums(message), 0
    if len(payload) > _MOST_BYTES:
        return encode_sums(message), 0
    return payload, len(with_totals.totals)


def _totals(path: Path) -> tuple[Reconciled, ...]:
    with OutboxReader(path) as reader:
        rows = reader.reconciliation()
    return tuple(
        row for row in rows if row.session == CLOSE and market.day_name(market.day_number(row.at_ms)) == path.stem
    )
