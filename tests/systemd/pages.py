"""A page of Markdown → the commands that someone copies from it, in their order.

Every block fenced as `bash` counts. Words after the language say how it is run; GitHub passes them by:

    ```bash                      as the person on duty, each command must exit 0
    ```bash root                 as root
    ```bash exit=0,1             these exit codes are right ones
    ```bash no-run REASON        not at all, and why
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_FENCE: Final = re.compile(r"^(?P<indent> *)```(?P<language>\w*)[ \t]*(?P<words>[^`\n]*)$")
_HEADING: Final = re.compile(r"^#{1,6} +(?P<title>.*)$")
_INLINE: Final = re.compile(r"`(sudo [^`]+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: the heading above it, the line where it begins, its commands."""

    title: str
    line: int
    commands: tuple[str, ...]
    root: bool = False
    codes: tuple[int, ...] = (0,)
    not_run: str = ""  # why
    inline: bool = False


def blocks(text: str, *, inline: bool = False) -> list[Block]:
    """The shell blocks of a page, with `inline` also each `sudo …` in its sentences, in their order.

    ValueError for words after the language that mean nothing.
    """
    return [block for block in _blocks(text) if inline or not block.inline]


def _blocks(text: str) -> Iterator[Block]:
    title, inside, start, words, language = "", False, 0, "", ""
    body: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if inside and fence and not fence["language"]:
            inside = False
            if language in ("bash", "sh", "shell", "console"):
                yield _block(title, start, body, words.strip())
        elif inside:
            body.append(line)
        elif fence:
            inside, start, words, language, body = True, number, fence["words"], fence["language"], []
        elif heading := _HEADING.match(line):
            title = heading["title"]
        elif commands := _INLINE.findall(line):
            yield Block(title, number, tuple(commands), inline=True)


def _block(title: str, line: int, body: list[str], words: str) -> Block:
    if words.startswith("no-run"):
        reason = words.removeprefix("no-run").strip()
        if not reason:
            raise ValueError(f"line {line}: say after no-run why")
        return Block(title, line, (), not_run=reason)
    root = False
    codes: tuple[int, ...] = (0,)
    for word in words.split():
        name, _, value = word.partition("=")
        if word == "root":
            root = True
        elif name == "exit" and re.fullmatch(r"\d+(,\d+)*", value):
            codes = tuple(int(code) for code in value.split(","))
        else:
            raise ValueError(f"line {line}: {word!r} means nothing here; allowed: root, exit=0,1, no-run REASON")
    return Block(title, line, tuple(split(body)), root, codes)


def split(lines: list[str]) -> Iterator[str]:
    """Whole commands of a block: a line that bash would wait to see more of takes the next ones in."""
    waiting: list[str] = []
    for line in lines:
        if not waiting and (not line.strip() or line.lstrip().startswith("#")):
            continue
        waiting.append(line)
        if _whole("\n".join(waiting)):
            yield "\n".join(waiting)
            waiting = []
    if waiting:
        yield "\n".join(waiting)


def _whole(text: str) -> bool:
    if text.endswith("\\"):
        return False
    read = subprocess.run(["bash", "-n"], input=text + "\n", capture_output=True, text=True, check=False)
    return read.returncode == 0 and not read.stderr
