"""Renews the reference part of docs/troubleshooting.md from the catalogue; what stands above it is written by hand."""

from __future__ import annotations

from pathlib import Path

from hk_tick_collector.ops.catalogue import catalogue

PAGE = Path(__file__).parent.parent / "docs" / "troubleshooting.md"
MARK = catalogue.BEGIN.split(" ")[0] + " 以下由"

if __name__ == "__main__":
    by_hand = PAGE.read_text("utf-8").partition(MARK)[0]
    PAGE.write_text(by_hand + catalogue.markdown(), "utf-8")
