"""Renews the table of settings in docs/configuration.md and .en.md; the text around it is written by hand."""

from __future__ import annotations

from pathlib import Path

from hk_tick_collector.config import reference

DOCS = Path(__file__).parent.parent / "docs"

if __name__ == "__main__":
    for language, name in (("zh-Hant", "configuration.md"), ("en", "configuration.en.md")):
        page = DOCS / name
        before, begin, rest = page.read_text("utf-8").partition(reference.BEGIN)
        _, end, after = rest.partition(reference.END)
        if not (begin and end):
            raise SystemExit(
                f"{page} needs the lines {reference.BEGIN!r} and {reference.END!r}, with the table between"
            )
        page.write_text(f"{before}{begin}\n{reference.table(language)}\n{end}{after}", "utf-8")
