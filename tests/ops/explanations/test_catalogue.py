"""The catalogue agrees with the sources and the page: exactly the logged events and the findings are explained."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from hk_tick_collector.opend.messages import QUOTE_RIGHTS_WITHOUT_TICKS
from hk_tick_collector.ops.explanations import catalogue
from hk_tick_collector.ops.explanations.log_events import SIMULATOR_EVENTS
from hk_tick_collector.ops.findings.registry import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hk_tick_collector.ops.findings.words import Words

ROOT: Final = Path(__file__).parents[3]
SOURCE: Final = ROOT / "src" / "hk_tick_collector"
PAGES: Final = [(ROOT / "docs" / "troubleshooting.md", "zh-Hant"), (ROOT / "docs" / "troubleshooting.en.md", "en")]
LOGGING: Final = {"debug", "info", "warning", "error", "bug"}


def trees(*parts: str) -> Iterator[ast.Module]:
    """The sources of these parts; all if none is given."""
    for path in sorted(SOURCE.rglob("*.py")):
        if not parts or path.relative_to(SOURCE).parts[0] in parts:
            yield ast.parse(path.read_text("utf-8"))


def strings(node: ast.AST) -> set[str]:
    return {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def is_logging(function: ast.expr) -> bool:
    """`log.info(…)`, `say(…)` if say is one of those, or what log.py itself logs."""
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return function.value.id == "log" and function.attr in LOGGING
    return isinstance(function, ast.Name) and function.id in ("say", "_own_event")


def looped(tree: ast.Module, name: str) -> set[str]:
    """The values of a variable that a loop of the module takes from a table of constants."""
    constants = [node for node in tree.body if isinstance(node, ast.AnnAssign)]
    tables = {node.target.id: node.value for node in constants if isinstance(node.target, ast.Name)}
    found: set[str] = set()
    for loop in (node for node in ast.walk(tree) if isinstance(node, ast.For)):
        if not isinstance(loop.target, ast.Tuple):
            continue
        names = [each.id for each in loop.target.elts if isinstance(each, ast.Name)]
        table = tables.get(loop.iter.id) if isinstance(loop.iter, ast.Name) else loop.iter
        if name in names and isinstance(table, ast.Tuple):
            rows = [row for row in table.elts if isinstance(row, ast.Tuple)]
            found |= set().union(*(strings(row.elts[names.index(name)]) for row in rows))
    return found


def handed(tree: ast.Module, name: str) -> set[str]:
    """The constants that a module's own calls pass as an argument of this name."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    places = {function.name: [arg.arg for arg in function.args.args] for function in functions}
    found: set[str] = set()
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        method = isinstance(call.func, ast.Attribute)
        arguments = places.get(call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func), [])
        for argument, value in zip(arguments[method:], call.args, strict=False):
            found |= strings(value) if argument == name else set()
    return found


def possible(tree: ast.Module, name: str) -> set[str]:
    """Every value that a variable of this name can have in a module."""
    found = looped(tree, name) | handed(tree, name)
    assert found, f"nobody can tell what {name} is"
    return found


def logged() -> set[str]:
    """Every event that a source logs."""
    found: set[str] = set()
    for tree in trees():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and node.args and is_logging(node.func)):
                continue
            event = node.args[0]
            if isinstance(event, ast.Name):
                found |= possible(tree, event.id)
            elif isinstance(event, ast.IfExp):
                found |= strings(event.body) | strings(event.orelse)
            else:
                found |= strings(event)
    return found


def values_of(path: Path, *tables: str) -> set[str]:
    """The strings inside constants of a module."""
    tree = ast.parse(path.read_text("utf-8"))
    assigned = [node for node in tree.body if isinstance(node, ast.AnnAssign) and node.value]
    kept = [node.value for node in assigned if isinstance(node.target, ast.Name) and node.target.id in tables]
    assert len(kept) == len(tables), f"{path.name} has no longer {tables}"
    return set().union(*(strings(value) for value in kept if value))


def families() -> dict[str, set[str]]:
    """The possible endings of a code that is composed at run time."""
    messages = SOURCE / "opend" / "messages.py"
    states = values_of(messages, "_PROGRAM_STATES", "_GATEWAY_EVENTS") - {"ready"}
    rights = {f"quote_right_{right}" for right in QUOTE_RIGHTS_WITHOUT_TICKS}
    causes = values_of(SOURCE / "store" / "faults.py", "_CAUSES", "_ERRNO_CAUSES")
    return {"opend_": states | rights | {"quote_link_lost"}, "writer_": causes | {"bug"}}


def test_every_event_that_is_logged_is_explained_and_no_other() -> None:
    """A new line needs its entry in ops/explanations/; an entry without a line must be removed."""
    assert logged() == {*catalogue.ALL_EVENTS, *SIMULATOR_EVENTS}


@pytest.mark.parametrize(("page", "language"), PAGES)
def test_the_page_is_up_to_date(page: Path, language: str) -> None:
    """The reference of docs/troubleshooting.md and .en.md is generated: python tools/write_troubleshooting.py."""
    text = page.read_text("utf-8")
    assert catalogue.BEGIN in text
    assert text.partition(catalogue.BEGIN)[2] == catalogue.markdown(language).partition(catalogue.BEGIN)[2]


@pytest.mark.parametrize(("page", "language"), PAGES)
def test_the_page_has_a_row_for_each_event(page: Path, language: str) -> None:
    """Meaning and remedy are there in both languages. A `|` inside a command, as in `dmesg | tail`, does not end the
    cell, or a reader would see half of the command.
    """
    rows = [line for line in page.read_text("utf-8").splitlines() if line.startswith("| `")]
    for name, entry in {**SIMULATOR_EVENTS, **catalogue.ALL_EVENTS, **REGISTRY.explained()}.items():
        assert all((*entry.meaning, *entry.remedy)), name
        assert any(ord(char) > 0x3000 for char in entry.meaning.zh), name
        (row,) = {
            row for row in rows if row.startswith(f"| `{name}` | ") and _words(entry.meaning, language) in _bare(row)
        }
        cells = re.split(r"(?<!\\)\|", row)[1:-1]
        assert [_bare(cell) for cell in cells[1:]] == [_words(w, language) for w in (entry.meaning, entry.remedy)], name


def _words(words: Words, language: str) -> str:
    return _bare(words.en if language == "en" else words.zh)


def _bare(cell: str) -> str:
    """The text without Markdown marks."""
    return (
        re.sub(r"\[[^]]+\]\(([a-z-]+)(?:\.en)?\.md\)", r"docs/\1.md", cell).replace("\\|", "|").replace("`", "").strip()
    )


def test_code_is_marked_in_english_where_it_is_in_chinese() -> None:
    """The text for the command line has no marks; a name inside a longer one is not marked."""
    rows = catalogue.markdown("en").splitlines()
    (row,) = [row for row in rows if row.startswith("| `status_not_written` |")]
    assert "status.json could not be replaced, so `status` and alerts see an old state" in row
    (row,) = [row for row in rows if row.startswith("| `disk_slow` |")]
    assert row.endswith(r"| `cat /proc/pressure/io`; `sudo dmesg \| tail` |")


def test_a_line_is_explained_with_its_cause() -> None:
    """With any text before the level; `cause=` and `kind=` name findings."""
    line = 'Nov 24 09:30:01 host hk[7]: 2026-11-24T09:30:01.000+08:00 ERROR persist_failed cause=disk_full detail="a b"'
    assert [each.name for each in catalogue.explain(line)] == ["persist_failed", "writer_disk_full"]
    line = "2026-11-24T09:30:01.000+08:00 ERROR opend_notice kind=program_needs_captcha detail=x"
    assert [each.name for each in catalogue.explain(line)] == ["opend_notice", "opend_needs_captcha"]
    assert [each.name for each in catalogue.explain("WATCHDOG")] == ["WATCHDOG persistent_stall"]
    assert [each.what for each in catalogue.explain("persistent_stall")] == ["log line", "finding"]
    assert catalogue.explain("no_such_event") == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "WATCHDOG persistent_stall queue_rows=90000 cause=disk_full stalled_s=190",
            ["WATCHDOG persistent_stall", "writer_disk_full"],
        ),
        ("gap_opened symbol=HK.00700 cause=disconnected", ["gap_opened"]),
        ("health connected=True subscribed=2/2", ["health"]),
        ("tick_rejected cause=conflict symbol=HK.00700", ["tick_rejected"]),
        ("opend_notice kind=kicked_out …", ["opend_notice", "opend_kicked_out"]),
        ("no_such_event cause=disk_full", []),
        ("health is what this is about", []),
    ],
)
def test_a_line_is_explained_as_a_page_quotes_it(line: str, expected: list[str]) -> None:
    """Without time and level; its fields are explained as well; an unknown event gives nothing."""
    assert [each.name for each in catalogue.explain(line)] == expected
