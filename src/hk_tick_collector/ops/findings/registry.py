"""All kinds of findings, collected from the modules that define them, and what is derived from all of them.

Each module is listed once; the order is that in which findings of equal severity are shown. Specs need not be listed:
every `FindingSpec` of a module counts, in the order of definition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import (
    alerting,
    backfill,
    backlog,
    completeness,
    connection,
    connection_breaks,
    day_files,
    gaps,
    held_days,
    host,
    market_data,
    merge,
    not_stored,
    opend_states,
    publish,
    retention,
    service,
    streaming,
    writer,
    writer_waits,
)
from .explanation import Entry
from .spec import FindingSpec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from .finding import Finding
    from .spec import Seen

SUBJECTS: Final = (
    *(
        opend_states,
        connection,
        writer,
        writer_waits,
        held_days,
        backlog,
        day_files,
        market_data,
        host,
        backfill,
        service,
        connection_breaks,
    ),
    *(not_stored, gaps, completeness, streaming, publish, merge, retention, alerting),
)
# Specs for codes of a family without their own spec: a later OpenD or `store.faults` may add such codes.
_FAMILIES: Final = {
    opend_states.PREFIX: opend_states.OPEND_OTHER,
    writer.PREFIX: writer.WRITER_OTHER,
}


class Registry:
    """Specs by code."""

    def __init__(self) -> None:
        self._specs: dict[str, FindingSpec] = {}

    def include(self, module: ModuleType) -> None:
        """Adds every spec of a module. ValueError if a code is already used."""
        for spec in vars(module).values():
            if not isinstance(spec, FindingSpec) or spec.code in _FAMILIES:
                continue
            if self._specs.setdefault(spec.code, spec) is not spec:  # the same spec, imported by another subject
                raise ValueError(f"two findings have the code {spec.code}")

    def exclude(self, module: ModuleType) -> None:
        """Removes the specs of a module."""
        for spec in vars(module).values():
            if isinstance(spec, FindingSpec) and self._specs.get(spec.code) is spec:
                del self._specs[spec.code]

    def __iter__(self) -> Iterator[FindingSpec]:
        return iter(self._specs.values())

    def spec(self, code: str) -> FindingSpec | None:
        """The spec of a code; None if there is none. `opend_program_X` is `opend_X`."""
        name = code.replace("opend_program_", opend_states.PREFIX)
        family = next((spec for prefix, spec in _FAMILIES.items() if code.startswith(prefix)), None)
        return self._specs.get(name, family)

    def defines(self, code: str) -> bool:
        """Whether a code has its own spec, so that it may be a label of a metric."""
        return code in self._specs

    def found(self, seen: Seen) -> Iterator[Finding]:
        """The findings of a live state, in the order of the subjects; a `when` shared by specs is called once."""
        for when in dict.fromkeys(spec.when for spec in self if spec.when is not None):
            yield from when(seen)

    def explained(self) -> dict[str, Entry]:
        """The explanation of every code."""
        return {spec.code: Entry(spec.meaning, spec.do) for spec in self}


REGISTRY: Final = Registry()
for _subject in SUBJECTS:
    REGISTRY.include(_subject)
