"""A person with a page: pastes its commands one by one, and checks each answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .host import Answer, show

if TYPE_CHECKING:
    from .host import Host
    from .terminal import Terminal

HOME: Final = "/opt/futu_tick_downloader"
_COMMAND_S: Final = 120.0
_ASSIGNMENT: Final = re.compile(r"[A-Z_]+=\S*(\$\([^)]*\))?\S*")
_ENDLESS: Final = re.compile(r"journalctl\b.* (-\w*f|--follow)\b|\bhk-tick-collector \w+ .*--follow\b|^watch\b")


class Reader:
    """Has a terminal of their own in the collector's directory, and one of root's.

    A variable that the page sets is there in the other one too, as after `sudo -i` and the same line again.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._terminals: dict[str, Terminal] = {}
        self._set: dict[str, list[str]] = {}  # what each terminal has still to be told
        self._page: list[str] = []

    def paste(self, command: str, *, who: str = "duty", codes: tuple[int, ...] = (0,), until: str = r"\w+=") -> str:
        """What appears; a command that does not end by itself is watched until `until` and ended by Ctrl-C.

        AssertionError with the answer for an exit code that is none of `codes`.
        """
        terminal = self._terminals.get(who)
        if terminal is None:
            terminal = self._terminals[who] = self._host.terminal(who, HOME)
            self._set[who] = list(self._page)
        for line in self._set[who]:
            terminal.enter(line, _COMMAND_S)
        self._set[who] = []
        if _ASSIGNMENT.fullmatch(command):
            self._page.append(command)
            for other in self._set.keys() - {who}:
                self._set[other].append(command)
        if _ENDLESS.search(command):
            code, text = terminal.watch(command, until, _COMMAND_S)
            code = 0 if code == 130 else code
        else:
            code, text = terminal.enter(command, _COMMAND_S)
        show(who, command, Answer(code, text))
        assert code in codes, f"{command!r} as {who} exits {code}:\n{text}"
        return text
