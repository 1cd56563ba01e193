"""`tail`: prints the ticks of a stream, each once, as they are stored; it can go on where it was ended."""

from __future__ import annotations

import re
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hk_tick_collector import market
from hk_tick_collector.config import read_stream_urls
from hk_tick_collector.data.days import local_archive
from hk_tick_collector.errors import StoreError, UsageError
from hk_tick_collector.following import make_stream, servers_of
from hk_tick_collector.model import GAP_OPEN
from hk_tick_collector.store.query import list_days, path_of

from ._options import EnvFile, settings_in_force, symbols_named
from ._patience import demand_readable, in_child
from ._show import warn
from ._tick_lines import Format, print_ticks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hk_tick_collector.following import Stream
    from hk_tick_collector.model import Gap

_SEQUENCE: Final = re.compile(r"-?[0-9]{9,}|-?[0-9]{1,7}")  # eight digits are a day
_ARGUMENT: Final = re.compile(r"\b(start|day|speed)=")


def tail(
    symbols: Annotated[list[str] | None, typer.Argument(metavar="SYMBOL", help="like HK.00700; default: all")] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--start",
            metavar="WHERE",
            help="new, day (its first tick), 09:30, 20261120, '20261120 09:30', or a sequence",
        ),
    ] = None,
    day: Annotated[
        str | None, typer.Option("--day", metavar="YYYYMMDD", help="only this day; ends with it; default: every day")
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(
            "--speed", metavar="N", help="stored ticks N times as fast as they happened; default: all at once"
        ),
    ] = None,
    position: Annotated[
        Path | None,
        typer.Option(
            "--position", metavar="FILE", help="go on at the place saved in FILE, and save it after each batch"
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="read from NATS servers, nats://HOST:4222,…; default: the day files"),
    ] = None,
    form: Annotated[Format, typer.Option("--format", metavar="FORMAT", help="table, csv or jsonl")] = Format.TABLE,
    env_file: EnvFile = None,
) -> None:
    """Prints each tick once as it is stored, from now on or from anywhere, over every change of day, until Ctrl-C.

    Ticks of a symbol come in order of sequence. Only a tick that was backfilled later, or came out of order, comes
    after higher ones. Gaps are told on stderr, where they are. The columns are those of `ticks`.
    With --day the ticks of one day, also of a finished or archived one: the verb ends with the day.
    --position: the same command goes on where it was ended. After a kill at most one batch is printed again.

    \b
    Examples:
      hk-tick-collector tail HK.00700
      hk-tick-collector tail --start 09:30 --format jsonl
      hk-tick-collector tail --day 20261120 --speed 60
      hk-tick-collector tail --url nats://collector-a:4222,nats://collector-b:4222
      hk-tick-collector tail --format csv --position ticks.position >> ticks.csv
    """
    wanted = symbols_named(symbols or []) or None
    settings = settings_in_force(env_file)
    saved = _saved(position)
    servers = servers_of(read_stream_urls(url), settings.stream_creds, settings.stream_ca) if url is not None else None
    with _warnings_on_stderr():
        archive = local_archive(settings.archive_dir) if servers is None else None
        begin = _start(start) if saved is None else saved
        try:
            stream = make_stream(settings.data_root, archive, servers, wanted, start=begin, day=day, speed=speed)
        except UsageError as error:
            raise _of_options(error, None if saved is None else position) from None
        if servers is None:
            _demand_answer(settings.data_root)
        _print(stream, form, position, header=saved is None)


def _print(stream: Stream, form: Format, position: Path | None, *, header: bool) -> None:
    with stream:
        if position is not None:
            _save(position, str(stream.position))
        if header:
            print_ticks(form, (), follow=True)
            sys.stdout.flush()
        for batch in stream:
            for gap in batch.gaps:
                warn(_gap_line(gap))
            print_ticks(form, batch.rows, follow=True, header=False)
            sys.stdout.flush()
            if position is not None:
                _save(position, str(batch.position))


def _start(text: str | None) -> str | int | None:
    return int(text) if text is not None and _SEQUENCE.fullmatch(text.strip()) else text


def _saved(position: Path | None) -> str | None:
    """The saved position; None before the first."""
    if position is None:
        return None
    try:
        saved = position.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read --position {position} ({error})", hint="name a file that this user may write"
        ) from None
    if not saved.lstrip().startswith("{"):
        raise UsageError(f"--position {position} is not a position of a stream", hint="remove the file to begin anew")
    return saved


def _save(position: Path, text: str) -> None:
    """Replaces the file: it always has a whole position."""
    draft = position.with_name(f".{position.name}.new")
    try:
        draft.write_text(text, "utf-8")
        draft.replace(position)
    except OSError as error:
        raise StoreError(
            f"cannot write --position {position} ({error.strerror})", hint="check its directory"
        ) from error


def _of_options(error: UsageError, position: Path | None) -> UsageError:
    """The error in the words of the command line."""
    words, hint = (_ARGUMENT.sub(r"--\1 ", text) for text in (str(error), error.hint))
    if position is not None and words.startswith("start is "):
        return UsageError(f"--position {position} {words[6:]}", hint="remove the file to begin anew")
    return UsageError(words, hint=hint)


def _demand_answer(data_root: Path) -> None:
    """Raises DiskHangsError if the disk does not answer: this process would wait for it without an end."""
    days = in_child(lambda: list_days(data_root), data_root)
    for day in days[-1:]:
        try:
            demand_readable(path_of(data_root, day))
        except StoreError as error:
            if not hasattr(error, "is_frozen"):
                continue  # the stream says it, if the day is one of its days
            raise


def _gap_line(gap: Gap) -> str:
    since = f" from {market.moment_text(gap.from_ts_ms)} on" if gap.from_ts_ms is not None else ""
    if gap.status != GAP_OPEN:
        return f"gap of {gap.symbol}{since} is closed ({gap.cause})"
    count = "an unknown number of ticks" if gap.missing is None else f"{gap.missing} ticks"
    return f"gap: {count} of {gap.symbol} missing{since} ({gap.cause})"


@contextmanager
def _warnings_on_stderr() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_, **__: warn(str(message))
        yield
