"""The schema's text agrees with the code: files are compared with that text, so names cannot be inserted."""

from __future__ import annotations

import re

from hk_tick_collector.model import SEQ_NEAR_S
from hk_tick_collector.store import schema


def test_the_trigger_has_the_tolerance_of_the_sequence() -> None:
    """The trigger that counts by the sequence trusts it within the same seconds as everyone else."""
    told = re.findall(r"abs\(\(NEW\.seq >> 32\) - NEW\.ts_ms / 1000\) <= (\d+)", "".join(schema.MIGRATIONS))
    assert set(told) == {str(SEQ_NEAR_S)}
