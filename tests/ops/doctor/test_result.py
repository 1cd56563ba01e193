"""Results of checks: in both languages, the command after the arrow, and the summary line."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

from hk_tick_collector.ops.doctor.result import Outcome, failure, ok, verdict, warning
from hk_tick_collector.ops.findings.remedies import is_command
from hk_tick_collector.ops.findings.words import CHINESE, Words

SOURCE: Final = Path(__file__).parents[3] / "src" / "hk_tick_collector"
CHECKS: Final = [*sorted((SOURCE / "ops" / "doctor").glob("*.py")), SOURCE / "cli" / "doctor.py"]
MAKERS: Final = {"ok", "warning", "failure", "not_checked"}


@pytest.mark.parametrize("path", CHECKS, ids=lambda path: path.name)
def test_a_check_speaks_both_languages(path: Path) -> None:
    """A plain literal as text would be English for everybody; a plain literal as remedy is a command."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS):
            continue
        text, *remedy = node.args[1:]
        assert not isinstance(text, ast.Constant | ast.JoinedStr), f"{path.name}:{node.lineno}"
        if remedy and isinstance(remedy[0], ast.Constant):
            command = str(remedy[0].value)
            assert command.startswith("sudo ") or is_command(command), f"{path.name}:{node.lineno}"


def test_json_is_english_whatever_the_language_is() -> None:
    """Scripts read it."""
    check = warning("disk", Words("little is left", "剩餘不多"), Words("free some", "騰出空間"))
    assert check.as_json() == {"name": "disk", "outcome": "warning", "text": "little is left", "remedy": "free some"}
    assert check.words(CHINESE) == ("剩餘不多", "騰出空間")


def test_the_sum_is_in_the_operators_language() -> None:
    """The word of the worst outcome is not translated; the first thing to do follows an arrow if it is a command."""
    fine, bad = ok("a", Words("fine", "正常")), failure("b", Words("bad", "不正常"), "df -h")
    odd = warning("c", Words("odd", "有異"), Words("look", "看"))
    assert verdict([fine, odd, bad]) == (Outcome.FAILURE, "FAILURE: failures 1, warnings 1; first b: bad -> df -h")
    assert verdict([fine, odd], CHINESE) == (Outcome.WARNING, "WARNING: FAILURE 0 項，WARNING 1 項；先處理 c：有異；看")
    assert verdict([fine], CHINESE) == (Outcome.OK, "OK: 1 項檢查全部通過")


def test_what_loses_ticks_comes_first() -> None:
    """Of several warnings the sum names the one because of which ticks are missed, with its cause."""
    old, refused = warning("old settings", Words("x", "x"), "df -h"), warning("symbols", "OpenD: ??", "w", urgent=True)
    assert verdict([old, refused])[1] == "WARNING: failures 0, warnings 2; first symbols: OpenD: ??; w"
    assert verdict([old, refused, failure("c", Words("bad", "x"), "df -h")])[1].endswith("first c: bad -> df -h")
