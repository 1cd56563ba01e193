"""The command line. Each verb is a module with a function of the verb's name; only the given verb is imported.

Exit codes: 0 success, 1 the command failed, 2 wrong usage or settings, 130 Ctrl-C, 141 the reader of a pipe has closed
it; a verb may define others. An error with a known cause is one line with its remedy; a traceback means a bug.
"""

from __future__ import annotations

import difflib
import importlib
import keyword
import resource
import sys
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector import __version__, log
from hk_tick_collector.errors import CollectorError, UsageError

from ._show import complain, show_lines
from ._streams import drop, make_safe, open_missing

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM: Final = "hk-tick-collector"

_LEAST_BYTES: Final = 72 << 20  # below this memory limit (RLIMIT_AS) the imports of a verb may fail at any line

# A verb is a module of this package with a function of the same name, and one line here.
VERBS: Final = {
    "run": "the service: collects until told to stop",
    "simulate": "an OpenD that needs no account: a synthetic Hong Kong day over real TCP",
    "demo": "simulate and run together in one terminal, with a live view",
    "status": "the 30-second check: one line that says what is wrong and what to do",
    "top": "the live view of the running service: findings, figures, busiest symbols, last ticks",
    "web": "a web page: whether the service works, which ticks arrive, and whether a day can be trusted",
    "doctor": "checks everything that must be right before the market opens, and gives a remedy for each failure",
    "logs": "the journal, filtered and coloured; --explain says what a line means",
    "ticks": "prints or follows ticks as a table, CSV or JSON lines",
    "tail": "prints each tick once as it is stored, from now on or from a given point; --position goes on from its end",
    "bars": "open, high, low, close and volumes of any symbols and days, by time, ticks, volume or turnover",
    "verify": "compares the day files of run with the ticks that simulate sent, tick by tick",
    "export": "ticks of any symbols and days as Parquet, CSV, Arrow or JSON lines: complete files, or none",
    "gaps": "the gaps of a day: which ticks are missing, why, and which were backfilled since",
    "quality": "is a day usable? one line, the figures, and a page with pictures; past, live and archived days",
    "snapshot": "an online copy of a day, checked, with SHA-256; the collector does not stop",
    "publish": "sends stored ticks to a stream of NATS servers: a copy off this host, or one of several sources",
    "merge": "the union of all collectors that publish: each tick once, in day files of its own",
    "archive": "sealed days as verified, signed files: Parquet, SQLite and a certificate",
    "restore": "restores archived days as day files, compared with their certificates",
    "prune": "frees day files and snapshots that are proved to be elsewhere",
    "certificate": "shows and checks the signed certificates of archived days; makes the key",
    "import": "imports day files of the program that collected here before, checked row by row; the old files are kept",
    "report": "retention and disk: what is kept, what is missing, when the disk is full; deletes nothing",
    "plan": "distributes symbols over several hosts by their quotas: one symbols file per host",
    "alerts": "sends a test message, mutes findings for a time, lists what is muted and what is open",
    "config": "every setting in force and where it came from",
}


def main(args: Sequence[str] | None = None) -> int:
    """Runs one verb and returns the exit code. `args` are the arguments after the program's name (else: sys.argv)."""
    open_missing()  # before anything that opens a file
    make_safe()
    args = sys.argv[1:] if args is None else args
    try:
        _require_memory()
        code = _top_level(list(args))
        sys.stdout.flush()  # flush here, where an error from a closed pipe or a full disk can still be reported
    except CollectorError as error:
        return _fail(error.one_line(), 2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        drop(sys.stdout)
        return 141
    except OSError as error:
        drop(sys.stdout)
        where = f": {error.filename}" if error.filename else ""
        return _fail(f"{error.strerror or error}{where}", 1)
    except Exception:  # noqa: BLE001 - the last boundary: an error that reaches this line is a bug
        log.configure("INFO")
        log.bug("bug", version=__version__, hint="please report the lines below")
        return 1
    return code


def _require_memory() -> None:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < _LEAST_BYTES:
        # imported here: --help and most verbs need no part of the service
        from hk_tick_collector.collect.memory_limit import limit_too_low

        raise limit_too_low(limit)


def _top_level(args: list[str]) -> int:
    verb = args.pop(0) if args else ""
    if verb in ("--version", "-V"):
        show_lines(f"{PROGRAM} {__version__}")
        return 0
    if verb in ("--help", "-h", "help"):
        if args and verb == "help":
            return _run_verb(args[0], ["--help"])
        show_lines(_help())
        return 0
    return _run_verb(verb, args)


def _run_verb(verb: str, args: list[str]) -> int:
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"verbs are {', '.join(VERBS)}; see {PROGRAM} --help"
        raise UsageError(f"there is no verb {verb!r}" if verb else "no verb given", hint=hint)
    import typer  # imported late: it is slow to import, and --help does not need it

    command = _command(verb)
    try:
        with command.make_context(f"{PROGRAM} {verb}", args) as context:
            code = command.invoke(context)
    except typer.Exit as exit_:
        return exit_.exit_code
    except typer.Abort:
        return 130
    except typer.TyperException as error:
        message = " ".join(error.format_message().split()).rstrip(".")
        raise UsageError(f"{verb}: {message}", hint=f"see {PROGRAM} {verb} --help") from None
    return code if isinstance(code, int) else 0


def _command(verb: str) -> Any:
    """The verb as a typer command. typer's own main() is not called: `main` above handles the errors it would catch."""
    import typer

    name = f"{verb}_" if keyword.iskeyword(verb) else verb
    function = getattr(importlib.import_module(f"{__name__}.{name}"), name)
    app = typer.Typer(
        add_completion=False, rich_markup_mode=None, context_settings={"help_option_names": ["--help", "-h"]}
    )
    app.command(verb)(function)
    return typer.main.get_command(app)


def _help() -> str:
    verbs = "\n".join(f"  {verb:12}{line}" for verb, line in VERBS.items())
    return f"""Usage: {PROGRAM} VERB [OPTIONS]

Collects every Hong Kong trade tick from Futu OpenD into one SQLite file per trading day.

Verbs:
{verbs}

{PROGRAM} VERB --help shows the options and an example. {PROGRAM} --version shows the version.
Try it without an account: {PROGRAM} demo"""


def _fail(line: str, code: int) -> int:
    complain(f"{PROGRAM}: {line}")
    return code
