"""How `make mutants` reads mutmut's output: which mutants count as caught, and the percentage."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

from tools import mutants

ROOT = Path(__file__).parent.parent
FRAME = "hk_tick_collector.opend.frame"
FOUND = {
    f"{FRAME}.x_pack__mutmut_1": "killed",
    f"{FRAME}.x_pack__mutmut_2": "timeout",
    f"{FRAME}.xǁReaderǁfeed__mutmut_1": "survived",
    f"{FRAME}.xǁReaderǁfeed__mutmut_2": "not checked",
    "hk_tick_collector.store.dayfile.xǁDayFileǁclose__mutmut_1": "no tests",
    "hk_tick_collector.store.dayfile.xǁDayFileǁclose__mutmut_2": "suspicious",
}


def test_a_mutant_that_no_test_reaches_has_survived() -> None:
    """Only mutants that a test caught count as caught; those that were not tried yet do not count at all."""
    assert mutants.share(FOUND) == 40.0
    assert mutants.share({"a.x_b__mutmut_1": "not checked"}) is None


def test_the_table_has_a_line_for_each_module_each_package_and_all() -> None:
    """In all, tried, killed, ended because they took too long, survived, per cent of the tried that were noticed."""
    rows = [line.split() for line in mutants.table(FOUND)[1:]]
    assert rows == [
        [FRAME, "4", "3", "1", "1", "1", "66.7"],
        ["hk_tick_collector.store.dayfile", "2", "2", "0", "0", "2", "0.0"],
        ["hk_tick_collector.opend", "4", "3", "1", "1", "1", "66.7"],
        ["hk_tick_collector.store", "2", "2", "0", "0", "2", "0.0"],
        ["all", "6", "5", "1", "1", "3", "40.0"],
    ]


def test_a_random_sample_is_drawn_from_each_package() -> None:
    """The same seed draws the same mutants, whatever their order; a larger sample keeps those of a smaller one."""
    names = [f"p.{package}.m{n % 3}.x_f__mutmut_{n}" for package, many in (("a", 1000), ("b", 20)) for n in range(many)]
    drawn = mutants.sample_of(names, 100, "1")
    assert Counter(map(mutants.package_of, drawn)) == {"p.a": 100, "p.b": 20}
    assert Counter(map(mutants.module_of, drawn))["p.a.m0"] in range(20, 48)  # a third, by lot
    assert mutants.sample_of(reversed(names), 100, "1") == drawn
    assert mutants.sample_of(names, 200, "1") > drawn
    assert mutants.sample_of(names, 100, "2") != drawn
    without_one = mutants.sample_of(set(names) - {min(drawn)}, 100, "1")
    assert len(drawn - without_one) == 1


def test_the_paths_of_the_configuration_exist() -> None:
    """If a module moves, its line must move too: mutmut itself would go on with fewer mutants and say nothing."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]
    for pattern in [*settings["only_mutate"], *settings["do_not_mutate"]]:
        assert list(ROOT.glob(pattern)), pattern
    for place in settings["pytest_add_cli_args_test_selection"]:
        assert (ROOT / place).exists(), place
