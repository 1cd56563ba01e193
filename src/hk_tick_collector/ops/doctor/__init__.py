"""The checks of `doctor`: files, host, OpenD. Each returns results of result.py."""
