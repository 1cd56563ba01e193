"""One collector on this machine: a simulated OpenD, `run`, `web`, and what an operator sees of them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, Self

from playwright.sync_api import expect, sync_playwright
from tests.screen import Screen
from tools.cluster.hosts import PROGRAM
from tools.cluster.process import Process, wait_until

from hk_tick_collector.config import environment_without_settings
from hk_tick_collector.ops.live.status import STATUS_NAME, LiveStatus, read_status
from hk_tick_collector.simulator.control import tell

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SYMBOLS: Final = "HK.00700,HK.09988,HK.00005,HK.00941,HK.01810,HK.02318,HK.03690,HK.00388"
CAP_S: Final = 180.0
_RATE: Final = 300
_CALM_TICKS: Final = 6_000  # so that the page has seen something before it goes wrong
_SETTLE_MS: Final = 3000  # frames of the page's stream
_TERMINAL: Final = (80, 24)
_CHROMIUM: Final = "/usr/bin/chromium"
_ARGUMENTS: Final = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
_SIZES: Final = {"phone": (360, 740), "desk": (1280, 900)}


class Scene:
    """Inside the block nothing runs yet; after it all processes have ended. `data_root` exists."""

    def __init__(self, directory: Path, data_root: Path, symbols: str = SYMBOLS) -> None:
        self.directory = directory
        self.data_root = data_root
        self._symbols = symbols
        self._control = directory / "opend.sock"
        self._processes: list[Process] = []
        self._settings = {
            **environment_without_settings(),
            "FUTU_SYMBOLS": symbols,
            "DATA_ROOT": str(data_root),
            "INSTANCE_ID": "hk-1",
            "METRICS_ADDR": "",
            "RECONNECT_MAX_DELAY": "5",
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.stop()

    def collect(self, *of_opend: str, settings: dict[str, str] | None = None) -> None:
        """Starts OpenD with these arguments and a collector with these settings; waits until ticks are stored."""
        self.start_opend(*of_opend)
        self.start_collector(settings)
        self.wait(lambda live: live.stored > _CALM_TICKS, "ticks are stored")

    def start_opend(self, *arguments: str) -> None:
        """Starts a simulated OpenD, whose market begins when all of its symbols are asked for."""
        listen = ["--port", "0", "--control", str(self._control), "--symbols", self._symbols, "--rate", str(_RATE)]
        self.opend = self._process("simulate", [*listen, *arguments])
        wait_until(lambda: "simulator_listening" in self.opend.output(), self.opend.output, CAP_S)
        found = re.search(r"simulator_listening .*\bport=(\d+)", self.opend.output())
        assert found
        self._settings["FUTU_PORT"] = found[1]

    def start_collector(self, settings: dict[str, str] | None = None) -> None:
        """Starts the collector; waits until it reports."""
        self._settings |= settings or {}
        self.collector = self._process("run", ["--env-file", os.devnull])
        wait_until(lambda: self.live() is not None, self.collector.output, CAP_S)

    def tell(self, step: str) -> None:
        """Has OpenD perform a step of a scenario."""
        tell(self._control, step, CAP_S)

    def program(self, name: str, command: list[str]) -> Process:
        """Another program, which ends with the scene."""
        process = Process(name, command, self._settings, self.directory / f"{name}.log")
        process.start()
        self._processes.append(process)
        return process

    def live(self) -> LiveStatus | None:
        """What the collector reports."""
        return read_status(self.data_root / STATUS_NAME)

    def wait(self, condition: Callable[[LiveStatus], object], what: str) -> None:
        """Waits for a live state of this kind."""

        def holds() -> bool:
            live = self.live()
            return live is not None and bool(condition(live))

        wait_until(holds, lambda: f"{what}\n{self.collector.output()[-2000:]}", CAP_S)

    def findings(self) -> list[dict[str, Any]]:
        """What `status` finds, the most important first."""
        command = [*PROGRAM, "status", "--json", "--env-file", os.devnull]
        done = subprocess.run(command, env=self._settings, capture_output=True, text=True, check=False)
        found: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
        return found

    def wait_first(self, code: str) -> dict[str, Any]:
        """Waits until this is the first finding; returns it."""
        seen: list[str] = []

        def is_first() -> bool:
            seen[:] = [each["code"] for each in self.findings()]
            return seen[:1] == [code]

        wait_until(is_first, lambda: f"{code} is the first of {seen}\n{self.collector.output()[-2000:]}", CAP_S)
        return self.findings()[0]

    def page(self) -> str:
        """Starts `web`; returns its address."""
        self.web = self._process("web", ["--addr", "127.0.0.1:0", "--env-file", os.devnull])
        wait_until(lambda: "Ctrl-C" in self.web.output(), self.web.output, CAP_S)
        return self.web.output().split()[0]

    def top(self) -> str:
        """The screen of `top` after its second reading."""
        with Screen(*_TERMINAL) as screen:
            environ = {**self._settings, "TERM": "xterm-256color"}
            command = [*PROGRAM, "top", "--env-file", os.devnull]
            running = subprocess.Popen(
                command, env=environ, stdin=screen.follower, stdout=screen.follower, start_new_session=True
            )
            try:
                screen.wait(
                    lambda lines: "HKT" in lines[0] and not any("reading the live state" in line for line in lines),
                    "a first reading",
                )
                screen.next_second()
                screen.next_second()
                return "\n".join([*screen.lines, ""])
            finally:
                running.send_signal(signal.SIGTERM)
                running.wait(CAP_S)

    def _process(self, verb: str, arguments: list[str]) -> Process:
        return self.program(verb, [*PROGRAM, verb, *arguments])


def photograph(url: str, remedy: str, to: dict[str, Path]) -> None:
    """Pictures of the view *Now*, one for each size of `to`, once its verdict has this command."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=list(_ARGUMENTS))
        with closing(browser):
            for name, path in to.items():
                width, height = _SIZES[name]
                with closing(browser.new_context(viewport={"width": width, "height": height})) as context:
                    page = context.new_page()
                    page.goto(url)
                    expect(page.locator(".verdict code")).to_have_text(remedy, timeout=CAP_S * 1000)
                    page.wait_for_timeout(_SETTLE_MS)
                    page.screenshot(path=path)
