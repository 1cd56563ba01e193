"""How text is split into the words of the search index, and a query in the same way. Pure.

Chinese has no blanks between words. Each pair of neighbouring characters is a word of the index, and a query is split
in the same way: 行情權限 is found on pages with 行情, 情權 and 權限. So every Chinese word is found without a
dictionary. The usual segmenters have a dictionary of Simplified Chinese and split Traditional Chinese at wrong places.
"""

from __future__ import annotations

import re
from typing import Final

_RUN: Final = re.compile(r"[\u3400-\u9fff]+|[A-Za-z0-9_\u00c0-\u024f]+")

# The same for the browser; a single character is a word of its own in both.
JAVASCRIPT: Final = r"""
function splitQuery(query) {
  const words = [];
  for (const run of query.match(/[\u3400-\u9fff]+|[A-Za-z0-9_\u00c0-\u024f]+/g) || []) {
    if (/[\u3400-\u9fff]/.test(run) && run.length > 1) {
      for (let at = 0; at + 1 < run.length; at++) words.push(run.slice(at, at + 2));
    } else {
      words.push(run);
    }
  }
  return words;
}
"""


def of_query(text: str) -> list[str]:
    """The words that must all be on a page: Latin words, and pairs of Chinese characters."""
    found: list[str] = []
    for run in _RUN.findall(text):
        pairs = [run[at : at + 2] for at in range(len(run) - 1)] if run[0] >= "\u3400" else []
        found += pairs or [run]
    return found


def of_text(text: str) -> list[str]:
    """The words of a page: those of a query, and each single Chinese character."""
    return [*of_query(text), *(char for run in _RUN.findall(text) if run[0] >= "\u3400" for char in run)]
