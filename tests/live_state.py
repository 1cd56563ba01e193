"""The live state as the service writes it, for tests of its readers."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector.ops.live.status import STATUS_NAME, LiveStatus, write_status

if TYPE_CHECKING:
    from pathlib import Path

_NOTHING: Final[dict[str, Any]] = {"int": 0, "float": 0.0, "str": "", "bool": False, "dict[str, str]": {}}


def live_state(**values: Any) -> LiveStatus:
    """A live state with these fields; all others have minimal values."""
    needed = [spec for spec in fields(LiveStatus) if spec.default is MISSING and spec.default_factory is MISSING]
    nothing = {spec.name: deepcopy(_NOTHING.get(str(spec.type))) for spec in needed}  # a test may change its dicts
    return LiveStatus(**{**nothing, **values})


def leave_live_state(data_root: Path, **values: Any) -> Path:
    """Writes `status.json` in DATA_ROOT with these fields, all others minimal; returns its path."""
    write_status(data_root / STATUS_NAME, live_state(**{"data_root": str(data_root), **values}))
    return data_root / STATUS_NAME
