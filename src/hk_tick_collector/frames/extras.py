"""Imports an optional package, or says how to install it."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import CollectorError

if TYPE_CHECKING:
    from types import ModuleType

_INSTALLED: Final = "/opt/futu_tick_downloader/"  # where deploy/install.sh puts the service


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
        hint = f"pip install 'hk-tick-collector[{extra}]'"
        if sys.prefix.startswith(_INSTALLED):
            hint = f"sudo bash deploy/install.sh --upgrade --extras {extra}"
        raise CollectorError(f"{package} is not installed", hint=hint) from None
