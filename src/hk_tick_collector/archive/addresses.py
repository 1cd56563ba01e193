"""The place of an archive, by the address that the operator gave."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hk_tick_collector.errors import UsageError

from .places import Directory
from .s3 import SCHEME, S3Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .places import Place


def place_at(where: str, variables: Mapping[str, str] | None = None) -> Place:
    """A directory, or `s3://BUCKET/PREFIX` with the AWS_ `variables` by their usual names; nothing is contacted yet.

    Raises UsageError for another kind of URL, CollectorError without the extra `lake`.
    """
    if where.startswith(SCHEME):
        return S3Place(where, variables or {})
    if "://" in where:
        raise UsageError(
            f"an archive at {urlsplit(where).scheme}:// is not supported",
            hint="name a directory, or s3://BUCKET/PREFIX",
        )
    return Directory(Path(where))
