"""`hk-tick-collector simulate`: makes a Plan and a Gateway from the arguments, then runs a simulator until a signal."""

from __future__ import annotations

import asyncio
import re
import signal
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hk_tick_collector import log, market
from hk_tick_collector.clock import now_ms
from hk_tick_collector.errors import UsageError

from ._show import show

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence

    from hk_tick_collector.model import Tick
    from hk_tick_collector.simulator.faults.scenario import Line
    from hk_tick_collector.simulator.plan import Gateway, Plan

_PATIENCE_S: Final = 3.0  # how long clients may read after the first signal
_DEFAULT_AT: Final = "09:30"
_AT: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?", re.ASCII)


def _list_steps(wanted: bool) -> None:
    """Prints the grammar of a scenario."""
    if not wanted:
        return
    from hk_tick_collector.simulator.faults.scenario import STEPS

    show("[at TIME] [every TIME [until TIME]] STEP          one line of a scenario; TIME is like 500ms, 5s or 2m")
    show("every TIME random seed NUMBER from STEP | STEP ...  one of these steps each time")
    show()
    for name, form in STEPS.items():
        show(" ".join(filter(None, (f"  {name}", form.words, "[for TIME]" if form.lasts else ""))))
        show(f"      {form.says}")
    raise typer.Exit


def _list_sequences(wanted: bool) -> None:
    """Prints the models of the sequence."""
    if not wanted:
        return
    from hk_tick_collector.simulator.exchange.sequences import MODELS

    for name, says in MODELS.items():
        show(f"  {name:<16}{says}")
    raise typer.Exit


def simulate(  # noqa: PLR0917 - typer makes an option of each argument
    symbols: Annotated[
        str, typer.Option(help="how many symbols, a list like HK.00700,HK.00981, or @FILE with one a line")
    ] = "100",
    rate: Annotated[
        float,
        typer.Option(help="mean number of ticks per second of real time over all symbols, while the market trades"),
    ] = 200.0,
    day: Annotated[
        str,
        typer.Option(help="trading day to simulate, like 20261120; without --day and --at, exchange time is real time"),
    ] = "",
    at: Annotated[
        str, typer.Option(help="Hong Kong time of day to start at, like 09:30 (the default if --day is given)")
    ] = "",
    speed: Annotated[float, typer.Option(help="seconds of simulated time per second of real time")] = 1.0,
    seed: Annotated[int, typer.Option(help="the same seed, day and time give the same ticks")] = 1,
    sequence: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="how ticks are numbered: `steps` for all symbols, `HK.00005=random,HK.00700=steps` for some",
        ),
    ] = "counter",
    replay: Annotated[Path | None, typer.Option(help="replay this recorded day file instead of making ticks")] = None,
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port to listen on; 0 takes a free one")] = 11111,
    truth: Annotated[Path | None, typer.Option(help="write every tick that is made to this file")] = None,
    write_symbols: Annotated[
        Path | None, typer.Option(help="write the symbols to this file, for FUTU_SYMBOLS=@FILE")
    ] = None,
    ticks_per_push: Annotated[int, typer.Option(help="ticks of each trade; one push has them all")] = 1,
    total: Annotated[int | None, typer.Option(help="make this many ticks, then only answer requests")] = None,
    seconds: Annotated[
        float | None, typer.Option(help="make ticks for this many seconds, then only answer requests")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="start when one client is subscribed to every symbol")] = False,
    within_window: Annotated[
        bool,
        typer.Option(
            "--within-window", help="make no ticks while a client is away so long that OpenD could not return them all"
        ),
    ] = False,
    quota: Annotated[int, typer.Option(help="subscription quota of the account")] = 2000,
    refuse: Annotated[str, typer.Option(help="symbols that OpenD reports as unknown: a list, or @FILE")] = "",
    rsa_key: Annotated[
        Path | None, typer.Option(help="encrypt with this RSA private key (PEM, PKCS#1), as OpenD does")
    ] = None,
    client_buffer_mb: Annotated[int, typer.Option(help="disconnect a client that leaves more than this unread")] = 64,
    resume: Annotated[
        Path | None, typer.Option(help="continue as the same exchange from this truth file, and append to it")
    ] = None,
    scenario: Annotated[
        Path | None, typer.Option(help="what goes wrong and when: lines like `at 5s cut`, `every 1m away for 3s`")
    ] = None,
    control: Annotated[
        Path | None, typer.Option(help="take steps of a scenario from this Unix socket, one a line")
    ] = None,
    list_steps: Annotated[
        bool,
        typer.Option(
            "--list-steps", help="print every step of a scenario and exit", callback=_list_steps, is_eager=True
        ),
    ] = False,
    list_sequences: Annotated[
        bool,
        typer.Option(
            "--list-sequences", help="print every MODEL of --sequence and exit", callback=_list_sequences, is_eager=True
        ),
    ] = False,
) -> None:
    """An OpenD that needs no account: a synthetic Hong Kong day, or a recorded one, with or without scripted faults.

    After a signal it makes no more ticks and gives clients 3 s to read what was sent; a second signal ends it at once.

    \b
    Examples:
      hk-tick-collector simulate --symbols HK.00700,HK.00981 --rate 50 --day 20261120 --at 09:30 --speed 10
      printf 'at 5s cut\\nat 9s mute for 4s\\n' > bad.txt && hk-tick-collector simulate --scenario bad.txt

    """
    from hk_tick_collector.simulator.exchange.sequences import COUNTER, parse_sequence
    from hk_tick_collector.simulator.faults.scenario import parse_scenario
    from hk_tick_collector.simulator.plan import Gateway, Plan

    log.configure("INFO")
    if resume is not None and truth is not None:
        raise UsageError("--resume continues its own truth file", hint="leave out --truth")
    lines = parse_scenario(_read(scenario, "scenario").decode(errors="replace"), str(scenario)) if scenario else []
    with ExitStack() as stack:
        recorded: Iterator[Tick] | None = None
        if replay is None:
            names, start_ms = _symbols(symbols), _start_ms(day, at)
        else:
            if day:
                raise UsageError(
                    "--day cannot be combined with --replay: a recording is of one day",
                    hint="leave out --day, or --replay",
                )
            names, recorded, start_ms = _recording(stack, replay, at)
        plan = Plan(
            symbols=names,
            rate=rate,
            seed=seed,
            start_ms=start_ms,
            speed=speed,
            sequence=parse_sequence(sequence) if sequence != COUNTER else {},
            fills=ticks_per_push,
            recorded=recorded,
            total=total,
            seconds=seconds,
            wait=wait,
            within_window=within_window,
            truth=resume or truth,
            resume=resume is not None,
        )
        gateway = Gateway(
            host=host,
            port=port,
            quota=quota,
            refused=frozenset(_symbols(refuse) if refuse else ()),
            rsa_pem=_read(rsa_key, "RSA key") if rsa_key else None,
            buffer_bytes=client_buffer_mb << 20,
        )
        if write_symbols is not None:
            _write_symbols(write_symbols, names)
        asyncio.run(serve(plan, gateway, lines, control))


async def serve(plan: Plan, gateway: Gateway, lines: Sequence[Line] = (), control: Path | None = None) -> None:
    """Simulates until SIGINT, SIGTERM or SIGHUP; raises any error that stops the ticks."""
    from hk_tick_collector.simulator.control import Control
    from hk_tick_collector.simulator.server import Simulator

    stop, at_once = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (at_once if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            continue  # nohup makes a process ignore SIGHUP; keep that
        loop.add_signal_handler(number, on_signal)
    async with AsyncExitStack() as stack:
        simulator = Simulator(plan, gateway)
        if control is not None:  # started first, so that it exists when the simulator reports that it listens
            await stack.enter_async_context(Control(control, simulator))
        await stack.enter_async_context(simulator)
        await _until(stop, simulator.finished(), simulator.play(lines))
        finishing = asyncio.create_task(simulator.finish(_PATIENCE_S))
        finishing.add_done_callback(lambda _: at_once.set())
        await _until(at_once)
        finishing.cancel()


async def _until(stop: asyncio.Event, *work: Coroutine[None, None, None]) -> None:
    """Runs `work` until it ends or `stop` is set; raises its error."""
    stopped = asyncio.create_task(stop.wait())
    running: set[asyncio.Task[Any]] = {stopped, *map(asyncio.create_task, work)}
    try:
        while not stopped.done():
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _symbols(text: str) -> list[str]:
    """The symbols for `--symbols`: a number of symbols, a list, or @FILE."""
    from hk_tick_collector.simulator.exchange.listing import default_symbols, parse_symbols

    if text.startswith("@"):
        lines = _read(Path(text[1:]), "file of symbols").decode(errors="replace").splitlines()
        return parse_symbols(line for line in lines if not line.lstrip().startswith("#"))
    if text.strip().lstrip("-").isdecimal():
        return default_symbols(int(text))
    return parse_symbols(text.split(","))


def _start_ms(day: str, at: str) -> int | None:
    """The start of the simulated clock, UTC epoch ms; None for real time."""
    if not day and not at:
        return None
    try:
        number = market.parse_day(day) if day else market.day_number(now_ms())
    except ValueError:
        raise UsageError(f"--day is {day!r}, which is not a date", hint="write it like 20261120") from None
    return market.day_start_ms(number) + _time_of_day_ms(at or _DEFAULT_AT)


def _time_of_day_ms(text: str) -> int:
    match = _AT.fullmatch(text)
    if match is None:
        raise UsageError(f"--at is {text!r}, which is not a time of day", hint="write it like 09:30 or 13:45:10")
    hour, minute, second = (int(part or 0) for part in match.groups())
    return ((hour * 60 + minute) * 60 + second) * 1000


def _recording(stack: ExitStack, path: Path, at: str) -> tuple[list[str], Iterator[Tick], int]:
    """The symbols and ticks of a day file, and the start of the simulated clock (UTC epoch ms).

    The clock starts at `at` on that day; without `at` it starts at the time of the first tick.
    """
    from hk_tick_collector.store.query import DayReader

    reader = stack.enter_context(DayReader(path))
    counts = reader.symbols()
    if not counts:
        raise UsageError(f"{path} has no tick to replay", hint="give a day file that a collector has written to")
    first_ms = min(count.first_ts_ms for count in counts)
    if at:
        first_ms = market.day_start_ms(market.day_number(first_ms)) + _time_of_day_ms(at)
    busiest_first = sorted(counts, key=lambda count: (-count.rows, count.symbol))
    return [count.symbol for count in busiest_first], reader.ticks(), first_ms


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"the {what} {path} cannot be read ({error.strerror})", hint="check the path") from None


def _write_symbols(path: Path, symbols: list[str]) -> None:
    try:
        path.write_text("\n".join([*symbols, ""]), encoding="ascii")
    except OSError as error:
        raise UsageError(
            f"the file of symbols {path} cannot be written ({error.strerror})", hint="check the path"
        ) from None
