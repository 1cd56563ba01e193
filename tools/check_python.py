"""Says in one line what is missing when this Python cannot make the virtual environment that the Makefile wants."""

import importlib.util
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this is the place that says so
    sys.exit(
        f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: run make with PYTHON=/path/to/python3.11"
    )
if importlib.util.find_spec("ensurepip") is None:
    sys.exit("Python's venv module is incomplete: run 'sudo apt-get install python3-venv' and try again")
