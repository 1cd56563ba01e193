"""Documents match the code: generated pages are up to date, and every verb is explained where people look."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from hk_tick_collector.cli import VERBS, main
from hk_tick_collector.config import settings_tables
from hk_tick_collector.ops.findings.registry import REGISTRY
from hk_tick_collector.ops.findings.spec import Rule

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_env_example_is_up_to_date() -> None:
    """`.env.example` is what `config --example` prints: hk-tick-collector config --example > .env.example."""
    assert (ROOT / ".env.example").read_text("utf-8") == settings_tables.env_example()


@pytest.mark.parametrize(("name", "language"), [("configuration.md", "zh-Hant"), ("configuration.en.md", "en")])
def test_the_page_of_settings_is_up_to_date(name: str, language: str) -> None:
    """The table of docs/configuration.md and .en.md is generated: python tools/write_configuration.py."""
    page = (ROOT / "docs" / name).read_text("utf-8")
    assert (
        page.partition(settings_tables.BEGIN)[2].partition(settings_tables.END)[0]
        == f"\n{settings_tables.table(language)}\n"
    )


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its help shows a command line to copy."""
    assert main([verb, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Example" in text
    assert f"hk-tick-collector {verb}" in text.partition("Example")[2]


@pytest.mark.parametrize("page", ["README.md", "README.zh-Hant.md"])
@pytest.mark.parametrize("verb", VERBS)
def test_the_readmes_list_every_verb(page: str, verb: str) -> None:
    """Each verb is in the table of both readmes; the English one has the line of the help, word for word."""
    rows = [line for line in (ROOT / page).read_text("utf-8").splitlines() if line.startswith(f"| `{verb}` |")]
    assert len(rows) == 1, f"{page} needs a row that begins with '| `{verb}` |'"
    if page == "README.md":
        assert VERBS[verb] in rows[0]


_UNITS_S = {"s": 1, "min": 60, "h": 3600, "秒": 1, "分鐘": 60, "小時": 3600}


@pytest.mark.parametrize("page", ["alerts.md", "alerts.en.md"])
def test_every_finding_that_is_alerted_is_on_the_page_of_alerts(page: str) -> None:
    """Its row has the right severity, and the time after which it is sent. `writer_…` stands for a whole family."""
    tables = (ROOT / "docs" / page).read_text("utf-8").partition("\n## ")[2]
    tables = tables[tables.index("| `persistent_stall`") :].partition("\n## ")[0]
    critical, held = set[str](), dict[str, int]()
    for row in re.findall(r"^\| (`.*) \|$", tables, re.MULTILINE):
        codes, what, *after = row.split(" | ")
        named = set(re.findall(r"`([a-z_]+…?)`", codes))
        critical |= named if not after or what.startswith("CRITICAL") else set()
        time = re.fullmatch(r"(\d+) (\S+)", "".join(after))  # none in the first table, nor for "at once"
        held |= dict.fromkeys(named, int(time[1]) * _UNITS_S[time[2]] if time else 0)
    for spec in REGISTRY:
        if isinstance(spec.alert, Rule) and not spec.alert.only_critical:
            row = spec.code if spec.code in held else f"{spec.code.partition('_')[0]}_…"
            assert (row in critical) == (spec.alert.critical_s is not None), spec.code
            assert held[row] in (spec.alert.hold_s, 0), spec.code


def test_the_generated_messages_are_up_to_date() -> None:
    """Each module made from a .proto matches it: tools/generate_proto.sh."""
    done = subprocess.run(["tools/generate_proto.sh", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_pages_has_a_target(page: Path) -> None:
    """The file exists, and so does the heading that the link names."""
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in link:
            continue
        name, _, heading = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (heading and heading not in _headings(target)):
            lost.append(link)
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_row_of_a_table_has_a_cell_for_each_column(page: Path) -> None:
    """A `|` inside code ends a cell unless it is escaped: the rest of the row would not be shown."""
    columns, wrong = 0, []
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        cells = len(re.findall(r"(?<!\\)\|", line)) - 1 if line.startswith("|") else 0
        if columns and cells and cells != columns:
            wrong.append(f"{page.name}:{number}: {cells} cells instead of {columns}")
        columns = columns or cells if cells else 0
    assert wrong == []


def _headings(page: Path) -> set[str]:
    """The headings of a page as GitHub's links name them."""
    titles = re.findall(r"^#+ +(.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
