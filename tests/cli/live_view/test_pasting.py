"""A command that is broken into lines is the same command for a shell."""

from __future__ import annotations

import subprocess

import pytest

from hk_tick_collector.cli.live_view.cells import columns
from hk_tick_collector.cli.live_view.pasting import pasteable
from hk_tick_collector.ops.findings.registry import REGISTRY
from hk_tick_collector.ops.findings.remedies import ENDS

COMMANDS = sorted(
    {remedy.command for spec in REGISTRY for remedy in (spec.remedy, *(each.remedy for each in spec.variants.values()))}
    - {""}
)


def bash(script: str) -> str:
    """What Debian's shell prints."""
    return subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("width", [40, 57, 80])
def test_bash_reads_every_finding_command_as_it_was(width: int) -> None:
    """Pasted from a terminal of this width; a quoted text may become two quoted texts side by side."""
    script, broken = "", 0
    for number, command in enumerate([*COMMANDS, ENDS]):
        lines = pasteable(command, width, width - 3)
        assert all(columns(each) <= width for each in lines)
        assert columns(lines[0]) <= width - 3
        broken += len(lines) > 1
        text = "\n".join(lines)
        script += f"f() {{\n{command}\n}}\none=$(declare -f f)\nf() {{\n{text}\n}}\ntwo=$(declare -f f)\n"
        script += f"[ \"${{one//\\'\\'}}\" = \"${{two//\\'\\'}}\" ] || echo different {number}\n"
    assert broken > 5
    assert bash(script) == ""


@pytest.mark.parametrize("width", range(8, 40))
def test_bash_prints_the_same_words(width: int) -> None:
    """Blanks, quotes, escapes and Chinese characters, wherever a line ends."""
    command = (
        "printf '%s|' one two 'three  and four, longer than any of these lines' \"five  'six'  $((3 + 4))\""
        " seven\\ eight\\\\nine 中文的目錄/名稱/20261130.db  '' 'x'y'z' end"
    )
    lines = pasteable(command, width, width)
    assert all(columns(each) <= width for each in lines)
    assert bash("\n".join(lines)) == bash(command)


def test_a_short_command_stays_as_it_is() -> None:
    """Nothing is added to what fits."""
    assert pasteable("df -h", 40, 37) == ["df -h"]
    assert pasteable("", 40, 37) == [""]
