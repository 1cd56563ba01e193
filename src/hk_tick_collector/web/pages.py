"""Templates → pages, in the browser's language and colours. Each text from outside is made plain, then escaped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from hk_tick_collector import __version__, market
from hk_tick_collector.ops.findings.finding import Severity
from hk_tick_collector.ops.findings.words import CHINESE, ENGLISH, LANGUAGES, Words
from hk_tick_collector.text import plain

from .words import WORDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

HERE: Final = Path(__file__).parent
THEMES: Final = ("auto", "light", "dark")
VIEWS: Final = (("now", "/"), ("symbol", "/symbol"), ("days", "/days"))
_YEAR_S: Final = 31_536_000
_COOKIE: Final = "hktc_"


class Choice(NamedTuple):
    """What a browser has chosen."""

    lang: str
    theme: str


class Texts:
    """The texts in one language, for templates: `t.NAME`. It has no other names that a template could meet."""

    def __init__(self, words: Mapping[str, Words], lang: str) -> None:
        self._texts = {name: each.of(lang) for name, each in words.items()}

    def __getitem__(self, name: str) -> str:
        return self._texts[name]

    def __contains__(self, name: str) -> bool:
        return name in self._texts


class Pages:
    """Renders. `instance` is the collector's name, `lang` the language of a browser that has not chosen one."""

    def __init__(self, instance: str, lang: str) -> None:
        self._instance = instance
        self._lang = lang
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_finalized,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._texts = {each: Texts(WORDS, each) for each in LANGUAGES}
        self._environment.filters |= {"hkt": _hkt, "clock": _clock}
        self._environment.globals |= {"minutes": _minutes, "severities": [each.name for each in Severity]}
        # Read now: an upgrade may remove the files while this process runs, and no second looks at them again.
        self._templates = {name: self._environment.get_template(name) for name in self._environment.list_templates()}

    def choice(self, request: Request) -> Choice:
        """From the address (`?lang=` and `?theme=`), else the cookie, else the settings."""
        lang, theme = (
            request.query_params.get(name) or request.cookies.get(_COOKIE + name, "") for name in ("lang", "theme")
        )
        return Choice(lang if lang in LANGUAGES else self._lang, theme if theme in THEMES else "auto")

    def page(self, request: Request, template: str, *, code: int = 200, view: str = "", **values: Any) -> HTMLResponse:
        """A whole page. A choice in its address is kept in a cookie. `values` are those of the template; `words`, a
        mapping to Words, adds texts to those of words.py.
        """
        chosen = self.choice(request)
        other = ENGLISH if chosen.lang == CHINESE else CHINESE
        theme = THEMES[(THEMES.index(chosen.theme) + 1) % len(THEMES)]
        text = self.text(
            template,
            chosen.lang,
            **values,
            chosen=chosen,
            views=VIEWS,
            view=view,
            instance=self._instance,
            version=__version__,
            other_lang=_with(request, "lang", other),
            other_theme=_with(request, "theme", theme),
        )
        answer = HTMLResponse(text, code)
        for name, value in zip(("lang", "theme"), chosen, strict=True):
            if name in request.query_params:
                answer.set_cookie(_COOKIE + name, value, _YEAR_S, samesite="strict", httponly=True)
        return answer

    def text(self, template: str, lang: str, words: Mapping[str, Words] | None = None, **values: Any) -> str:
        """A template as text."""
        texts = self._texts[lang] if words is None else Texts(WORDS | dict(words), lang)
        return self._templates[template].render(**values, t=texts, lang=lang)


def _with(request: Request, name: str, value: str) -> str:
    """The present address with another choice: only its query, because a path like `//host/` leads to another site."""
    return f"?{request.url.include_query_params(**{name: value}).query}"


def _finalized(value: object) -> object:
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _hkt(ts_ms: int) -> str:
    return f"{market.hkt(ts_ms):%Y-%m-%d %H:%M:%S}"


def _clock(ts_ms: int) -> str:
    return f"{market.hkt(ts_ms):%H:%M:%S}"


def _minutes(seconds: int) -> str:
    """A duration like `4:05` or `2:04:05`."""
    hours, rest = divmod(max(0, seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
