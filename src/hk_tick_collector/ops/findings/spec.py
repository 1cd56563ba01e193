"""Everything that is known about one kind of finding: `FindingSpec`. See the package's docstring."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from .finding import Finding, Severity
from .remedies import Remedy
from .words import Words, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hk_tick_collector.ops.live.status import LiveStatus


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits at which a figure becomes a finding; they are the settings of the same names."""

    drift_warn_s: float
    lag_critical_s: float
    disk_min_free_mb: int
    queue_warn_rows: int


class Seen(NamedTuple):
    """The input for judging: live state, present time (UTC epoch ms), and the limits from the settings."""

    status: LiveStatus
    now_ms: int
    limits: Limits


@dataclass(frozen=True, slots=True)
class Rule:
    """When a finding is alerted: after `hold_s`, and as critical after `critical_s` more (None: never)."""

    hold_s: float
    critical_s: float | None = None
    only_critical: bool = False  # only while `status` calls it critical
    after_budget: bool = False  # a warning until OpenD has been without ticks for longer than the outage budget
    by_ticks: bool = False  # a run without ticks cannot judge it: such a run neither opens nor closes it


@dataclass(frozen=True, slots=True)
class NotAlerted:
    """No message is sent; the value is the reason."""

    why: str


SOON: Final = Rule(hold_s=5)
PATIENT: Final = Rule(hold_s=60)  # for findings that often pass by themselves
IF_CRITICAL: Final = Rule(hold_s=30, only_critical=True)
NO_SERVICE: Final = NotAlerted("a service that does not run cannot send alerts; the unit in docs/alerts.md does")
BY_STATUS: Final = NotAlerted("only `status` reads the day file or the settings; the service does not")
BY_REPORT: Final = NotAlerted("only `report` reads the files that are kept; its timer reports it")
SMALL: Final = NotAlerted("it ends by itself, or a finding that it causes is alerted")


class Says(NamedTuple):
    """The text of a finding and its command, both templates."""

    text: Words
    remedy: Remedy = Remedy("")


@dataclass(frozen=True, slots=True, eq=False)
class FindingSpec:
    """One kind of finding: everything that is known about it, in one place.

    `text` and `remedy` are templates; `variants`, by name, are other texts of the same finding. `when` returns the
    findings of a live state; specs that are decided together share one function, which is called once. It is None if
    another part detects the finding: `status` in the day file, `report` in the kept files. `meaning` and `do` are the
    explanation. `causes` are the codes of findings that it explains, `caused_by` of findings that explain it; a code
    that ends in `_` stands for all codes that begin with it. Each such pair is declared once, on either side.
    """

    code: str
    text: Words
    remedy: Remedy
    meaning: Words
    do: Words
    alert: Rule | NotAlerted
    when: Callable[[Seen], Iterable[Finding]] | None = None
    variants: Mapping[str, Says] = field(default_factory=dict)
    causes: tuple[str, ...] = ()
    caused_by: tuple[str, ...] = ()

    def found(
        self,
        severity: Severity,
        variant: str = "",
        *,
        code: str = "",
        remedy: Remedy | None = None,
        since_ms: int | None = None,
        size: int | None = None,
        **facts: object,
    ) -> Finding:
        """A finding of this kind. `facts` fill the templates; `remedy` replaces the spec's own and is not a template.

        `code` is for a member of a family that has no spec of its own.
        """
        text, own = self.variants[variant] if variant else Says(self.text, self.remedy)
        words = text.filled(**facts)
        if remedy is None:
            command = own.command.format(**{name: _pasted(fact) for name, fact in facts.items()})
            words = joined(words, own.words.filled(**facts))
        else:
            command, words = remedy.command, joined(words, remedy.words)
        return Finding(code or self.code, severity, words.en, command, since_ms, size, words.zh)


def _pasted(fact: object) -> object:
    """A fact as a part of a command: a path with a space stays one word of it."""
    return shlex.quote(str(fact)) if isinstance(fact, str | Path) and str(fact) else fact
