"""Imports an optional package, or says how to install it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from hk_tick_collector.errors import CollectorError

if TYPE_CHECKING:
    from types import ModuleType


def need(module: str, extra: str) -> ModuleType:
    """Imports a module that comes with an extra of this package, like `pyarrow` of `data`.

    CollectorError with the command that installs it, if it is not installed.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise CollectorError(f"{package} is not installed", hint=f"pip install 'hk-tick-collector[{extra}]'") from None
