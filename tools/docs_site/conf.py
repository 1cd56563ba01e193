"""Sphinx's configuration for both languages; build.py chooses with `-D language=`. Pages load from no other host."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.search.zh import SearchChinese

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

from tools.docs_site import words  # noqa: E402  # importable because of the line above

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "hk-tick-collector"
author = "hk-tick-collector"
html_title = project
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 6  # links to headings as GitHub names them
myst_links_external_new_tab = False
nitpicky = True
smartquotes = False  # `--day` and 'now' are shown as they are typed
highlight_language = "none"
pygments_style = "default"
html_theme = "furo"
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_copy_source = False
html_use_index = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"top_of_page_buttons": []}


class _Chinese(SearchChinese):
    """Splits Chinese into pairs of characters instead of using a dictionary: see words.py."""

    language_name = (
        "English"  # its stemmer is loaded: the one that Sphinx 9.0's own search for Chinese needs is not loaded
    )
    js_splitter_code = words.JAVASCRIPT

    def split(self, input: str) -> list[str]:  # noqa: A002  # Sphinx's name
        found = words.of_text(input)
        self.latin_terms.update(word for word in found if word.isascii())
        return found

    def word_filter(self, stemmed_word: str) -> bool:
        return bool(stemmed_word) and not stemmed_word.isdigit() and stemmed_word not in self.stopwords


def _name_headings(_app: Sphinx, document: nodes.document) -> None:
    """Gives a heading GitHub's anchor too: a link to operations#opend-登入 works in both places."""
    for section in document.findall(nodes.section):
        slug = section.get("slug")
        if slug and slug not in section["ids"]:
            section["ids"].append(slug)


def setup(app: Sphinx) -> None:
    """Replaces Sphinx's segmenter for Chinese, and adds GitHub's anchors to the headings."""
    app.add_search_language(_Chinese)
    app.connect("doctree-read", _name_headings)
