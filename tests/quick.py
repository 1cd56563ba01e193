"""`pytest --quick`: the tests that neither wait nor start a process, found by running them.

No test is marked by hand. A test that starts a process or sleeps is interrupted then and counts as skipped. A test that
waited in another way, for a socket or a thread, or used much CPU time, is found at its end. pytest's cache keeps the
names of both, with a digest of their file, so that the next run leaves them out. Tests of a changed file are tried
again, and all tests after `TRIED_ANEW_S`. So the first run takes minutes, and no list of tests becomes outdated.

Waiting is wall time minus CPU time and the time in the kernel's queue for a core: a busy machine leaves out the same
tests as an idle one.
"""

from __future__ import annotations

import gc
import hashlib
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypedDict

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

PATIENCE_S: Final = 0.1  # of waiting; --patience says otherwise
WORK_S: Final = (
    0.05  # of the CPU; one test in ten works for longer, and these take two thirds of the time of all; --work
)
EXAMPLES: Final = 10  # of each property; make test tries a hundred
TRIED_ANEW_S: Final = 7 * 24 * 3600
_KEY: Final = "quick/files"
_STARTED: Final = "it starts a process"
_SLEPT: Final = "it sleeps"
_LEFT_AT_ONCE: Final = (_STARTED, _SLEPT)
_SCHEDSTAT: Final = Path("/proc/thread-self/schedstat")
_STARTS: Final = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec"}


class _Known(TypedDict):
    """What is known of a test file: it was like this, these tests were left and why, so many were not."""

    digest: str
    since_s: float
    left: dict[str, str]
    quick: int


def waited_s() -> float:
    """How long this thread has neither worked nor waited for a core, from some moment on."""
    try:
        worked_ns, queued_ns, _ = map(int, _SCHEDSTAT.read_text("ascii").split())
    except (OSError, ValueError):  # a kernel without it: then a loaded machine leaves more tests
        worked_ns, queued_ns = time.thread_time_ns(), 0
    return (time.monotonic_ns() - worked_ns - queued_ns) / 1e9


class Quick:
    """Leaves tests that are not quick, and remembers them."""

    def __init__(self, config: pytest.Config) -> None:
        """`config` is that of a run without workers."""
        self._root = config.rootpath
        self._cache = config.cache
        self._patience_s: float = config.getoption("--patience")
        self._work_s: float = config.getoption("--work")
        self._part, self._parts = _part_of(config)
        self._key = _KEY if self._patience_s == PATIENCE_S else f"{_KEY} {self._patience_s:g}"
        if self._parts > 1:  # two processes must not write one entry
            self._key += f" {self._part} of {self._parts}"
        stored = self._cache.get(self._key, {}) if self._cache else {}
        now_s = time.time()
        self._files: dict[str, _Known] = {
            name: known
            for name, known in stored.items()
            if known["digest"] == self._digest(self._root / name) and 0 <= now_s - known["since_s"] < TRIED_ANEW_S
        }
        self._collected: dict[str, int] = {}  # the tests of each file, those that are not begun included
        self._seen: dict[str, dict[str, str]] = {}  # those that were run, and why they were left
        self._known_left = 0
        self._file = ""  # whose tests run now
        self._test = ""  # that runs now, and may be left
        self._why = ""
        self._left = False  # in mid-way
        self._waited_before_s = self._worked_before_s = 0.0
        self._sleep = time.sleep
        self._main = threading.get_ident()

    @staticmethod
    def _digest(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""

    # ---- what is not begun at all

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """A file none of whose tests is quick is not even imported, nor one of another part."""
        if collection_path.suffix != ".py" or not collection_path.name.startswith("test_"):
            return None
        if zlib.crc32(str(collection_path.relative_to(self._root)).encode()) % self._parts != self._part - 1:
            return True
        known = self._files.get(str(collection_path.relative_to(self._root)))
        if known is None or known["quick"] or not known["left"]:
            return None
        self._known_left += len(known["left"])
        return True

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Tests that were left before are not selected."""
        for item in items:
            name = _file_of(item)
            self._collected[name] = self._collected.get(name, 0) + 1
        left = {test for known in self._files.values() for test in known["left"]}
        out = [item for item in items if item.nodeid in left]
        if out:
            self._known_left += len(out)
            config.hook.pytest_deselected(items=out)
            items[:] = [item for item in items if item.nodeid not in left]

    # ---- what is left in mid-way

    def listen(self) -> None:
        """From now on this process is listened to."""
        sys.addaudithook(self._hear)
        time.sleep = self._hear_sleep  # type: ignore[assignment]  # nobody sleeps for an object with __index__

    def _hear(self, event: str, _args: tuple[Any, ...]) -> None:
        if self._test and event in _STARTS:
            self._leave(_STARTED)

    def _hear_sleep(self, seconds: float) -> None:
        if self._test and seconds > self._patience_s:
            self._leave(_SLEPT)
        self._sleep(seconds)

    def _leave(self, why: str) -> None:
        self._why, self._left = self._why or why, True
        if threading.get_ident() == self._main:
            pytest.skip(why)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """From the first fixture to the last."""
        if self._file != _file_of(item):  # what is known so far outlives a run that is ended
            self._remember(item.config)
            self._file = _file_of(item)
        self._why, self._left = "", False
        self._waited_before_s, self._worked_before_s = waited_s(), time.process_time()
        self._seen.setdefault(_file_of(item), {})[item.nodeid] = ""
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None]:
        """Fixtures of a wider scope are waited for as well: once, by whichever test comes first."""
        yield from self._listening(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        """The test itself."""
        yield from self._listening(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self) -> Generator[None]:
        """Ends whole, however long it takes; what a left test forgot is found now, and not by the next one."""
        yield
        if self._left:
            gc.collect()

    def _listening(self, item: pytest.Item) -> Generator[None]:
        self._test = item.nodeid
        try:
            if item.get_closest_marker("early"):
                self._leave("it waits for half a minute")
            yield
        finally:
            self._test = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A test that was left has not failed, whatever came of that; one that passed slowly is remembered too."""
        report = yield
        if report.skipped and isinstance(report.longrepr, tuple):  # a wider fixture was left with an earlier test
            words = report.longrepr[2].removeprefix("Skipped: ")
            self._why = self._why or (words if words in _LEFT_AT_ONCE else "")
        if report.when == "teardown" and not self._why:
            if waited_s() - self._waited_before_s > self._patience_s:
                self._why = "it waits"
            elif time.process_time() - self._worked_before_s > self._work_s:
                self._why = "it works for long"
        if self._why:
            self._seen[_file_of(item)][item.nodeid] = self._why
            if report.failed and self._left:
                report.outcome = "skipped"
                report.longrepr = (str(item.path), 0, f"Skipped: {self._why}")
        return report

    # ---- what is remembered

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """What each file's tests turned out to be."""
        self._remember(session.config)

    def _remember(self, config: pytest.Config) -> None:
        """A file of which only a part was run is not yet known to have no quick test."""
        part = any(map(config.getoption, ("keyword", "markexpr"))) or any("::" in argument for argument in config.args)
        for name, tests in self._seen.items():
            known = self._files.get(name) or _Known(
                digest=self._digest(self._root / name), since_s=time.time(), left={}, quick=0
            )
            known["left"].update({test: why for test, why in tests.items() if why})
            known["quick"] = 1 if part else self._collected[name] - len(known["left"])
            self._files[name] = known
        if self._cache:
            self._cache.set(self._key, self._files)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """How many tests were not asked."""
        new = sum(bool(why) for tests in self._seen.values() for why in tests.values())
        found = f"; {new} of them found now, so the next run is faster" if new else ""
        terminalreporter.write_line(
            f"--quick: {self._known_left + new} tests wait, start processes or work long: make test runs them{found}"
        )


class AsKnown:
    """Selects the tests that earlier runs found to be quick. None is left in mid-way, and nothing is remembered."""

    def __init__(self, quick: Quick) -> None:
        """Knows what `quick` knows."""
        self.pytest_ignore_collect = quick.pytest_ignore_collect
        self.pytest_collection_modifyitems = quick.pytest_collection_modifyitems


def _file_of(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def _part_of(config: pytest.Config) -> tuple[int, int]:
    """The two numbers of --part, like (1, 2)."""
    part, slash, parts = config.getoption("--part").partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise pytest.UsageError(f"--part {config.getoption('--part')}: give a part and their number, like 1/2")
    return int(part), int(parts)


def add_options(parser: pytest.Parser) -> None:
    """`--quick` and `--quick-as-known`, for conftest.py."""
    parser.addoption("--part", default="1/1", metavar="K/N", help="only the K-th of N parts of the files, with --quick")
    parser.addoption("--quick", action="store_true", help="only tests that neither wait nor start a process")
    parser.addoption(
        "--quick-as-known", action="store_true", help="the same, of those that are known: for make mutants"
    )
    parser.addoption(
        "--patience", type=float, default=PATIENCE_S, metavar="S", help="so many seconds a quick test may wait"
    )
    parser.addoption("--work", type=float, default=WORK_S, metavar="S", help="so much CPU time a quick test may use")
    parser.addoption(
        "--same-examples", action="store_true", help="properties try the same examples in each run: for make mutants"
    )


def configure(config: pytest.Config) -> None:
    """Takes part in a run with one of these options; for conftest.py."""
    if config.getoption("--same-examples"):
        same = hypothesis.settings(max_examples=EXAMPLES, derandomize=True, database=None)
        hypothesis.settings.register_profile("same", same)
        hypothesis.settings.load_profile("same")
    if config.getoption("--quick-as-known"):
        config.pluginmanager.register(AsKnown(Quick(config)), "quick-as-known")
    elif config.getoption("--quick"):
        if not config.getoption("--same-examples"):
            hypothesis.settings.register_profile("quick", hypothesis.settings(), max_examples=EXAMPLES)
            hypothesis.settings.load_profile("quick")
        quick = Quick(config)
        config.pluginmanager.register(quick, "quick")
        quick.listen()
