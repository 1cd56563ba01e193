"""The page of `quality --html`: one file that needs no network and runs no script. Pure: facts in, text out.

Its Content-Security-Policy forbids everything but its own style, so that even a fault in the escaping of a text could
not run or load anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector import __version__, market
from hk_tick_collector.ops.findings.words import CHINESE, Words

from . import pictures
from .figures import figures, seconds
from .markup import Markup, element, joined
from .page_style import STYLE
from .verdict import STANDING_WORDS, as_percent, fine, share

if TYPE_CHECKING:
    from .facts import DayFacts, Totals
    from .overall import Day, Overall

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_SYMBOLS: Final = 30  # bars of the completeness
_DIFFERENCES: Final = 12
_ROWS: Final = 400  # days of the table, the newest

_TITLE: Final = Words("Data quality", "資料品質")
_VERDICTS: Final = (
    ("OK", Words("nothing to do", "毋須處理")),
    ("WARNING", Words("look at it before you use it", "使用前先看原因")),
    ("CRITICAL", Words("not usable as it is", "現狀不宜使用")),
    ("UNKNOWN", Words("could not be read", "未能讀取")),
)


def page(found: Overall, others: Overall, detail: Day | None, now_ms: int, lang: str) -> str:
    """The page of the chosen days, with the other days in the calendar, and one day in detail.

    `now_ms` is when it was made, UTC epoch ms.
    """
    made = f"{market.hkt(now_ms):%Y-%m-%d %H:%M:%S} HKT · hk-tick-collector {__version__}"
    title = _TITLE.of(lang) + (f" · {detail.facts.day}" if detail else "")
    body = [
        element("header", element("h1", title), element("p", made, class_="soft")),
        _overview(found, others, detail, lang),
        *([_detail(detail, lang)] if detail else []),
        _table(found, lang),
        _legend(lang),
    ]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(STYLE)),
    )
    return element(
        "html", head, element("body", element("main", *body)), lang="zh-Hant-HK" if lang == CHINESE else "en"
    )


def _overview(found: Overall, others: Overall, detail: Day | None, lang: str) -> Markup:
    percent = found.completeness.percent
    said = found.days_not_said < found.days_read
    cards = [
        (Words("days", "日數"), f"{len(found.days):,}"),
        (Words("ticks", "筆數"), f"{found.rows:,}"),
        (Words("complete", "完整度"), as_percent(percent)),
        (Words("missing", "欠"), f"{max(0, found.completeness.expected - found.completeness.counted):,}"),
        (Words("open gaps", "未補缺口"), f"{found.open_gaps:,}"),
        (Words("without OpenD", "沒有 OpenD"), seconds(found.away_s).of(lang) if said else "?"),
        (Words("totals that match", "核對相符"), f"{found.matching:,} / {found.compared:,}"),
    ]
    shown = [
        element("div", element("b", figure), element("span", name.of(lang), class_="soft"), class_="card")
        for name, figure in cards
    ]
    days = [*found.days, *others.days]
    months = pictures.calendars(days, lang, detail.facts.day if detail else "")
    keys = [
        element("span", element("i", class_=f"key {name.lower()}"), f"{name} {text.of(lang)}")
        for name, text in _VERDICTS
    ]
    keys.append(
        element("span", element("i", class_="key none"), Words("weekday without a file", "沒有日檔的平日").of(lang))
    )
    return element(
        "section",
        element("div", *shown, class_="cards"),
        element("h2", Words("Calendar", "日曆").of(lang)),
        element("div", months, class_="months"),
        element("p", *keys, class_="keys soft"),
    )


def _detail(day: Day, lang: str) -> Markup:
    facts, judged = day
    name = judged.severity.name
    badge = element("span", name, class_=f"badge {name.lower()}")
    head = element("h2", f"{facts.day} ", badge, " ", element("span", judged.standing, class_="soft"))
    if findings := (*judged.findings, *judged.notes):
        items = [
            element(
                "li",
                element("b", each.severity.name),
                f" {each.words.of(lang)}",
                *([element("br"), element("code", each.remedy)] if each.remedy else []),
            )
            for each in findings
        ]
        why = element("ul", *items, class_="findings")
    else:
        why = element("p", fine(facts, judged).of(lang))
    if facts.problem:
        return element("section", head, why)
    rows = [
        element("tr", element("th", name.of(lang), scope="row"), element("td", text.of(lang)))
        for name, text in figures(facts)
    ]
    return element(
        "section",
        head,
        why,
        element("table", *rows, class_="figures"),
        *_pictures(facts, lang),
        *([_differing(facts.totals, lang)] if facts.totals and facts.totals.differing else []),
    )


def _pictures(facts: DayFacts, lang: str) -> list[Markup]:
    found: list[tuple[Words, Markup]] = [
        (
            Words(
                "Connection, and gaps (filled: ticks are missing; frame: closed)",
                "連線與缺口（實心：仍欠；空心：已關閉）",
            ),
            pictures.timeline(facts, lang),
        )
    ]
    if facts.scan and facts.scan.minutes:
        found += [
            (Words("Ticks by minute", "每分鐘筆數"), pictures.minutes(facts, facts.scan, lang)),
            (
                Words(
                    "Delay of live ticks by minute: the half of them, and the latest one (pale)",
                    "即時 tick 每分鐘的延遲：半數，與最遲一筆（淺色）",
                ),
                pictures.delays(facts, facts.scan, lang),
            ),
        ]
    if facts.incomplete:
        more = facts.incomplete_symbols - min(_SYMBOLS, len(facts.incomplete))
        text = Words("Completeness by symbol, worst first", "各股票的完整度，由最差起")
        if more > 0:
            text = Words(f"{text.en} ({more:,} more symbols are incomplete)", f"{text.zh}（另有 {more:,} 隻不完整）")
        found.append((text, pictures.symbols(facts.incomplete[:_SYMBOLS], lang)))
    return [element("figure", element("figcaption", name.of(lang)), picture) for name, picture in found]


def _differing(totals: Totals, lang: str) -> Markup:
    header = (
        Words("symbol", "股票"),
        Words("our shares", "本機股數"),
        Words("OpenD's shares", "OpenD 股數"),
        Words("our turnover", "本機成交額"),
        Words("OpenD's turnover", "OpenD 成交額"),
        Words("explained", "解釋"),
    )
    rows = [
        element(
            "tr",
            element("th", row.symbol, scope="row"),
            *(
                element("td", "" if figure is None else f"{figure:,.0f}", class_="right")
                for figure in (row.volume, row.official_volume, row.turnover, row.official_turnover)
            ),
            element("td", row.explained),
        )
        for row in totals.differing[:_DIFFERENCES]
    ]
    head = element("tr", *(element("th", name.of(lang), scope="col") for name in header))
    name = Words("Totals that differ from OpenD's, worst first", "與 OpenD 不符的總數，由最差起").of(lang)
    return element("figure", element("figcaption", name), element("table", head, *rows))


def _table(found: Overall, lang: str) -> Markup:
    header = (
        Words("day", "日期"),
        Words("verdict", "結論"),
        Words("standing", "證明"),
        Words("ticks", "筆數"),
        Words("complete", "完整度"),
        Words("missing", "欠"),
        Words("open gaps", "未補缺口"),
        Words("without OpenD", "沒有 OpenD"),
        Words("totals", "核對"),
        Words("why", "原因"),
    )
    rows = [_row(day, lang) for day in found.days[: -_ROWS - 1 : -1]]
    head = element("thead", element("tr", *(element("th", name.of(lang), scope="col") for name in header)))
    name = Words("Days, the newest first", "各日，由最新起").of(lang)
    scroll = element("div", element("table", head, element("tbody", *rows), class_="days"), class_="scroll")
    return element("section", element("h2", name), scroll)


def _row(day: Day, lang: str) -> Markup:
    facts, judged = day
    name = judged.severity.name
    head = [
        element("th", facts.day, scope="row"),
        element("td", element("span", name, class_=f"badge {name.lower()}")),
        element("td", judged.standing),
    ]
    if facts.problem:
        return element("tr", *head, element("td", facts.problem, colspan=7))
    figures_of_day = (
        f"{facts.rows:,}",
        share(facts),
        f"{facts.missing:,}",
        f"{facts.open_gaps:,}",
        seconds(facts.away.trading_s).of(lang) if facts.away else "?",
        f"{facts.totals.matching:,}/{facts.totals.symbols:,}" if facts.totals else "",
    )
    why = judged.findings[0].words.of(lang) if judged.findings else ""
    cells = [element("td", figure, class_="right") for figure in figures_of_day]
    return element("tr", *head, *cells, element("td", why, class_="why"))


def _legend(lang: str) -> Markup:
    note = Words(
        "The meaning of the sequence is inferred from samples, so no word here is absolute; docs/quality.md explains"
        " every rule.",
        "序號的意義由樣本推斷，因此這裡的用語均非絕對；每條規則見 docs/quality.md。",
    )
    terms = [joined((element("dt", word), element("dd", text.of(lang)))) for word, text in STANDING_WORDS.items()]
    return element("footer", element("dl", *terms), element("p", note.of(lang)), class_="soft")
