"""Renews the table of settings in docs/configuration.md and .en.md; the text around it is written by hand."""

from __future__ import annotations

from pathlib import Path

from hk_tick_collector.config import settings_tables

DOCS = Path(__file__).parent.parent / "docs"

if __name__ == "__main__":
    for language, name in (("zh-Hant", "configuration.md"), ("en", "configuration.en.md")):
        page = DOCS / name
        before, begin, rest = page.read_text("utf-8").partition(settings_tables.BEGIN)
        _, end, after = rest.partition(settings_tables.END)
        if not (begin and end):
            raise SystemExit(
                f"{page} needs the lines {settings_tables.BEGIN!r} and {settings_tables.END!r}, with the table between"
            )
        page.write_text(f"{before}{begin}\n{settings_tables.table(language)}\n{end}{after}", "utf-8")
