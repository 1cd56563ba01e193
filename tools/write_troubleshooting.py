"""Renews the reference part of docs/troubleshooting.md and .en.md from the catalogue; the text above is by hand."""

from __future__ import annotations

from pathlib import Path

from hk_tick_collector.ops.explanations import catalogue

DOCS = Path(__file__).parent.parent / "docs"

if __name__ == "__main__":
    for language, name in (("zh-Hant", "troubleshooting.md"), ("en", "troubleshooting.en.md")):
        page = DOCS / name
        by_hand, begin, _ = page.read_text("utf-8").partition(catalogue.BEGIN)
        if not begin:
            raise SystemExit(f"{page} has no line {catalogue.BEGIN!r}, below which the reference is written")
        page.write_text(by_hand + catalogue.markdown(language), "utf-8")
