"""The findings of today with their times, as far as the page has seen them. Pure; the clock comes in. Bounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hk_tick_collector import market

if TYPE_CHECKING:
    from hk_tick_collector.ops.findings.finding import Finding

_MOST: Final = 200


@dataclass(slots=True)
class Episode:
    """A finding from its first second to its last; `to_ms` is None while it lasts."""

    finding: Finding  # its newest text, and its worst severity is `worst`
    worst: int
    from_ms: int
    to_ms: int | None = None


class Today:
    """The episodes of the present day in Hong Kong, the newest first. Times are UTC epoch ms."""

    def __init__(self) -> None:
        self._episodes: list[Episode] = []
        self._open: dict[str, Episode] = {}
        self._day = 0
        self.dropped = 0  # of today, because there were too many

    @property
    def episodes(self) -> list[Episode]:
        """The newest first."""
        return self._episodes[::-1]

    def add(self, now_ms: int, findings: list[Finding]) -> None:
        """The findings of this second."""
        if (day := market.day_number(now_ms)) != self._day:
            self._day, self.dropped = day, 0
            self._episodes = [each for each in self._episodes if each.to_ms is None]
        present = {finding.code: finding for finding in findings}
        for code in [code for code in self._open if code not in present]:
            self._open.pop(code).to_ms = now_ms
        for code, finding in present.items():
            if code in self._open:
                episode = self._open[code]
                episode.finding, episode.worst = finding, max(episode.worst, int(finding.severity))
            else:
                self._open[code] = Episode(finding, int(finding.severity), now_ms)
                self._episodes.append(self._open[code])
        while len(self._episodes) > _MOST:
            ended = next((each for each in self._episodes if each.to_ms is not None), self._episodes[0])
            self._episodes.remove(ended)
            self.dropped += 1
