"""What is known of one kind of finding, whole: `FindingSpec`. See the package's docstring."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from .finding import Finding, Severity
from .remedies import Remedy
from .words import Words, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hk_tick_collector.ops.live.status import LiveStatus


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on a figure is a finding; the settings of the same names."""

    drift_warn_s: float
    lag_critical_s: float
    disk_min_free_mb: int
    queue_warn_rows: int


class Seen(NamedTuple):
    """What a finding is judged by: the live state, the moment (UTC epoch ms), the limits that the settings give."""

    status: LiveStatus
    now_ms: int
    limits: Limits


@dataclass(frozen=True, slots=True)
class Rule:
    """When a finding is alerted: after it was seen for `hold_s`, as critical after `critical_s` more (None: never)."""

    hold_s: float
    critical_s: float | None = None
    only_critical: bool = False  # only while `status` calls it critical
    after_budget: bool = False  # a warning until OpenD has been without ticks for longer than the outage budget
    by_ticks: bool = False  # a run without a tick cannot see it: it is neither seen nor over


@dataclass(frozen=True, slots=True)
class NotAlerted:
    """No message is sent, and why."""

    why: str


SOON: Final = Rule(hold_s=5)
PATIENT: Final = Rule(hold_s=60)  # what often passes by itself
IF_CRITICAL: Final = Rule(hold_s=30, only_critical=True)
NO_SERVICE: Final = NotAlerted("a service that does not run sends nothing; the timer of docs/alerts.md tells of it")
BY_STATUS: Final = NotAlerted("only `status` reads the day file or the settings; the service does not")
BY_REPORT: Final = NotAlerted("only `report` looks at what is kept; its timer tells")
SMALL: Final = NotAlerted("it ends by itself, or something that is alerted follows from it")


class Says(NamedTuple):
    """The text of a finding and what to type, both templates."""

    text: Words
    remedy: Remedy = Remedy("")


@dataclass(frozen=True, slots=True, eq=False)
class FindingSpec:
    """One kind of finding: all that is known of it, in one place.

    `text` and `remedy` are templates; a finding that is told in several ways has `variants` by name. `when` gives the
    findings of a live state; specs that are decided together share one function, which is called once. It is None for
    what another part finds: `status` in the day file, `report` in what is kept. `meaning` and `do` are the
    explanation. `causes` are the codes of what follows from it, `caused_by` of what it follows from; a code that ends
    in `_` stands for all that begin so. An order between two findings is declared once, on either side.
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
        """A finding of this kind. `facts` fill the templates; `remedy` stands for the spec's own and is no template.

        `code` is for a member of a family that has no spec of its own.
        """
        text, own = self.variants[variant] if variant else Says(self.text, self.remedy)
        words = text.filled(**facts)
        if remedy is None:
            command = own.command.format(**facts)
            words = joined(words, own.words.filled(**facts))
        else:
            command, words = remedy.command, joined(words, remedy.words)
        return Finding(code or self.code, severity, words.en, command, since_ms, size, words.zh)
