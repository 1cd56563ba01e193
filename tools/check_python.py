"""Says in one line what is missing if this Python cannot create the virtual environment for the Makefile."""

import importlib.util
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this check is for older versions
    sys.exit(
        f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: run make with PYTHON=/path/to/python3.11"
    )
if importlib.util.find_spec("ensurepip") is None:
    sys.exit("Python's venv module is incomplete: run 'sudo apt-get install python3-venv' and try again")
