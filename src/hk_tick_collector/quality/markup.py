"""Elements of HTML and SVG as text. Every text and attribute is escaped here, and nowhere else. Pure.

Names of symbols, causes and paths come from files that another program may have written. `element` takes plain text and
`Markup`; only what `element` and `joined` have made is Markup, so a text from outside can never become an element.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from hk_tick_collector.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

_EMPTY: Final = frozenset({"meta", "br", "rect", "path", "line", "circle"})  # elements without content


class Markup(str):
    """Text that is already markup."""

    __slots__ = ()


def element(name: str, /, *content: str | Markup, **attributes: object) -> Markup:
    """An element. An attribute that is a Python word ends in `_`; a `_` inside stands for `-`; None leaves it out."""
    names = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _EMPTY and not content:
        return Markup(f"<{name}{names}>" if name in ("meta", "br") else f"<{name}{names}/>")
    return Markup(f"<{name}{names}>{joined(content)}</{name}>")


def joined(parts: Iterable[str | Markup]) -> Markup:
    """The parts one after the other; what is not Markup is escaped."""
    return Markup("".join(part if isinstance(part, Markup) else escape(plain(part)) for part in parts))


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".rstrip("0").rstrip(".")
    return plain(value)
