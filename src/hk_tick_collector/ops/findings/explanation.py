"""The catalogue's entry for one log line or finding: its meaning and what to do, in English and in Chinese."""

from __future__ import annotations

from typing import NamedTuple

from .words import Words

NOTHING = Words("nothing", "毋須處理")


class Entry(NamedTuple):
    """One log event or finding. `remedy` is what to type or do next; if there is nothing to do, it says so."""

    meaning: Words
    remedy: Words


def entry(en: str, zh: str, do_en: str, do_zh: str) -> Entry:
    """An entry given as four strings, as in the tables."""
    return Entry(Words(en, zh), Words(do_en, do_zh))


def fine(en: str, zh: str) -> Entry:
    """An entry that needs no action."""
    return Entry(Words(en, zh), NOTHING)
