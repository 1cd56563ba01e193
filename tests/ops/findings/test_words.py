"""Text in two languages, everywhere in the sources: the same figures, and Chinese as written in Hong Kong."""

from __future__ import annotations

import ast
import re
import string
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from hk_tick_collector.ops.findings.words import CHINESE, ENGLISH, NO_WORDS, Words, joined, more, same, times

SOURCE: Final = Path(__file__).parents[3] / "src" / "hk_tick_collector"
MODULES: Final = sorted(SOURCE.rglob("*.py"))
# Of the glossary: what is not said, and what is said instead.
_NOT_SAID: Final = {
    "當日檔案": "日檔",
    "退出碼": "結束碼",
    "寫入程序等待": "寫入執行緒",
    "帳號": "帳戶",
    "判語": "finding",
    "搶回": "取回",
    "網路": "網絡",
    "程序員": "工程師",
    "信息": "訊息",
    "默認": "預設",
    "數據": "資料",
}


@cache
def said(path: Path) -> list[tuple[int, ast.expr, ast.expr]]:
    """The line, the English and the Chinese of every literal `Words(…, …)` and `Remedy(…, …, …)`."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            pair = {"Words": node.args[:2], "Remedy": node.args[1:3]}.get(node.func.id, [])
            if len(pair) == 2:
                found.append((node.lineno, pair[0], pair[1]))
    return found


def figures(node: ast.expr) -> set[str]:
    """The places of a literal that are filled with figures."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {f"{name}:{form}" for _, name, form, _ in string.Formatter().parse(node.value) if name}
    if isinstance(node, ast.JoinedStr):
        names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        text = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
        return names | {f"{name}:{form}" for _, name, form, _ in string.Formatter().parse(text) if name}
    return set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_both_languages_have_the_same_figures(path: Path) -> None:
    """A figure in one language only would mislead readers of the other."""
    literal = (ast.Constant, ast.JoinedStr)
    for line, english, chinese in said(path):
        if isinstance(english, literal) and isinstance(chinese, literal):
            shared = {"short_zh", "name", "en", "zh"}
            assert figures(english) - shared == figures(chinese) - shared, f"{path.name}:{line}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_the_glossary_is_kept(path: Path) -> None:
    """One word for each idea, as an engineer in Hong Kong says it."""
    text = path.read_text("utf-8")
    if "predecessor" in path.name:
        return
    for line, _, chinese in said(path):
        words = ast.get_source_segment(text, chinese) or ""
        found = {word: instead for word, instead in _NOT_SAID.items() if word in words}
        assert not found, f"{path.name}:{line}: say {found}"
        assert not re.search(r"[\u4e00-\u9fff][,;:?!(]", words), f"{path.name}:{line}: Chinese punctuation"


def test_words_are_filled_in_each_language() -> None:
    """A figure that is `Words` itself appears in the language of the text."""
    words = Words("broke {times}, {count:,} rows", "中斷 {times}，{count:,} 筆").filled(times=times(4), count=1200)
    assert words.of(ENGLISH) == "broke 4 times, 1,200 rows"
    assert words.of(CHINESE) == "中斷 4 次，1,200 筆"
    assert joined(words, NO_WORDS) == words
    assert joined(same("a"), same("b")) == Words("a; b", "a；b")
    assert not more(0)
    assert more(2) == Words(" (and 2 more)", "（另有 2 項）")
    with pytest.raises(KeyError):
        Words("{unknown}", "{unknown}").filled(known=1)
