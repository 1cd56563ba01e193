"""`make docs-site`: ./site with the documentation in both languages, every link checked.

    python -m tools.docs_site.build [OUT]

Exit code 1 for a warning of Sphinx, a broken link, anything that a page would load from another host, or a word that
the search does not find.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from . import stage, words

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parent.parent.parent
_SPHINX: Final = {"en": "en", "zh-Hant": "zh_TW"}
_LOADS: Final = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
# Each must be found in the site of its language; 行情權限 and 寫入執行緒 are in no dictionary of Simplified Chinese.
QUERIES: Final = {
    "en": ["outage budget", "sqlite_busy_backoff", "quote right"],
    "zh-Hant": ["行情權限", "短訊驗證碼", "缺口", "寫入執行緒", "sqlite_busy_backoff", "日檔"],
}
# As in searchtools.js: a language may have its own function that splits a query.
_LOOK_UP: Final = r"""
const cut = typeof splitQuery === "undefined"
  ? (text) => text.split(/[^\p{Letter}\p{Number}_\p{Emoji_Presentation}]+/gu).filter((word) => word)
  : splitQuery;
const stemmer = new window.Stemmer();
console.log(JSON.stringify(cut(process.argv[2]).map((word) => stemmer.stemWord(word))));
"""
_FIRST: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>hk-tick-collector</title>
<script>
location.replace(/^zh/i.test(navigator.language) ? "zh-Hant/index.html" : "en/index.html");
</script>
<p><a href="en/index.html">English</a> · <a href="zh-Hant/index.html">繁體中文</a></p>
</html>
"""


class _Page(HTMLParser):
    """The links of a page, the files it loads, and the anchors in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = {"", "top"}
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.places |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in _LOADS and _LOADS[tag] in found and found.get("rel") not in ("canonical", "alternate"):
            self.loads.append(found[_LOADS[tag]])


def faults(site: Path) -> Iterator[str]:
    """Every broken link inside the site, and everything that would come from another host."""
    pages = {path.resolve(): _Page(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        where = path.relative_to(site.resolve())
        for link in [*page.links, *page.loads]:
            target, _, heading = link.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            file = (path.parent / unquote(target.partition("?")[0])).resolve() if target else path
            if not file.is_file():
                yield f"{where}: {link}: no such file"
            elif heading and file in pages and unquote(heading) not in pages[file].places:
                yield f"{where}: {link}: no such heading"
        yield from (f"{where}: loads {load}" for load in page.loads if re.match(r"(https?:)?//", load))
    for path in [*site.rglob("*.css"), *site.rglob("*.js")]:
        loaded = re.findall(
            r"""(?:url\(|@import |import\(|fetch\()\s*["']?((?:https?:)?//[^"')\s]+)""", path.read_text("utf-8")
        )
        yield from (f"{path.relative_to(site)}: loads {load}" for load in loaded)


def found(site: Path, query: str) -> list[str]:
    """The pages that the browser's search shows for a query: those with each of its words."""
    text = (site / "searchindex.js").read_text("utf-8")
    index = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    pages = set(range(len(index["docnames"])))
    for word in _looked_up(site, query.lower()):
        hits: set[int] = set()
        for terms in (index["terms"], index["titleterms"]):
            files = terms.get(word, [])
            hits |= {files} if isinstance(files, int) else set(files)
        pages &= hits
    return sorted(index["docnames"][page] for page in pages)


def _looked_up(site: Path, query: str) -> list[str]:
    """The words to look up in the index, from the site's own JavaScript if node is installed to run it."""
    node = shutil.which("node")
    if node is None:
        stemmer = import_module("snowballstemmer").stemmer("english")  # installed with Sphinx
        return [stemmer.stemWord(word) for word in words.of_query(query)]
    script = "const window = {}; " + (site / "_static" / "language_data.js").read_text("utf-8") + _LOOK_UP
    done = subprocess.run([node, "-", query], input=script, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"docs-site: the search in {site.name} does not run:\n{done.stderr}")
    found_words: list[str] = json.loads(done.stdout)
    return found_words


def build(out: Path) -> list[str]:
    """Writes the site; returns the errors, empty if there are none."""
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="docs-site-") as scratch:
        for language in stage.LANGUAGES:
            source = Path(scratch) / language
            stage.write(ROOT, source, language)
            command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-W", "--keep-going", "-n"]
            command += ["-c", str(Path(__file__).parent), "-D", f"language={_SPHINX[language]}"]
            command += ["-d", str(Path(scratch) / "doctrees" / language), str(source), str(out / language)]
            if subprocess.run(command, check=False).returncode:
                return [f"Sphinx printed warnings for the pages in {language}, see above"]
    (out / "index.html").write_text(_FIRST, "utf-8")
    lost = [
        f"the search in {language} does not find {query}"
        for language, queries in QUERIES.items()
        for query in queries
        if not found(out / language, query)
    ]
    return [*faults(out), *lost]


def main() -> int:
    """Builds the site and prints the errors."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "site"
    wrong = build(out)
    for line in wrong:
        print(f"docs-site: {line}", file=sys.stderr)
    if not wrong:
        pages = len(list(out.rglob("*.html")))
        print(f"docs-site: {pages} pages; open {out / 'index.html'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
