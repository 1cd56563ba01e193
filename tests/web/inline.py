"""In place of `web.reading.Reading` where a test needs no process; what passes between processes is pickled too."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_T = TypeVar("_T")


class Inline:
    """Runs the work at once."""

    async def read(self, work: Callable[[], _T], path: Path) -> _T:
        assert path
        found: _T = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(work))()))
        return found
