"""For tests of the page: the real verb `web` as a process, plain HTTP, and Debian's chromium.

Each test has a browser of its own, and each tab a context of its own, with its own cookies. What a page must
not do is checked for every page that a test opens: an error on its console, and a request to anywhere else.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
from tests.live_state import leave_live_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from playwright.sync_api import Browser, BrowserContext, Page
    from tests.nursery import Nursery

CAP_S: Final = 300.0
CAP_MS: Final = CAP_S * 1000
_REPORT_S: Final = 0.5
CHROMIUM: Final = "/usr/bin/chromium"
_ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WELL: Final = {  # the live state of a collector with which all is well
    "state": "running",
    "instance": "test",
    "connected": True,
    "program": "ready",
    "quote_logged_in": True,
    "address": "127.0.0.1:11111",
    "market_state": "rest",
    "symbols": 3,
    "subscribed": 3,
    "max_queue_rows": 1_000_000,
    "disk_free_mb": 50_000,
    "drift_s": 0.1,
    "rows_per_s": [10, 20, 30],
    "commit_ms_p50": 1.5,
    "commit_ms_p99": 4.5,
    "outage_budget_s": 90.0,
    "busiest_symbol": "HK.00700",
}


class Answer(NamedTuple):
    """An HTTP answer."""

    code: int
    headers: dict[str, str]  # names in lower case
    text: str


def well(**values: Any) -> dict[str, Any]:
    """A live state of this second with which all is well, with these fields."""
    now_ms = time.time_ns() // 10**6
    times = {"written_ms": now_ms, "started_ms": now_ms - 3_600_000, "link_since_ms": now_ms - 3_600_000}
    return {**WELL, **times, "newest_ts_ms": now_ms - 500, **values}


class Web:
    """`web` as a process."""

    def __init__(self, nursery: Nursery, directory: Path, settings: str) -> None:
        self.data_root = directory / "HK"
        self.data_root.mkdir(exist_ok=True)
        env_file = directory / "web.env"
        env_file.write_text(f"DATA_ROOT={self.data_root}\nWEB_ADDR=127.0.0.1:0\nINSTANCE_ID=test\n{settings}", "utf-8")
        self._log = directory / "web.log"
        with self._log.open("wb") as output, Path(os.devnull).open("rb") as nothing:
            files = (nothing.fileno(), output.fileno(), output.fileno())
            self._process = nursery.fork(["web", "--env-file", str(env_file)], directory, files, os.environ)
        self.pid = self._process.pid
        self._state: dict[str, Any] = {}
        self._stopping = threading.Event()
        self._leaving = threading.Lock()
        self._reporter = threading.Thread(target=self._report, name="reporter")
        self.url = self._wait_for_url()
        self.port = int(self.url.rpartition(":")[2])

    @property
    def output(self) -> str:
        """Everything that it has written."""
        return self._log.read_text("utf-8")

    def live(self, **values: Any) -> None:
        """From now on a live state is reported with which all is well, but for these fields."""
        self._state = values
        self._leave()
        if not self._reporter.ident:
            self._reporter.start()

    def rest(self) -> None:
        """Reports no more."""
        self._stopping.set()
        if self._reporter.ident:
            self._reporter.join()

    def _report(self) -> None:
        """As a collector does: a page that is slow to open must not find an old state."""
        while not self._stopping.wait(_REPORT_S):
            self._leave()

    def _leave(self) -> None:
        with self._leaving:  # a draft has one name for each process
            leave_live_state(self.data_root, **well(**self._state))

    def get(self, path: str, headers: dict[str, str] | None = None, *, method: str = "GET", body: str = "") -> Answer:
        """One request, unchanged by any library."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=CAP_S)
        try:
            connection.putrequest(method, path, skip_host="Host" in (headers or {}), skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if body:
                connection.putheader("Content-Length", str(len(body)))
                connection.putheader("Content-Type", "application/x-www-form-urlencoded")
            connection.endheaders(body.encode() if body else None)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read().decode("utf-8"))
        finally:
            connection.close()

    @contextmanager
    def stream(self, path: str = "/now/events") -> Iterator[HTTPResponse]:
        """An answer that has begun and goes on."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=CAP_S)) as connection:
            connection.request("GET", path)
            with connection.getresponse() as answer:
                yield answer

    def stop(self) -> int:
        """SIGTERM, and its exit code; no traceback, and nothing else on its streams but the address."""
        self.rest()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(CAP_S)
        assert "Traceback" not in self.output, self.output
        return code

    def _wait_for_url(self) -> str:
        began_s = time.monotonic()
        while not (found := re.match(r"(http://\S+)  \(Ctrl-C ends it\)\n", self.output)):
            assert self._process.poll() is None, self.output
            assert time.monotonic() - began_s < CAP_S, self.output
            time.sleep(0.02)
        return found[1]


@pytest.fixture(scope="session")
def serve_in(nursery: Nursery) -> Callable[..., AbstractContextManager[Web]]:
    """Serves in a directory while a block runs, for pages that several tests share."""

    @contextmanager
    def serving(directory: Path, settings: str = "") -> Iterator[Web]:
        web = Web(nursery, directory, settings)
        try:
            yield web
        finally:
            web.stop()

    return serving


@pytest.fixture
def serve(workdir: Path, serve_in: Callable[..., AbstractContextManager[Web]]) -> Iterator[Callable[..., Web]]:
    """Starts `web` with these lines of settings, on DATA_ROOT `HK` of the test's directory."""
    with ExitStack() as started:
        yield lambda settings="": started.enter_context(serve_in(workdir, settings))


@pytest.fixture  # of one test: while Playwright is open, asyncio.run fails in every other test of this process
def browser() -> Iterator[Browser]:
    """Debian's chromium, without a window."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=CAP_MS)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_ARGUMENTS), timeout=CAP_MS)
        yield chromium
        chromium.close()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens an address: `tab(url, width=360)`. At the test's end no page may have had a fault.

    `allowed`: texts of errors on the console that the test provokes.
    """
    contexts: list[BrowserContext] = []
    faults: list[str] = []
    expected: list[str] = []

    def open_(url: str, *, width: int = 1440, height: int = 900, allowed: tuple[str, ...] = (), **options: Any) -> Page:
        expected.extend(allowed)
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(CAP_MS)
        contexts.append(context)
        page = context.new_page()
        origin = url.split("/", 3)[2]
        page.on("console", lambda said: faults.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda asked: faults.append(asked.url) if asked.url.split("/", 3)[2] != origin else None)
        page.goto(url)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert [fault for fault in faults if not any(each in fault for each in expected)] == []
