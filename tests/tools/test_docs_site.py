"""The documentation site before Sphinx sees it: pages, links, diagrams and the words of its search.

`make docs-site` builds the site and checks it whole: every link, nothing from another host, Chinese words found.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Final

import pytest
from tools.docs_site import build, diagram, stage, words

ROOT: Final = Path(__file__).parent.parent.parent
RUNBOOK: Final = ROOT / "docs" / "runbook.md"


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Sphinx reads, of this repository, in both languages."""
    out = tmp_path_factory.mktemp("pages")
    for language in stage.LANGUAGES:
        stage.write(ROOT, out / language, language)
    return out


def repository(root: Path, pages: dict[str, str]) -> Path:
    """A small one, with a navigation."""
    rows = "| [A](a.en.md) | [甲](a.md) | |"
    for name, text in {
        "docs/README.md": f"# Docs\n\n## Part · 部\n\n{rows}\n",
        "docs/a.en.md": "# A\n",
        **pages,
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    return root


def test_both_sites_have_the_same_pages(staged: Path) -> None:
    """A page has one name in both, so that the other language is one step away."""
    names = [
        {str(path.relative_to(staged / each)) for path in (staged / each).rglob("*.md")} for each in stage.LANGUAGES
    ]
    assert names[0] == names[1]
    assert {"index.md", "overview.md", "runbook.md", "data-quality.md", "architecture.md"} <= names[0]


def test_the_navigation_is_that_of_docs_readme(staged: Path) -> None:
    """The menu beside each page has the parts and pages of docs/README.md, in its order, in the page's language."""
    for column, language in enumerate(stage.LANGUAGES):
        text = (staged / language / "index.md").read_text("utf-8")
        menu = re.findall(r"^:caption: (.+)$|^(.+) <([a-z-]+)>$", text, re.MULTILINE)
        expected: list[tuple[str, str, str]] = []
        for title, rows in stage.navigation(ROOT / "docs" / "README.md"):
            expected.append((title[column], "", ""))
            pages = stage.Pages.of(ROOT).names[language]
            expected += [("", row[column][0], pages[row[column][1]]) for row in rows]
        assert menu == expected
        assert len(expected) > 15


def test_a_page_links_to_its_translation(staged: Path) -> None:
    """Across the two sites."""
    assert '<a href="../en/runbook.html">English</a> · 繁體中文' in (staged / "zh-Hant/runbook.md").read_text("utf-8")
    assert 'English · <a href="../zh-Hant/runbook.html">繁體中文</a>' in (staged / "en/runbook.md").read_text("utf-8")


def test_links_work_inside_the_site(tmp_path: Path) -> None:
    """A page, named as in the menu instead of by its file; a page beside docs/; a file; another host; not code."""
    page = (
        "# 甲\n\n[a.md](a.md#b) [保安](../SECURITY.md) [檔](../deploy/rules.yml) [外](https://example.org/x.md)\n\n"
        "`[x](nowhere.md)`\n\n```bash root\n[x](nowhere.md)\n```\n"
    )
    root = repository(tmp_path / "r", {"docs/a.md": page, "SECURITY.md": "# S\n", "deploy/rules.yml": "groups:\n"})
    stage.write(root, tmp_path / "out", "zh-Hant")
    assert (tmp_path / "out" / "a.md").read_text("utf-8") == (
        "# 甲\n\n[甲](a.md#b) [保安](security.md) [檔](files/deploy/rules.yml) [外](https://example.org/x.md)\n\n"
        "`[x](nowhere.md)`\n\n```bash\n[x](nowhere.md)\n```\n"
    )
    assert (tmp_path / "out" / "files/deploy/rules.yml").read_text() == "groups:\n"


def test_a_link_without_a_target_is_named(tmp_path: Path) -> None:
    """With its page and line."""
    root = repository(tmp_path / "r", {"docs/a.md": "# 甲\n\n[x](gone.md)\n"})
    with pytest.raises(stage.BrokenLinkError, match=r"docs/a\.md:3: the target gone\.md does not exist"):
        stage.write(root, tmp_path / "out", "zh-Hant")


def test_a_built_page_is_searched_for_broken_links_and_other_hosts(tmp_path: Path) -> None:
    """The check of `make docs-site`, on pages made to fail it."""
    (tmp_path / "a.html").write_text(
        '<script src="https://cdn.example/x.js"></script><a href="b.html#there">b</a><a href="gone.html">c</a>'
        '<a href="b.html#lost">d</a><a href="https://example.org/">e</a><link rel="stylesheet" href="a.css">'
    )
    (tmp_path / "b.html").write_text('<p id="there">')
    (tmp_path / "a.css").write_text(
        '@import "https://fonts.example/f.css"; a { background: url(data:image/png;base64,x) }'
    )
    assert sorted(build.faults(tmp_path)) == [
        "a.css: loads https://fonts.example/f.css",
        "a.html: b.html#lost: no such heading",
        "a.html: gone.html: no such file",
        "a.html: loads https://cdn.example/x.js",
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("行情權限", ["行情", "情權", "權限"]),
        ("缺", ["缺"]),
        ("OpenD 的 sqlite_busy_backoff", ["OpenD", "的", "sqlite_busy_backoff"]),
        ("日檔2026", ["日檔", "2026"]),
    ],
)
def test_a_query_is_cut_into_words(text: str, found: list[str]) -> None:
    """In Python, and, where node is installed, the browser's own code does the same."""
    assert words.of_query(text) == found
    assert set(words.of_query(text)) <= set(words.of_text(text))
    if node := shutil.which("node"):
        script = words.JAVASCRIPT + f"console.log(JSON.stringify(splitQuery({json.dumps(text)})))"
        done = subprocess.run([node, "-e", script], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout) == found


def test_every_diagram_becomes_a_picture() -> None:
    """Each flowchart of our pages has an arrow for each edge and all its words, within its bounds."""
    blocks = [
        block.splitlines()
        for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
        for block in re.findall(r"```mermaid\n(.*?)```", path.read_text("utf-8"), re.DOTALL)
    ]
    assert len(blocks) >= 4
    for lines in blocks:
        picture = ET.fromstring(diagram.svg(lines))
        space = "{http://www.w3.org/2000/svg}"
        arrows = [path for path in picture.iter(f"{space}path") if path.get("marker-end")]
        assert len(arrows) == len(lines) - 1
        shown = re.sub(r"\s", "", "".join(span.text or "" for span in picture.iter(f"{space}tspan")))
        for text in re.findall(r'"([^"]*)"', "\n".join(lines)):
            assert re.sub(r"\s", "", text) in shown
        width = float(picture.get("width", "0"))
        assert all(0 <= float(span.get("x", "-1")) <= width for span in picture.iter(f"{space}tspan"))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["pie"], "neither flowchart TD nor flowchart LR"),
        (["flowchart TD", "A --o B"], "is not an arrow"),
        (["flowchart TD", "A --> B", "B --> A"], "go round in a circle"),
    ],
)
def test_a_diagram_that_cannot_be_drawn_is_refused(lines: list[str], said: str) -> None:
    """Instead of drawn wrongly."""
    with pytest.raises(ValueError, match=said):
        diagram.svg(lines)
