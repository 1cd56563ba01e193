"""The repository's Markdown → one folder of pages for each language, with links that work inside it.

Input: docs/, the pages beside it, and docs/README.md as the navigation. Output: the input of Sphinx. A link to a page
in the other language becomes a link to that language's site, one to a file of the repository a link to a copy of it.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from . import diagram

if TYPE_CHECKING:
    from collections.abc import Iterator

LANGUAGES: Final = ("en", "zh-Hant")
_LINK: Final = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^][]|\[[^]]*\])*)\]\((?P<target>[^)\s]+)\)")
_CODE: Final = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
_ROW: Final = re.compile(r"^\| \[([^]]+)\]\(([^)]+)\) \| \[([^]]+)\]\(([^)]+)\) \|")


class BrokenLinkError(Exception):
    """A broken link; the text has page, line and link."""


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages by file: `names[language][file]` is a name without suffix, such as `runbook`.

    `labels[file]` is its title in the navigation, in its language.
    """

    root: Path
    names: dict[str, dict[Path, str]]
    labels: dict[Path, str]

    @classmethod
    def of(cls, root: Path) -> Pages:
        """Every page of the repository. A page in one language only is in both sites."""
        names: dict[str, dict[Path, str]] = {language: {} for language in LANGUAGES}
        for path in sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md")]):
            for language in LANGUAGES:
                if _language(path) in (language, None):
                    names[language][path] = _name(root, path)
        rows = [row for _, part in navigation(root / "docs" / "README.md") for row in part]
        # A page that is the same in both languages keeps the name of its file.
        labels = {file: label for row in rows if row[0][1] != row[1][1] for label, file in row}
        return cls(root, names, labels)

    def other(self, language: str, path: Path) -> tuple[str, str] | None:
        """Language and name of a page that only the other site has."""
        found = ((each, self.names[each].get(path)) for each in LANGUAGES if each != language)
        return next(((each, name) for each, name in found if name), None)


def _language(path: Path) -> str | None:
    if path.name.endswith(".en.md"):
        return "en"
    if path.name.endswith(".zh-Hant.md") or path.with_name(f"{path.stem}.en.md").exists():
        return "zh-Hant"
    return "en" if path.with_name(f"{path.stem}.zh-Hant.md").exists() else None


def _name(root: Path, path: Path) -> str:
    stem = re.sub(r"\.(en|zh-Hant)$", "", path.stem)
    if path.parent == root:
        return "overview" if stem == "README" else stem.lower()
    folder = path.parent.relative_to(root / "docs").as_posix()
    stem = "index" if stem == "README" else stem
    return stem if folder == "." else f"{folder}/{stem}"


def navigation(page: Path) -> Iterator[tuple[tuple[str, str], list[tuple[tuple[str, Path], tuple[str, Path]]]]]:
    """The parts of docs/README.md: title in both languages, rows with label and file in both languages."""
    for part in re.split(r"^## ", page.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        title = part.partition("\n")[0]
        english, _, chinese = title.partition(" · ")
        rows = [match.groups() for line in part.splitlines() if (match := _ROW.match(line))]
        files = [((a, (page.parent / b).resolve()), (c, (page.parent / d).resolve())) for a, b, c, d in rows]
        yield (english, chinese or english), files


def write(root: Path, out: Path, language: str) -> None:
    """Makes one folder of pages for Sphinx; BrokenLinkError for a broken link."""
    pages = Pages.of(root)
    listed = {file for _, rows in navigation(root / "docs" / "README.md") for row in rows for _, file in row}
    for path, name in pages.names[language].items():
        text = _page(pages, language, path, out)
        if name == "index":
            text += _toctrees(pages, language, path)
        elif path not in listed:
            text = f"---\norphan: true\n---\n\n{text}"
        target = out / f"{name}.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")


def _toctrees(pages: Pages, language: str, page: Path) -> str:
    column = LANGUAGES.index(language)
    parts = []
    for title, rows in navigation(page):
        entries = "\n".join(f"{row[column][0]} <{pages.names[language][row[column][1]]}>" for row in rows)
        parts.append(f"\n```{{toctree}}\n:hidden:\n:caption: {title[column]}\n\n{entries}\n```\n")
    return "".join(parts)


def _page(pages: Pages, language: str, path: Path, out: Path) -> str:
    lines: list[str] = []
    fence: list[str] | None = None
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if fence is not None:
            fence.append(line)
            if line.strip() == "```":
                lines += _block(fence)
                fence = None
        elif line.lstrip().startswith("```"):
            fence = [line]
        else:
            try:
                lines.append(_links(pages, language, path, out, line))
            except BrokenLinkError as error:
                raise BrokenLinkError(f"{path.relative_to(pages.root)}:{number}: {error}") from None
    return "\n".join(lines) + "\n"


def _block(fence: list[str]) -> list[str]:
    """Removes words for tests after the language of a code block; turns a diagram into a picture."""
    match = re.match(r"(\s*)```(\w*)", fence[0])
    assert match, fence[0]
    indent, language = match.groups()
    if language == "mermaid":
        return ['<div class="diagram">', "", diagram.svg(fence[1:-1]), "", "</div>"]
    return [f"{indent}```{language}", *fence[1:]]


def _links(pages: Pages, language: str, path: Path, out: Path, line: str) -> str:
    """Rewrites the links of a line, except inside code."""
    kept = [match.span() for match in _CODE.finditer(line)]
    done, at = [], 0
    for match in _LINK.finditer(line):
        if any(start <= match.start() and match.end() <= end for start, end in kept):
            continue
        done += [line[at : match.start()], _link(pages, language, path, out, match)]
        at = match.end()
    return "".join([*done, line[at:]])


def _link(pages: Pages, language: str, path: Path, out: Path, match: re.Match[str]) -> str:
    target, hash_, heading = match["target"].partition("#")
    if "://" in target or not target:
        return match[0]
    file = (path.parent / target).resolve()
    here = Path(pages.names[language][path]).parent
    if name := pages.names[language].get(file):
        text = pages.labels.get(file, match["text"]) if match["text"].strip("`").endswith(file.name) else match["text"]
        return f"{match['image']}[{text}]({os.path.relpath(f'{name}.md', here)}{hash_}{heading})"
    if found := pages.other(language, file):
        away = os.path.relpath(f"{found[0]}/{found[1]}.html", Path(language) / here)
        return f'<a href="{away}{hash_}{heading}">{match["text"]}</a>'
    if not file.is_file() or not file.is_relative_to(pages.root):
        raise BrokenLinkError(f"the target {target} does not exist")
    copy = Path("files") / file.relative_to(pages.root)
    (out / copy).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, out / copy)
    return f"{match['image']}[{match['text']}]({os.path.relpath(copy, here)})"
