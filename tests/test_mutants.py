"""How `make mutants` reads mutmut's output: which mutants count as caught, and the percentage."""

from __future__ import annotations

import tomllib
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


def test_what_no_test_reaches_has_survived() -> None:
    """Only mutants that a test caught count as caught; those that were not tried yet do not count at all."""
    assert mutants.share(FOUND) == 40.0
    assert mutants.share({"a.x_b__mutmut_1": "not checked"}) is None


def test_the_table_has_a_line_a_module() -> None:
    """And one line for all modules."""
    rows = [line.split() for line in mutants.table(FOUND)[1:]]
    assert rows == [
        [FRAME, "3", "2", "66.7", "1"],
        ["hk_tick_collector.store.dayfile", "2", "0", "0.0", "0"],
        ["all", "5", "2", "40.0", "1"],
    ]


def test_the_paths_of_the_configuration_exist() -> None:
    """If a module moves, its line must move too: mutmut itself would go on with fewer mutants and say nothing."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]
    for pattern in [*settings["only_mutate"], *settings["do_not_mutate"]]:
        assert list(ROOT.glob(pattern)), pattern
    for place in settings["pytest_add_cli_args_test_selection"]:
        assert (ROOT / place).exists(), place
