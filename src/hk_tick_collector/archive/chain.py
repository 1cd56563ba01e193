"""All certificates of an archive, in the order in which they were made, and what is wrong with that order."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hk_tick_collector.errors import ArchiveError

from . import layout
from .certificate import NONE, Certificate, parse

if TYPE_CHECKING:
    from .places import Place


class Chain(NamedTuple):
    """The certificates of an archive. Those of days that were replaced belong to the chain too."""

    by_day: dict[str, Certificate]  # those in force
    replaced: list[Certificate]
    damaged: dict[str, str]  # day → why its certificate in force cannot be read

    @property
    def last(self) -> Certificate | None:
        """The newest; None if there is none. Publish its hash: the chain does not show that later ones were cut off."""
        everyone = [*self.by_day.values(), *self.replaced]
        return max(everyone, key=lambda each: each.number, default=None)

    def faults(self) -> list[tuple[str, str]]:
        """What is wrong with the order: the day of the certificate that shows it, and one sentence."""
        found = []
        numbers: dict[int, Certificate] = {}
        for each in sorted([*self.by_day.values(), *self.replaced], key=lambda each: each.number):
            before = numbers.get(each.number - 1)
            if each.number in numbers:
                words = f"two certificates have the number {each.number}: {numbers[each.number].day} and {each.day}"
            elif before is None and (each.number != 1 or each.previous != NONE):
                words = (
                    f"the certificate before it is missing: number {each.number - 1}, of {each.figures['previous_day']}"
                )
            elif before is not None and before.sha256 != each.previous:
                words = f"the certificate before it, of {before.figures['day']}, is not the one that it was made after"
            else:
                words = ""
            numbers.setdefault(each.number, each)
            if words:
                found.append((each.day, words))
        return found + self._put_aside()

    def _put_aside(self) -> list[tuple[str, str]]:
        """Days whose newest certificate is not in force: it was moved aside, and perhaps an older one put back.

        A run of `archive --replace` that was killed leaves a day so, until the next run.
        """
        newest: dict[str, int] = {}
        for each in self.replaced:
            newest[each.day] = max(each.number, newest.get(each.day, 0))
        return [
            (day, f"its certificate, number {number}, lies in {layout.SUPERSEDED} and no newer one is in force")
            for day, number in sorted(newest.items())
            if day not in self.damaged and (day not in self.by_day or self.by_day[day].number < number)
        ]


def read_chain(place: Place) -> Chain:
    """Reads every certificate of an archive."""
    chain = Chain({}, [], {})
    for name in place.list(layout.CERTIFICATES):
        if name.endswith(".txt") and (day := layout.day_of(name)):
            try:
                chain.by_day[day] = _read(place, name, day)
            except ArchiveError as error:
                chain.damaged[day] = str(error)
    for name in place.list(layout.SUPERSEDED):
        inside = name.split("/", 2)[-1]
        if inside.endswith(".txt") and (day := layout.day_of(inside)):
            try:
                chain.replaced.append(_read(place, name, day))
            except ArchiveError as error:
                chain.damaged.setdefault(day, str(error))
    return chain


def _read(place: Place, name: str, day: str) -> Certificate:
    found = parse(place.read(name), name)
    if found.day != day:
        raise ArchiveError(f"{name} is the certificate of {found.day}")
    return found
