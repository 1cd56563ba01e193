"""The registry: one place for each finding, complete in both languages; a new one appears everywhere."""

from __future__ import annotations

import ast
import importlib.util
import json
import string
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.ops.conftest import NOW_MS
from tests.ops.explanations.test_catalogue import families
from tests.ops.findings.test_remedies import ALL_WRONG

from hk_tick_collector import clock
from hk_tick_collector.cli import main
from hk_tick_collector.ops.alerts.rules import Alerts, rule_of
from hk_tick_collector.ops.explanations import catalogue
from hk_tick_collector.ops.findings.finding import Finding, Severity
from hk_tick_collector.ops.findings.health import Limits, check, line_of
from hk_tick_collector.ops.findings.not_reporting import Host
from hk_tick_collector.ops.findings.opend_states import OPEND_OTHER
from hk_tick_collector.ops.findings.ordering import explains
from hk_tick_collector.ops.findings.registry import REGISTRY, SUBJECTS
from hk_tick_collector.ops.findings.spec import FindingSpec, NotAlerted, Says
from hk_tick_collector.ops.findings.words import CHINESE, ENGLISH, Words
from hk_tick_collector.ops.findings.writer import WRITER_OTHER
from hk_tick_collector.ops.live.status import write_status
from hk_tick_collector.ops.metrics.exposition import Metrics
from hk_tick_collector.stats import Stats

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from tests.ops.conftest import MakeStatus

ROOT: Final = Path(__file__).parents[3]
SOURCE: Final = ROOT / "src" / "hk_tick_collector"
LIMITS: Final = Limits(drift_warn_s=2.0, lag_critical_s=300.0, disk_min_free_mb=2048, queue_warn_rows=50_000)
SPECS: Final = [*REGISTRY, OPEND_OTHER, WRITER_OTHER]
# A connection and an import that are half done, and gaps of which some have no known size.
HALF_WAY: Final[dict[str, Any]] = {
    "symbols": 90, "subscribed": 57, "refused": {"HK.00005": "timeout"}, "link_since_ms": NOW_MS - 21_000,
    "importing": "20261120.db.predecessor-x", "importing_rows": 90, "importing_done": 30,
    "gaps_lost_lately": 1, "unknown_gaps_lost_lately": 1,
}  # fmt: skip
# All that an operator must know of a new finding, in one module: nothing else is written.
MADE_UP: Final = '''
"""Findings of the tea kettle."""

from hk_tick_collector.ops.findings.finding import Severity
from hk_tick_collector.ops.findings.remedies import Remedy
from hk_tick_collector.ops.findings.spec import FindingSpec, Rule
from hk_tick_collector.ops.findings.words import Words


def _boils(seen):
    if seen.status.instance == "kettle":
        yield KETTLE_BOILS.found(Severity.CRITICAL, degrees=101)


KETTLE_BOILS = FindingSpec(
    code="kettle_boils",
    when=_boils,
    text=Words("the kettle has {degrees} degrees", "水煲已有 {degrees} 度"),
    remedy=Remedy("sudo systemctl stop kettle", "take it off the fire", "關火"),
    meaning=Words("the kettle boils", "水煲沸騰"),
    do=Words("sudo systemctl stop kettle", "`sudo systemctl stop kettle`"),
    alert=Rule(hold_s=3, critical_s=0),
    causes=("lag",),
    caused_by=("writer_",),
)
'''


def templates(spec: FindingSpec) -> Iterator[Words]:
    """Every text of a finding, its advice and its explanation."""
    for text, remedy in (Says(spec.text, spec.remedy), *spec.variants.values()):
        yield text
        if remedy.advice:
            yield Words(remedy.advice, remedy.advice_zh)
    yield spec.meaning
    yield spec.do


def places(template: str) -> set[tuple[str, str]]:
    """The figures of a template with their formats."""
    return {(name, form or "") for _, name, form, _ in string.Formatter().parse(template) if name}


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.code)
def test_a_finding_is_complete_in_both_languages(spec: FindingSpec) -> None:
    """Text, advice and explanation exist in both languages, with the same figures in the same formats."""
    for words in templates(spec):
        assert words.en
        assert words.zh, words
        assert places(words.en) == places(words.zh), words
    is_an_error = "{error}" in spec.text.en  # whose words are not ours
    assert is_an_error or any("\u4e00" <= char <= "\u9fff" for char in spec.text.zh)


def test_causes_name_existing_findings() -> None:
    """A code in `causes` or `caused_by` exists, or is the beginning of existing codes."""
    codes = {spec.code for spec in REGISTRY}
    for spec in REGISTRY:
        for code in (*spec.causes, *spec.caused_by):
            known = {other for other in codes if other == code or (code.endswith("_") and other.startswith(code))}
            assert known, f"{spec.code} names {code}"


def test_every_finding_is_alerted_or_says_why_not() -> None:
    """No finding is left out by accident; a critical finding is always sent."""
    for spec in REGISTRY:
        if isinstance(spec.alert, NotAlerted):
            assert len(spec.alert.why) > 20, spec.code
        assert rule_of(Finding(spec.code, Severity.CRITICAL, "x", "x")), spec.code


def test_the_families_are_complete() -> None:
    """Each state that OpenD may report, and each cause of the store, has its own spec."""
    for prefix, members in families().items():
        missing = {prefix + member for member in members} - {spec.code for spec in REGISTRY}
        assert missing == set()


def test_a_finding_is_made_by_its_spec_alone() -> None:
    """Only spec.py creates a `Finding`: otherwise a text could lack its translation, or a code its entry."""
    made = [
        str(path.relative_to(SOURCE))
        for path in sorted(SOURCE.rglob("*.py"))
        if "simulator" not in path.parts  # whose findings are another thing
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding"
    ]
    assert made == ["ops/findings/spec.py"]


def test_every_spec_is_used() -> None:
    """A spec that no source uses explains something that never happens."""
    used: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    names = {
        id(spec): name for module in SUBJECTS for name, spec in vars(module).items() if isinstance(spec, FindingSpec)
    }
    members = {prefix + member for prefix, group in families().items() for member in group}
    assert [spec.code for spec in REGISTRY if spec.code not in members and names[id(spec)] not in used] == []


def test_two_findings_do_not_share_a_code(kettle: ModuleType) -> None:
    """The second one is refused at once."""
    with pytest.raises(ValueError, match="kettle_boils"):
        REGISTRY.include(load_made_up(Path(str(kettle.__file__)), "another"))


def test_every_finding_is_shown_in_chinese_with_the_same_commands(make_status: MakeStatus) -> None:
    """Each line of `status` has Chinese text with all figures, and the command of the English line."""
    findings = [
        *check(make_status(**ALL_WRONG), NOW_MS, LIMITS),
        *check(make_status(**ALL_WRONG | {"connected": False}), NOW_MS, LIMITS),
        *check(make_status(subscribed=0), NOW_MS, LIMITS),
        *check(None, NOW_MS, LIMITS),
        *check(make_status(**HALF_WAY), NOW_MS, LIMITS),
        *check(make_status(**HALF_WAY | {"importing_checked": 40, "gaps_lost_lately": 2}), NOW_MS, LIMITS),
        *check(make_status(newest_ts_ms=NOW_MS + 7_200_000, last_tick_ms=NOW_MS - 400_000), NOW_MS, LIMITS),
        *(
            finding
            for who in ("", "pid 633 (ticker: python)")
            for wrong in ("", "FUTU_PORT=abc is not a whole number")
            for finding in check(None, NOW_MS, LIMITS, Host(take_over=who, settings_error=wrong))
        ),
    ]
    assert len({finding.code for finding in findings}) > 25
    for finding in findings:
        english, chinese = line_of(finding, lang=ENGLISH), line_of(finding, lang=CHINESE)
        assert any("\u4e00" <= char <= "\u9fff" for char in chinese), chinese
        assert "{" not in finding.zh
        assert english.partition(" -> ")[2] == chinese.partition(" -> ")[2]
        assert english.partition(":")[0] == chinese.partition(":")[0]
        assert not any("\u4e00" <= char <= "\u9fff" for char in english), english


def load_made_up(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def kettle(tmp_path: Path) -> Iterator[ModuleType]:
    """One more module of findings, written to a file and registered; nothing else is changed."""
    path = tmp_path / "kettle.py"
    path.write_text(MADE_UP, "utf-8")
    module = load_made_up(path, "kettle")
    REGISTRY.include(module)
    yield module
    REGISTRY.exclude(module)


@pytest.fixture
def boiling(make_status: MakeStatus) -> Any:
    """A live state with the made-up finding, and with an old tick."""
    return make_status(instance="kettle", newest_ts_ms=NOW_MS - 120_000, written_ms=NOW_MS)


@pytest.mark.usefixtures("kettle")
class TestOneModuleIsEnough:
    """A finding that is written in one file appears everywhere that an operator looks."""

    @pytest.mark.parametrize(
        ("lang", "words"),
        [
            ("en", "CRITICAL: the kettle has 101 degrees; take it off the fire (and 1 more) -> "),
            ("zh-Hant", "CRITICAL: 水煲已有 101 度；關火（另有 1 項） -> "),
        ],
    )
    def test_a_new_finding_is_in_status(
        self,
        boiling: Any,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        lang: str,
        words: str,
    ) -> None:
        """The first line, in the operator's language, before the lag that it explains."""
        live = {**asdict(boiling), "data_root": str(tmp_path)}
        write_status(tmp_path / "status.json", type(boiling)(**live))
        (tmp_path / "env").write_text(f"DATA_ROOT={tmp_path}\nOPERATOR_LANG={lang}\n")
        monkeypatch.setattr(clock, "now_ms", lambda: NOW_MS)
        assert main(["status", "--env-file", str(tmp_path / "env")]) == Severity.CRITICAL
        first, second, *_ = capsys.readouterr().out.splitlines()
        assert first == f"{words}sudo systemctl stop kettle"
        assert second.startswith("  WARNING: ")
        assert main(["status", "--json", "--env-file", str(tmp_path / "env")]) == Severity.CRITICAL
        found = json.loads(capsys.readouterr().out)["findings"][0]
        assert found == {
            "code": "kettle_boils",
            "severity": "CRITICAL",
            "text": "the kettle has 101 degrees; take it off the fire",
            "remedy": "sudo systemctl stop kettle",
            "since_ms": None,
            "size": None,
        }

    @pytest.mark.parametrize(("lang", "words"), [(ENGLISH, "the kettle has 101"), (CHINESE, "水煲已有 101 度")])
    def test_a_new_finding_is_alerted(self, boiling: Any, lang: str, words: str) -> None:
        """By its own rule: after three seconds, and critical at once."""
        alerts, told = Alerts("one", lang=lang), []
        for second in range(10):
            now_ms = NOW_MS + second * 1000
            told += alerts.update(boiling, check(boiling, NOW_MS, LIMITS), now_ms)
            assert bool(told) == (second >= 3)
        assert [(message.kind, message.code) for message in told] == [("CRITICAL", "kettle_boils")]
        assert told[0].body.startswith(words)

    def test_a_new_finding_is_a_label_of_the_metrics(self, boiling: Any) -> None:
        """A label of `hktc_finding`."""
        text = Metrics(lambda: boiling, Stats(), LIMITS, lambda: NOW_MS).render().decode()
        assert 'hktc_finding{code="kettle_boils"} 2.0' in text

    @pytest.mark.parametrize(
        ("lang", "words"),
        [
            ("en", ["kettle_boils (finding): the kettle boils", "  do: sudo systemctl stop kettle"]),
            ("zh-Hant", ["kettle_boils (finding): 水煲沸騰", "  做法: sudo systemctl stop kettle"]),
        ],
    )
    def test_a_new_finding_is_explained(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lang: str, words: list[str]
    ) -> None:
        """In `logs --explain` and in the page, in both languages."""
        monkeypatch.setenv("OPERATOR_LANG", lang)
        assert main(["logs", "--explain", "kettle_boils"]) == 0
        assert capsys.readouterr().out.splitlines() == words
        assert "| `kettle_boils` | 水煲沸騰 | `sudo systemctl stop kettle` |" in catalogue.markdown("zh-Hant")
        assert "| `kettle_boils` | the kettle boils | `sudo systemctl stop kettle` |" in catalogue.markdown("en")
        assert "kettle_boils" in catalogue.names()

    def test_a_new_finding_has_its_place_in_the_order(self) -> None:
        """What it explains and what explains it, declared only by itself."""
        assert explains("kettle_boils", "lag")
        assert explains("writer_disk_full", "kettle_boils")
        assert not explains("lag", "kettle_boils")


def test_the_test_finding_is_removed_afterwards() -> None:
    """The registry of the other tests is the real one."""
    assert REGISTRY.spec("kettle_boils") is None
    assert "kettle" not in sys.modules
