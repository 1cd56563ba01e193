"""Collects every Hong Kong trade tick that Futu OpenD pushes, exactly once, into one SQLite file per trading day."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

    from .data.ranges import Day
    from .data.requests import Symbols
    from .data.store import Store
    from .following import Stream
    from .following.arguments import Start

# The version comes from the latest git tag: see tools/version.py. A tree without a tag has the version NEXT_VERSION.
# After each release, set it to the next version. deploy/install.sh reads it too.
NEXT_VERSION = "0.1.0"

__version__: str


def __getattr__(name: str) -> str:
    """`__version__` at the time this package was installed. It is read at the first use, because that takes 30 ms."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import metadata

    try:
        version = metadata.version("hk-tick-collector")
    except metadata.PackageNotFoundError:  # a copy of the sources on PYTHONPATH
        version = NEXT_VERSION
    globals()["__version__"] = version
    return version


def open(  # noqa: A001 - as `gzip.open`: the module says what is opened
    data_root: str | PathLike[str] | None = None,
    archive: str | PathLike[str] | None = None,
    *,
    verify: bool = False,
) -> Store:
    """The ticks of a collector, for reading: `hk_tick_collector.open().ticks("HK.00700").polars()`.

    `data_root` is the directory of the day files, `archive` that of the archive, or its address `s3://BUCKET/PREFIX`
    (extra `lake`; the usual AWS_ variables, of the environment or .env). If one of them is given, only that one is
    read; without either both are read, as DATA_ROOT and ARCHIVE_DIR of the settings in force name them
    (/docs/configuration.md). `verify`: check the signature and the SHA-256 of an archived day before its first use.

    Nothing is read yet, and nothing is ever written. Raises UsageError for wrong settings; the methods of the store
    need the extra `data`.
    """
    import warnings
    from functools import partial
    from pathlib import Path

    from .data.days import archive_at, configured_archive
    from .data.store import Store

    def variables() -> dict[str, str]:
        from .config import object_store_variables

        return object_store_variables()

    if data_root is None and archive is None:
        from .config import load_settings

        settings = load_settings().settings
        found = configured_archive(settings.archive_dir, variables, partial(warnings.warn, stacklevel=3))
        return Store(settings.data_root, found, verify=verify)
    root = None if data_root is None else Path(data_root)
    return Store(root, None if archive is None else archive_at(archive, variables), verify=verify)


def stream(
    source: str | PathLike[str] | None = None,
    symbols: Symbols = None,
    *,
    start: Start | None = None,
    day: Day | None = None,
    archive: str | PathLike[str] | None = None,
    speed: float | None = None,
) -> Stream:
    """Each tick exactly once as it is stored: `for batch in hk_tick_collector.stream(): print(batch.rows)`.

    `source`: the directory of the day files, or NATS servers, as `"nats://HOST:4222"`, several separated by commas
    (extra `stream`; STREAM_CREDS and STREAM_CA of the settings are for them). Without it and `archive`: DATA_ROOT and
    ARCHIVE_DIR of the settings in force. `symbols`: one like `"HK.00700"`, or several; all without it.

    `start`: `"new"`, from now on; `"day"`, from the day's begin; a time, as `"09:30"`, `"2026-11-20 09:30"` or a
    `datetime` with a time zone; a day, as `"2026-11-20"`; an int, a sequence, from which on; or a position that was
    saved, `batch.position` or its text. Stored ticks come first, then new ones. `day`: only this day; the stream ends
    with it, and begins with it unless `start` says otherwise. `speed`: stored ticks come so many times as fast as they
    happened; all at once without it.

    It can be used in `for` and in `async for`: see /docs/stream.md. Raises UsageError for an argument that means
    nothing, at once; StoreError while files are read. The frames of a batch and archived days need the extra `data`.
    """
    from .following import make_stream, read_archive, read_source, servers_of

    if isinstance(source, str) and source.startswith(("nats://", "tls://")):
        from .config import load_settings, read_stream_urls
        from .errors import UsageError

        if archive is not None:
            raise UsageError("archive is given together with servers", hint="leave one of them out")
        settings = load_settings().settings
        servers = servers_of(read_stream_urls(source), settings.stream_creds, settings.stream_ca)
        return make_stream(None, None, servers, symbols, start=start, day=day, speed=speed)
    data_root, archived = read_source(source), read_archive(archive)
    if data_root is None and archived is None:
        from .config import load_settings
        from .data.days import local_archive

        settings = load_settings().settings
        data_root, archived = settings.data_root, local_archive(settings.archive_dir)
    return make_stream(data_root, archived, None, symbols, start=start, day=day, speed=speed)
