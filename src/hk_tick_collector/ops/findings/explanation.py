"""What the catalogue says of one log line or finding: what it means and what to do, in English and in Chinese."""

from __future__ import annotations

from typing import NamedTuple

from .words import Words

NOTHING = Words("nothing", "毋須處理")


class Entry(NamedTuple):
    """One log event or finding. `remedy` is what to type or do next; where there is nothing to do it says so."""

    meaning: Words
    remedy: Words


def entry(en: str, zh: str, do_en: str, do_zh: str) -> Entry:
    """An entry on four lines, as the tables hold them."""
    return Entry(Words(en, zh), Words(do_en, do_zh))


def fine(en: str, zh: str) -> Entry:
    """An entry of what is as it should be."""
    return Entry(Words(en, zh), NOTHING)
