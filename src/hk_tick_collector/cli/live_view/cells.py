"""Text in the columns of a terminal: how wide it is, where a line may be broken, styled lines. Pure.

Enters: any text. Leaves: lines of spans without control characters (`hk_tick_collector.text`), no wider than asked. A
line is broken at blanks, beside a Chinese character or behind a mark such as `/`. A number is never cut.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from hk_tick_collector.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BOLD: Final = "bold"
DIM: Final = "dim"
GOOD: Final = "good"
WARNING: Final = "warning"
BAD: Final = "bad"
CHOSEN: Final = "chosen"

_GAP: Final = "  "
_MARKS: Final = "/_=|;@-"  # behind these a long word may be broken
_NUMERIC: Final = "0123456789.,:%+-"
_OPENING: Final = "（「『《"
_CLOSING: Final = "）」』》，。；：、！？,.;:)%"


class Span(NamedTuple):
    """A piece of a line in one style, one of the constants above or empty."""

    text: str
    style: str = ""


Line: TypeAlias = tuple[Span, ...]


def line(*parts: tuple[str, str] | str) -> Line:
    """A line of texts, or pairs of text and style. Text from outside becomes printable here."""
    return tuple(Span(plain(part)) if isinstance(part, str) else Span(plain(part[0]), part[1]) for part in parts)


def columns(text: str) -> int:
    """The number of columns that a terminal needs for a text: two for a Chinese character, none for an accent."""
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def width_of(spans: Line) -> int:
    """The number of columns of a line."""
    return sum(columns(span.text) for span in spans)


def padded(text: str, width: int, *, right: bool = False) -> str:
    """The text with blanks up to this width; `right` puts them before it."""
    blanks = " " * (width - columns(text))
    return blanks + text if right else text + blanks


def shortened(text: str, width: int) -> str:
    """The text, or as much of it as fits, with `…` behind it. A number at its end is left out: it may be cut."""
    if columns(text) <= width:
        return text
    head = wrapped(text, width - 1)[0] if width > 1 else ""
    return f"{head.rstrip(_NUMERIC)}…"


def wrapped(text: str, width: int) -> list[str]:
    """The lines of a text, at least one. Blanks where a line is broken are left out."""
    lines, current = [], ""
    for piece in _pieces(text):
        if columns(current) + columns(piece) <= width:
            current += piece
            continue
        if current.strip():
            lines.append(current.rstrip())
        current = piece.lstrip()
        while columns(current) > width:
            at = place_to_cut(current, width)
            lines.append(current[:at])
            current = current[at:]
    return [*lines, current] if current.strip() or not lines else lines


def broken(spans: Line, width: int) -> list[Line]:
    """A styled line as lines that fit."""
    if width_of(spans) <= width:
        return [spans]
    text, styles = "".join(span.text for span in spans), [span.style for span in spans for _ in span.text]
    lines, at = [], 0
    for part in wrapped(text, width):
        at = text.index(part, at)
        lines.append(_restyled(part, styles[at : at + len(part)]))
        at += len(part)
    return lines


def cropped(spans: Line, width: int) -> Line:
    """The left part of a line, for a terminal narrower than any that a frame is made for."""
    kept: list[Span] = []
    left = width
    for text, style in spans:
        if columns(text) > left:
            while columns(text) > left:
                text = text[:-1]  # noqa: PLW2901 - shortened until it fits
            return (*kept, Span(text, style))
        kept.append(Span(text, style))
        left -= columns(text)
    return tuple(kept)


def flow(items: Sequence[Line], width: int) -> list[Line]:
    """Items one after the other, as many in a line as fit. An item is broken only if it is wider than a line."""
    lines: list[Line] = []
    current: Line = ()
    for item in items:
        if current and width_of(current) + len(_GAP) + width_of(item) <= width:
            current = (*current, Span(_GAP), *item)
            continue
        lines += [current] if current else []
        *whole, current = broken(item, width)
        lines += whole
    return [*lines, current] if current else lines


def _restyled(text: str, styles: Sequence[str]) -> Line:
    spans: list[Span] = []
    for char, style in zip(text, styles, strict=True):
        if spans and spans[-1].style == style:
            spans[-1] = Span(spans[-1].text + char, style)
        else:
            spans.append(Span(char, style))
    return tuple(spans)


def _columns_of(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _pieces(text: str) -> Iterator[str]:
    """The pieces between which a line may be broken, each with the blanks before it."""
    piece = ""
    for char in text:
        if piece.strip() and (char == " " or _may_break(piece[-1], char)):
            yield piece
            piece = ""
        piece += char
    if piece:
        yield piece


def _may_break(before: str, after: str) -> bool:
    is_beside = _columns_of(before) == 2 or _columns_of(after) == 2  # a Chinese character
    return is_beside and before not in _OPENING and after not in _CLOSING


def place_to_cut(word: str, width: int) -> int:
    """Where a word that is wider than a line is cut: behind a mark, else not in a number, else where the line ends."""
    most, used = 0, 0
    while most < len(word) and used + _columns_of(word[most]) <= width:
        used += _columns_of(word[most])
        most += 1
    places = range(min(most, len(word) - 1), 0, -1)
    outside = [at for at in places if not _is_in_number(word, at)]
    behind = [at for at in outside if word[at - 1] in _MARKS]
    return next(iter(behind or outside), max(1, most))


def _is_in_number(word: str, at: int) -> bool:
    before, after = word[at - 1], word[at]
    return (before in _NUMERIC and after.isdigit()) or (before.isdigit() and after in _NUMERIC)
