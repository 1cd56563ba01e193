"""A day file with two rows in disorder: SQLite opens it, and only a check that reads all of it finds that."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def put_in_disorder(path: Path) -> bytes:
    """Changes the symbol of the last row of a plain file with ticks of HK.00700 alone; returns what it holds now."""
    data = bytearray(path.read_bytes())
    row = data.rindex(b"HK.00700")
    data[row : row + 8] = b"HK.00001"
    path.write_bytes(data)
    return bytes(data)
