"""A finding: one thing that is wrong, its severity, and the command to type next."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import IntEnum
from typing import Any

from hk_tick_collector.text import plain

from .words import Words


class Severity(IntEnum):
    """Ordered as the exit codes of `status`."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: `code` is its name for programs, `remedy` the command to type next, or empty.

    `since_ms` is when it began (UTC epoch ms), if that is known. `size` is the amount lost; it does not fall
    while the service runs, and is None if nothing is counted. `zh` is the text in Traditional Chinese.

    Text and remedy are one line each and safe to print, even if they quote text from outside.
    """

    code: str
    severity: Severity
    text: str
    remedy: str
    since_ms: int | None = None
    size: int | None = None
    zh: str = ""

    def __post_init__(self) -> None:
        """Cleans text from outside."""
        object.__setattr__(self, "text", plain(self.text))
        object.__setattr__(self, "remedy", plain(self.remedy))
        object.__setattr__(self, "zh", plain(self.zh or self.text))

    @property
    def words(self) -> Words:
        """The text in both languages."""
        return Words(self.text, self.zh)

    def saying(self, words: Words) -> Finding:
        """A copy of the finding with another text."""
        return replace(self, text=words.en, zh=words.zh)

    def as_json(self) -> dict[str, Any]:
        """The finding for `--json`: always with the English text, because scripts read it."""
        fields = {**asdict(self), "severity": self.severity.name}
        del fields["zh"]
        return fields
