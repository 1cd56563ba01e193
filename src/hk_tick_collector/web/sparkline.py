"""A series of values as the outline of a small picture (an SVG path). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH: Final = 240
HEIGHT: Final = 40


class Sparkline(NamedTuple):
    """A line and the area below it, in a box of WIDTH × HEIGHT; `unknown` is the width of the unknown beginning."""

    line: str
    area: str
    unknown: int


def sparkline(values: Sequence[float | None]) -> Sparkline:
    """From zero to the largest value. A value that is not known (None) leaves a gap in the line."""
    top = max((value for value in values if value is not None), default=0.0) or 1.0
    step = WIDTH / max(1, len(values))
    line, area = [], []
    for first, run in _runs(values):
        points = [
            f"{(first + index + 0.5) * step:.4g} {HEIGHT - max(0.0, value) / top * (HEIGHT - 2) - 1:.3g}"
            for index, value in enumerate(run)
        ]
        if len(points) == 1:  # a point has no length: half a step on each side
            height = points[0].partition(" ")[2]
            points = [f"{first * step:.4g} {height}", f"{(first + 1) * step:.4g} {height}"]
        line.append("M" + "L".join(points))
        start, end = points[0].partition(" ")[0], points[-1].partition(" ")[0]
        area.append(f"M{start} {HEIGHT}L{'L'.join(points)}L{end} {HEIGHT}Z")
    known = next((index for index, value in enumerate(values) if value is not None), len(values))
    return Sparkline("".join(line), "".join(area), round(known * step))


def _runs(values: Sequence[float | None]) -> list[tuple[int, list[float]]]:
    """The parts without a gap: where each begins, and its values."""
    runs: list[tuple[int, list[float]]] = []
    before_is_known = False
    for index, value in enumerate(values):
        if value is not None:
            if not before_is_known:
                runs.append((index, []))
            runs[-1][1].append(value)
        before_is_known = value is not None
    return runs
