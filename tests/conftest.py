"""Fixtures for every test: a directory without foreign settings, day files, the command line as a process."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from contextlib import closing, suppress
from functools import cache, partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar

import apsw
import hypothesis
import pytest
from tests import quick
from tests.preloaded import library
from tests.receiver import Receiver

from hk_tick_collector.config import DEFINITIONS
from hk_tick_collector.store.schema import APPLICATION_ID, MIGRATIONS, TICK_COLUMNS, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.nursery import Nursery
    from tests.s3_server import S3Server

    from hk_tick_collector.model import TickRow


T = TypeVar("T")

# No deadline: the time of an example depends on the load of the machine. Each run tries the same examples, so that its
# result depends on the change only. `--hypothesis-profile=explore` tries other examples each time.
hypothesis.settings.register_profile(
    "any load", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile(
    "explore", hypothesis.settings.get_profile("any load"), derandomize=False, database=None
)
hypothesis.settings.load_profile("any load")

# Verbs print in the language of the locale: the tests set English.
for _name in ("LC_ALL", "LC_MESSAGES", "LANG"):
    if os.environ.get(_name, "").lower().startswith("zh"):
        os.environ[_name] = "C.UTF-8"

_HONG_KONG_MS: Final = 8 * 3_600_000
_NEAR_MS: Final = 3 * 60_000

_WAITING: Final = (
    "reliability",
    "e2e",
)  # folders of tests/ whose tests mostly wait, the longest first
_SPREAD_OVER: Final = 0.6  # among this share of the other tests: the last tests are quick, so all workers end together

_TERMINAL_VARIABLES: Final = {"TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Waiting tests are mixed with tests that use the CPU, so that no core is idle; the longest begin first."""

    def rank(item: pytest.Item) -> int:
        if item.get_closest_marker("early"):
            return 0
        folder = item.path.parent.name
        return 1 + (_WAITING.index(folder) if folder in _WAITING else len(_WAITING))

    waiting = sorted((item for item in items if rank(item) <= len(_WAITING)), key=rank)
    working = [item for item in items if rank(item) > len(_WAITING)]
    items[:] = spread(waiting, working, round(_SPREAD_OVER * len(working)))


def spread(some: list[T], others: list[T], over: int) -> list[T]:
    """Both in their order, with `some` at equal distances among the first `over` of the others."""
    places = [(index * over / len(some), item) for index, item in enumerate(some)]
    among = [(float(index), item) for index, item in enumerate(others)]
    return [item for _, item in sorted(places + among, key=itemgetter(0))]


class _ShowsFailuresAtOnce:
    """Shows each failure at once; pytest itself shows them after all tests."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A step of a test has ended."""
        if report.failed:
            self._terminal.ensure_newline()
            self._terminal.section(f"{report.when} of {report.nodeid}", sep="_", red=True)
            self._terminal.write_line(report.longreprtext)
            for title, text in report.sections:
                self._terminal.section(title, sep="-")
                self._terminal.write_line(text)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Our own options."""
    quick.add_options(parser)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Failures are shown by the main process, not by each worker."""
    quick.configure(config)
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_ShowsFailuresAtOnce(terminal))


@pytest.fixture(autouse=True)
def _no_foreign_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes settings from the environment of the shell that runs the tests."""
    names = {setting.name for setting in DEFINITIONS}
    for name in list(os.environ):
        if name in names or name.startswith(("FUTU_", "SQLITE_", "WATCHDOG_")):
            monkeypatch.delenv(name)


@pytest.fixture
def one_day() -> None:
    """Waits until after midnight in Hong Kong if midnight is near, so that the test runs within one day.

    Midnight itself has its own tests, with a clock that they set.
    """
    day_ms = 24 * 3_600_000
    while (left_ms := day_ms - (time.time_ns() // 1_000_000 + _HONG_KONG_MS) % day_ms) < _NEAR_MS:
        time.sleep(min(1.0, left_ms / 1000))


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory for the test; its empty `.env` keeps an installed one from being read."""
    (tmp_path / ".env").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def nursery() -> Iterable[Nursery]:
    """Starts processes without a new start of Python."""
    from tests.nursery import Nursery  # imports the service, which most tests do not need

    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def cli(workdir: Path, nursery: Nursery) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `python -m hk_tick_collector ARGS` in a process of its own, with extra environment variables as keywords."""

    def run(*args: str, **more: str) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, **more}
        if nursery.can_fork(environ):
            return nursery.run(list(args), workdir, environ)
        return subprocess.run(
            [sys.executable, "-m", "hk_tick_collector", *args],
            cwd=workdir,
            env=environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


@pytest.fixture
def on_terminal(workdir: Path, nursery: Nursery, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Like `cli`, on a terminal with colours: the exit code, and the output."""
    for name in _TERMINAL_VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def run(*args: str, **environ: str) -> tuple[int, str]:
        leader, follower = pty.openpty()
        files = (follower, follower, follower)
        process = nursery.fork(list(args), workdir, files, {**os.environ, "TERM": "xterm", **environ})
        os.close(follower)
        shown = b""
        with os.fdopen(leader, "rb", buffering=0) as terminal, suppress(OSError):  # Linux reports the end as an error
            while piece := terminal.read(65_536):
                shown += piece
        return process.wait(300), shown.decode().replace("\r\n", "\n")

    return run


_JUDGE: Final = """
    UPDATE symbols SET rule = 'counter', expected =
        (SELECT max(seq & 0xFFFFFFFF) FROM ticks WHERE ticks.symbol = symbols.symbol)
    WHERE NOT EXISTS (SELECT 1 FROM ticks WHERE ticks.symbol = symbols.symbol
                      AND abs((seq >> 32) - ts_ms / 1000) > 10)
"""


class DayFile:
    """A day file of a test, with its own writing connection, as a collector has it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        draft = path.with_name(f".{path.name}.new")  # a reader must not see a file without its tables
        with closing(apsw.Connection(str(draft))) as db:
            db.pragma("application_id", APPLICATION_ID)
            db.pragma("user_version", VERSION)
            with db:
                for migration in MIGRATIONS:
                    db.execute(migration)
        draft.rename(path)
        self.db = apsw.Connection(str(path))
        self.db.pragma("journal_mode", "wal")

    def add(self, ticks: Iterable[TickRow]) -> None:
        """Stores ticks in one transaction; those that exist are skipped."""
        marks = ", ".join("?" * len(TICK_COLUMNS))
        with self.db:
            self.db.executemany(f"INSERT INTO ticks VALUES ({marks}) ON CONFLICT DO NOTHING", ticks)
            self.db.execute(_JUDGE)  # as the collector does if the sequence of every tick follows the rule

    def execute(self, sql: str, values: tuple[Any, ...] = ()) -> None:
        """Any other statement."""
        self.db.execute(sql, values)


@pytest.fixture
def make_day(tmp_path: Path) -> Iterable[Callable[..., DayFile]]:
    """Makes `NAME.db` in the test's directory."""
    made: list[DayFile] = []

    def make(name: str = "20261120", directory: Path = tmp_path) -> DayFile:
        made.append(DayFile(directory / f"{name}.db"))
        return made[-1]

    yield make
    for day in made:
        day.db.close()


@pytest.fixture
def tick() -> Callable[..., TickRow]:
    """Makes a tick from a symbol and a sequence; its time follows the sequence unless given."""

    def make(symbol: str, seq: int, ts_ms: int | None = None) -> TickRow:
        ts_ms = 1_795_138_200_000 + seq if ts_ms is None else ts_ms
        return (symbol, seq, ts_ms, 388.2, 100, 38_820.0, "BUY", "AUTO_MATCH", "realtime", ts_ms + 3, ts_ms + 2, " ")

    return make


@pytest.fixture
def receiver() -> Iterable[Callable[..., Receiver]]:
    """Starts receivers of alerts, and ends them with the test."""
    started: list[Receiver] = []

    def start(*answers: int, hangs: bool = False) -> Receiver:
        started.append(Receiver(*answers, hangs=hangs))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture(scope="session")
def build_library(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Compiles a C file of tests/preloaded, by its name, once; skips the test without a C compiler."""
    return cache(partial(library.build, tmp_path_factory.mktemp("preloaded")))


@pytest.fixture(scope="session")
def s3_server() -> Iterable[S3Server]:
    """An S3 server on loopback, with one bucket."""
    from tests.s3_server import S3Server  # starts a web server, which most tests do not need

    server = S3Server()
    yield server
    server.close()
