"""The AWS_ variables for an archive in an object store, by their usual names: from the environment, else from the
settings file. They are not settings of the collector: no value of them is checked, listed or printed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from .envfile import read_env_file
from .load import settings_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PREFIX: Final = "AWS_"


def object_store_variables(env_file: Path | None = None, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Every AWS_ variable that has a value; the environment wins over the file. Raises UsageError for a bad file."""
    environ = os.environ if environ is None else environ
    path = settings_file(env_file)
    found = {variable.name: variable.value for variable in read_env_file(path)[0]} if path else {}
    return {name: value for name, value in (found | dict(environ)).items() if name.startswith(_PREFIX) and value}
