"""Templates and their texts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest
from markupsafe import Markup
from starlette.requests import Request

from hk_tick_collector.market import STATE_NAMES
from hk_tick_collector.web.pages import HERE, Pages
from hk_tick_collector.web.words import WORDS

if TYPE_CHECKING:
    from pathlib import Path

HAN: Final = re.compile(r"[\u4e00-\u9fff]")
TEMPLATES: Final = sorted(HERE.glob("templates/**/*.html"))


def test_every_text_has_both_languages_with_the_same_figures() -> None:
    """A figure that one language lacks would be an error only for who reads that language."""
    for name, words in WORDS.items():
        assert words.en, name
        assert words.zh, name
        assert not HAN.search(words.en) or name == "other_language", name
        assert sorted(re.findall(r"{\w+}", words.en)) == sorted(re.findall(r"{\w+}", words.zh)), name


def test_every_phase_of_the_market_has_a_name() -> None:
    """As OpenD tells it."""
    assert {f"market_{name}" for name in STATE_NAMES} <= set(WORDS)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_what_the_policy_forbids(path: Path) -> None:
    """An inline script, style or handler would do nothing in a browser; `safe` is for parts alone."""
    text = path.read_text("utf-8")
    assert not re.search(r"<style|style=|\son\w+=|javascript:|<script(?! type=\"module\" src=)", text)
    assert path == HERE / "templates/parts.html" or "|safe" not in text


def test_text_from_outside_is_plain_and_escaped() -> None:
    """A control character is shown as its escape, markup as text; only our own markup is markup."""
    pages = Pages("test", "en")
    finalize = pages._environment.finalize  # noqa: SLF001 - each value that a template shows passes it
    assert finalize is not None
    assert finalize("a\x1b[31m\u202eb") == "a\\x1b[31m\\u202eb"
    assert finalize(Markup("<b>\n</b>")) == "<b>\n</b>"
    shown = pages.text("error.html", "en", status=404, chosen=_Chosen, view="", views=(), instance="<b>&\n", version="",
                       other_lang="", other_theme="")  # fmt: skip
    assert "&lt;b&gt;&amp; " in shown


@pytest.mark.parametrize("path", ["/", "//evil.example/x", "/days/20261120"])
def test_the_links_of_language_and_colours_stay_on_the_page(path: str) -> None:
    """A link that begins with two slashes leads to another site; one that is only a query does not."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"symbol=HK.00700",
        "headers": [(b"host", b"127.0.0.1:9110")],
    }
    text = bytes(Pages("test", "en").page(Request(scope), "error.html", status=404).body).decode()
    assert 'href="?symbol=HK.00700&amp;lang=zh-Hant"' in text
    assert 'href="?symbol=HK.00700&amp;theme=light"' in text
    assert "evil" not in text


class _Chosen:
    lang, theme = "en", "auto"
