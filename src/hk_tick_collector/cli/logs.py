"""`logs`: the service's journal, filtered and coloured, and the explanation of a line."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import IO, TYPE_CHECKING, Annotated, Final

import typer

from hk_tick_collector.errors import JournalError, UsageError
from hk_tick_collector.ops.explanations import catalogue
from hk_tick_collector.ops.findings.words import Words, same

from ._journal import LEVELS, SYSTEMD, Choice, Line, read_lines, summed
from ._options import AsJson  # noqa: TC001 - typer reads the annotation
from ._show import show, show_json
from ._terminal import in_colour, language_on

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

UNIT: Final = "hk-tick-collector"
_LATEST_LINES: Final = 500  # lines read from the journal without --since
_MAY_NOT: Final = ("insufficient permissions", "not seeing messages from other users", "Permission denied")
_WHAT: Final = {"log line": Words("log line", "日誌"), "finding": same("finding")}
_DO: Final = Words("do", "做法")
_COLOURS: Final = {"DEBUG": "\33[2m", "INFO": "", "WARNING": "\33[33m", "ERROR": "\33[1;31m"}


def logs(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="a saved log, - for stdin; default: the journal")
    ] = None,
    *,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="TIME", help="as for journalctl, in Hong Kong time: '10 minutes ago', 09:15, today"
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="keep printing new lines")] = False,
    level: Annotated[str, typer.Option("--level", metavar="LEVEL", help="lowest level: DEBUG to ERROR")] = "DEBUG",
    event: Annotated[
        list[str] | None, typer.Option("--event", metavar="EVENT", help="only this event; can be repeated")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="every line: also routine lines, and each repeat")] = False,
    explain: Annotated[
        str | None,
        typer.Option(
            "--explain",
            metavar="EVENT_OR_LINE",
            help="explain an event, a finding or a log line; `all` lists every name",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Shows what the service logged, newest last; warnings and errors are highlighted, repeats are combined.

    Without --since these are the last 500 lines of the journal. The routine lines persist_summary and
    persist_loop_heartbeat are left out; --all shows them.

    \b
    Examples:
      hk-tick-collector logs --since '30 minutes ago' --level WARNING
      hk-tick-collector logs --follow
      hk-tick-collector logs --explain sqlite_busy_backoff
      hk-tick-collector logs --explain 'ERROR persist_failed cause=disk_full'
      journalctl -u hk-tick-collector -b | hk-tick-collector logs -
    """
    if explain is not None:
        _explain(explain, as_json=as_json)
    else:
        if follow and (as_json or file):
            raise UsageError("--follow works only with the journal, on a terminal", hint="leave out --json and FILE")
        if file and since:
            raise UsageError(
                "--since works only with the journal", hint="leave it out, or pipe the output of journalctl --since"
            )
        choice = Choice(_level(level), frozenset(map(_event, event or [])), everything)
        with _source(file, since, follow=follow) as raw_lines:
            wanted = filter(choice.takes, read_lines(raw_lines, at_once=follow))
            _print(wanted, repeats=everything or follow, at_once=follow, as_json=as_json)


def _level(text: str) -> str:
    if text.upper() not in LEVELS:
        raise UsageError(f"--level {text} is not a level", hint=f"levels are {', '.join(LEVELS)}")
    return text.upper()


def _event(text: str) -> str:
    """The event in the text, by its name in the log."""
    found = [each.name for each in catalogue.explain(text) if each.what == "log line"]
    if text != SYSTEMD and not found:
        raise _unknown(text)
    return found[0] if found else SYSTEMD


def _unknown(text: str) -> UsageError:
    near = catalogue.nearest(text)
    hint = f"did you mean {near}?" if near else "hk-tick-collector logs --explain all lists every name"
    shown = text if len(text) <= 60 else text[:57] + "..."
    return UsageError(f"{shown!r} is neither a log event nor a finding of this version", hint=hint)


def _explain(text: str, *, as_json: bool) -> None:
    if text == "all":
        found = [each for name in catalogue.names() for each in catalogue.explain(name)]
    else:
        found = catalogue.explain(text)
    if not found:
        raise _unknown(text)
    if as_json:
        entries = [
            {"name": each.name, "what": each.what, "meaning": each.entry.meaning.en, "remedy": each.entry.remedy.en}
            for each in found
        ]
        show_json({"explained": entries})
        return
    lang = language_on(sys.stdout)
    for each in found:
        show(f"{each.name} ({_WHAT[each.what].of(lang)}): {_plain(each.entry.meaning, lang)}")
        show(f"  {_DO.of(lang)}: {_plain(each.entry.remedy, lang)}")


def _plain(words: Words, lang: str) -> str:
    """The text for a terminal: the code marks in Chinese text are for the page."""
    return words.of(lang).replace("`", "")


@contextmanager
def _source(file: str | None, since: str | None, *, follow: bool) -> Iterator[Iterable[str]]:
    """Lines of a file, of stdin or of the journal."""
    if file == "-":
        yield sys.stdin
    elif file:
        path = Path(file)
        try:
            opened = path.open(encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise UsageError(
                f"cannot read {file} ({error.strerror})", hint="name a saved log, or - for stdin"
            ) from None
        with opened:
            yield opened
    else:
        with _journal(since, follow=follow) as lines:
            yield lines


@contextmanager
def _journal(since: str | None, *, follow: bool) -> Iterator[Iterable[str]]:
    """The output of journalctl for our unit. JournalError if there is no journal or this user may not read it."""
    program = which("journalctl")
    if program is None:
        raise JournalError("there is no journalctl on this host", hint="name a file: hk-tick-collector logs FILE")
    # --since, and the journal's lines of other programs, are in Hong Kong time too.
    command = ["/usr/bin/env", "TZ=HKT-8", program, "-u", UNIT, "-o", "short-iso", "--no-pager"]
    command += [f"--since={since}"] if since else ["-n", str(_LATEST_LINES)]
    command += ["--follow"] if follow else []
    with subprocess.Popen(  # noqa: S603 - a fixed program, and no shell
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="backslashreplace"
    ) as process:
        assert process.stdout
        assert process.stderr
        seen = _Seen(process.stdout)
        try:
            yield seen
            _judge(process.stderr.read(), process.wait(), seen.count, since)
        finally:
            process.terminate()


class _Seen:
    """The lines of a stream, with a limit; journalctl's own remarks are left out."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.count = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._stream:
            self.count += not line.startswith("-- ")
            yield line


def _judge(said: str, code: int, lines: int, since: str | None) -> None:
    """The error that journalctl printed, as one line with a remedy."""
    if not lines and any(words in said for words in _MAY_NOT):
        raise JournalError(
            "this user may not read the journal",
            hint=f"sudo {UNIT} logs, or sudo usermod -aG systemd-journal $USER and log in again",
        )
    words = " ".join(said.split())
    if code and "parse timestamp" in words:
        raise UsageError(
            f"--since {since} is not a time", hint="write '10 minutes ago', 'today', 09:15 or '2026-11-20 09:15'"
        )
    if code:
        raise JournalError(f"journalctl failed: {words}", hint=f"compare with: sudo journalctl -u {UNIT} -n 20")
    if not lines:
        cause = words or f"the journal has no line of {UNIT}.service for that time"
        raise JournalError(cause.rstrip("."), hint=f"is it installed? sudo systemctl status {UNIT} --no-pager")


def _print(lines: Iterator[Line], *, repeats: bool, at_once: bool, as_json: bool) -> None:
    if as_json:
        keys = ("time", "level", "event", "fields", "text", "more")
        show_json({"lines": [{key: getattr(line, key) for key in keys} for line in lines]})
        return
    colour = in_colour(sys.stdout)
    for line, held_back in ((line, 0) for line in lines) if repeats else summed(lines):
        if held_back:
            show(f"    … {held_back:,} more {line.event} like this one; the last:")
        for text in (line.text, *line.more):
            show(head=text, style=_COLOURS[line.level] if colour else "")
        if at_once:
            sys.stdout.flush()
