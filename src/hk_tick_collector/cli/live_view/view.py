"""The loop of a live view: it reads once a second and answers keys at once, until a key or a signal ends it."""

from __future__ import annotations

import select
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from hk_tick_collector import clock
from hk_tick_collector.cli._terminal import can_encode, language_on

from .cells import cropped
from .choice import Page
from .figures import ASCII_BARS, BARS
from .frame import Scene, frame
from .keys import Keys
from .observer import Observer
from .sample import Ask
from .terminal import ENDS, Terminal, TerminalGoneError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .sample import Sample

_EACH_S: Final = 1.0
_LATEST: Final = 8
_LEAST_WIDTH: Final = 40  # a narrower terminal shows the left part
_MOST_TICKS: Final = 100  # of the chosen symbol
_ESCAPE_S: Final = 0.05  # the other bytes of a key follow Esc sooner
_REST: Final = 2.0  # after a long read it rests this many times as long
_MOST_REST_S: Final = 5.0


def scene_of(title: str, env_file: Path | None) -> Scene:
    """An empty scene for stdout: in the operator's language, if stdout has its characters."""
    lang = language_on(sys.stdout, env_file)
    return Scene(title, lang, BARS if can_encode(sys.stdout, BARS) else ASCII_BARS)


def watch(
    scene: Scene,
    look: Callable[[Ask], Sample | None],
    *,
    coloured: bool,
    goes_on: Callable[[], bool] = lambda: True,
) -> signal.Signals | None:
    """Shows a scene on the terminal of stdout until the user ends it; returns the signal that did, None for a key.

    `look` reads a sample, in a process of its own. `goes_on` is called once a second: False ends the view, and an error
    that it raises is raised after the terminal is as it was.
    """
    with Observer(look) as observer, Terminal(coloured=coloured) as terminal:
        scene.keys = terminal.keys is not None
        try:
            return _Loop(scene, observer, terminal, goes_on).run()
        except TerminalGoneError:
            return signal.SIGHUP


class _Loop:
    """One view. Nothing in it waits but its `select`."""

    def __init__(
        self,
        scene: Scene,
        observer: Observer[Ask, Sample | None],
        terminal: Terminal,
        goes_on: Callable[[], bool],
    ) -> None:
        self._scene = scene
        self._observer = observer
        self._terminal = terminal
        self._goes_on = goes_on
        self._keys = Keys()
        self._ask_s = self._tick_s = time.monotonic()
        self._asked_s = 0.0
        self._is_stale = True  # the screen shows something else than the scene

    def run(self) -> signal.Signals | None:
        """Returns the signal that ended the view, or None."""
        while True:
            now_s = time.monotonic()
            if now_s >= self._tick_s:
                self._tick_s = now_s + _EACH_S
                self._is_stale = True
                self._observer.replace_if_ended()
                if not self._goes_on():
                    return None
            if now_s >= self._ask_s and not self._observer.is_asked:
                self._asked_s, self._ask_s = now_s, now_s + _EACH_S
                self._observer.ask(self._wanted())
            if self._is_stale and not self._terminal.is_busy:
                self._draw()
            ready = self._wait()
            if self._observer.answers in ready:
                self._take()
            for number in self._terminal.signals() if self._terminal.wake in ready else []:
                if number in ENDS:
                    return number
                self._obey(number)
            if not self._answer_keys(ready):
                return None

    def _wait(self) -> list[int]:
        """Waits for whatever comes first; returns the descriptors that can be read."""
        terminal, observer = self._terminal, self._observer
        until_s = self._tick_s if observer.is_asked else min(self._tick_s, self._ask_s)
        wait_s = min(max(0.0, until_s - time.monotonic()), _ESCAPE_S if self._keys.waits else _EACH_S)
        reading = [terminal.wake, observer.answers, *([] if terminal.keys is None else [terminal.keys])]
        ready, writable, _ = select.select(reading, [terminal.output] if terminal.is_busy else [], [], wait_s)
        if writable:
            terminal.flush()
        return ready

    def _answer_keys(self, ready: list[int]) -> bool:
        """Applies the keys that were pressed. False if one ends the view."""
        if self._terminal.keys in ready:
            pressed = self._keys.feed(self._terminal.pressed())
        elif self._keys.waits:
            pressed = self._keys.flush()
        else:
            return True
        before = self._wanted()
        names = self._names() if pressed else []
        for key in pressed:
            if key == "redraw":
                self._terminal.forget()
            elif not self._scene.choice.press(key, names):
                return False
            elif key in ("s", "r"):
                names = self._names()
        self._is_stale = True
        if self._wanted() != before:
            self._ask_s = 0.0  # other ticks are wanted: read at once
        return True

    def _names(self) -> list[str]:
        """The symbols in the order shown."""
        sample = self._scene.sample
        ordered = self._scene.choice.sorted(sample.symbols, self._scene.history) if sample else []
        return [each.symbol for each in ordered]

    def _wanted(self) -> Ask:
        choice = self._scene.choice
        if choice.page is Page.SYMBOL:
            return Ask(choice.symbol, _MOST_TICKS, (choice.symbol,))
        return Ask("", _LATEST, choice.shown)

    def _take(self) -> None:
        """Takes a sample that was read."""
        sample = self._observer.answer()
        if self._observer.is_asked:
            return
        scene, now_s = self._scene, time.monotonic()
        took_s = now_s - self._asked_s
        self._ask_s = max(self._ask_s, now_s + min(_MOST_REST_S, _REST * took_s))
        if sample is not None:
            scene.take(sample)
        self._is_stale = True

    def _obey(self, number: signal.Signals) -> None:
        if number == signal.SIGTSTP:
            self._terminal.stop()
        elif number == signal.SIGCONT:
            self._terminal.begin_anew()
        elif number == signal.SIGWINCH:
            self._terminal.forget()
        self._is_stale = True

    def _draw(self) -> None:
        scene, size = self._scene, self._terminal.size
        scene.now_ms = clock.now_ms()
        scene.waits_s = time.monotonic() - self._asked_s if self._observer.is_asked else 0.0
        lines = frame(scene, max(_LEAST_WIDTH, size.width), size.height)
        self._terminal.draw([cropped(line, size.width) for line in lines], size)
        self._is_stale = False
