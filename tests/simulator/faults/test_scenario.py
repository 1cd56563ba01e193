"""The grammar of scenarios: every step, every kind of bad line, and the times of lines."""

from __future__ import annotations

from itertools import islice

import pytest

from hk_tick_collector.errors import UsageError
from hk_tick_collector.opend import messages
from hk_tick_collector.simulator.encoding.notices import (
    NOTICES,
    PROGRAMS,
    RIGHTS,
    notice,
    program_notice,
    program_number,
)
from hk_tick_collector.simulator.encoding.odd_ticks import ODD_KINDS
from hk_tick_collector.simulator.faults.scenario import STEPS, Argument, Line, Step, moments, parse_scenario, parse_step
from hk_tick_collector.simulator.faults.steps import FAULTS

ONE_OF_EACH: dict[str, tuple[Argument, ...]] = {
    "cut": (),
    "cut-mid-frame": (),
    "cut-mid-burst": (),
    "cut-during-backfill": (),
    "away": (),
    "mute": (),
    "half-open": (),
    "trickle 1": (1,),
    "stop-pushes HK.00700,HK.00005": (("HK.00700", "HK.00005"),),
    "stop-pushes all": ((),),
    "lose-subscriptions all": ((),),
    "refuse HK.00700": (("HK.00700",),),
    "suspend HK.00700,HK.00005": (("HK.00700", "HK.00005"),),
    "quota 10": (10,),
    "no-first-push": (),
    "window 200": (200,),
    "garbage 200": (200,),
    "bad-magic": (),
    "bad-sha1": (),
    "huge-length": (),
    "json-body": (),
    "truncated-protobuf": (),
    "unknown-ids": (),
    "no-reply GetTicker": ("GetTicker",),
    "no-reply GetTicker 3": ("GetTicker", 3),
    "slow-reply GetTicker 3s": ("GetTicker", 3.0),
    "slow-reply any 250ms 2": ("any", 0.25, 2),
    "fail-reply Sub 2": ("Sub", 2),
    "notify kicked-out": ("kicked-out",),
    "kicked-out": (),
    "quote-link-lost": (),
    "quote-right none": ("none",),
    "program needs_sms_code": ("needs_sms_code",),
    "not-logged-in": (),
    "clock +3600s": (3600.0,),
    "clock -1.5h": (-5400.0,),
    "market-state closed": ("closed",),
    "pause": (),
    "burst 100000": (100_000,),
    "duplicate 50": (50,),
    "out-of-order 20": (20,),
    "late 10": (10,),
    "ticker-partial all 5": ((), 5),
    "ticker-partial HK.00700 5 3": (("HK.00700",), 5, 3),
    "ticker-sample all": ((),),
    "ticker-without-latest all 5s": ((), 5.0),
    "ticker-unordered all": ((),),
    "ticker-doubled all": ((),),
    "ticker-empty HK.00700,HK.00005 2": (("HK.00700", "HK.00005"), 2),
    "ticker-other-symbol all": ((),),
    "ticker-refused all": ((),),
    "ticker-never all": ((),),
    "ticker-late all 3s": ((), 3.0),
    "ticker-late all 3s 2": ((), 3.0, 2),
    "late-report HK.00700 300s": (("HK.00700",), 300.0),
    "wrong-date all -1": ((), -1),
    "wrong-date all +30": ((), 30),
    "restart-sequence all": ((),),
    "bad-ticks nan,negative": (("nan", "negative"),),
    "end mute": ("mute",),
    "end all": ("all",),
}


def test_every_step_has_a_form_an_action_and_a_test() -> None:
    """The two tables and this test name the same steps."""
    assert {text.split()[0] for text in ONE_OF_EACH} == set(STEPS)
    assert set(FAULTS) == STEPS.keys() - {"end"}
    assert all(form.says for form in STEPS.values())


@pytest.mark.parametrize("text", ONE_OF_EACH)
def test_a_step_is_read(text: str) -> None:
    """Its name, its arguments as values, and a duration if it can last."""
    name = text.split(maxsplit=1)[0]
    assert parse_step(text) == Step(name, ONE_OF_EACH[text], None, text)
    assert parse_step(f"  {text.replace(' ', '  ')} ").arguments == ONE_OF_EACH[text]
    if STEPS[name].lasts:
        assert parse_step(f"{text} for 1.5s") == Step(name, ONE_OF_EACH[text], 1.5, f"{text} for 1.5s")
    else:
        with pytest.raises(UsageError):
            parse_step(f"{text} for 1.5s")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a step is missing"),
        ("dance", "there is no step 'dance', allowed are cut, "),
        ("cutt", "there is no step 'cutt', did you mean cut?"),
        ("cut now", "write cut"),
        ("cut for 3s", "cut happens at once"),
        ("mute 3s", "write mute [for TIME]"),
        ("mute for 3", "'3' is not a time, write it like 5s"),
        ("mute for -3s", "'-3s' is not a time"),
        ("trickle", "write trickle BYTES [for TIME]"),
        ("trickle 0", "'0' is not a number from 1 to"),
        ("trickle x", "'x' is not a number from 1 to"),
        ("burst 10000001", "'10000001' is not a number from 1 to 10000000"),
        ("burst ４", "is not a number"),
        ("stop-pushes", "write stop-pushes SYMBOLS|all"),
        ("stop-pushes HK.700", "'HK.700' is not a Hong Kong symbol: write it like HK.00700"),
        ("refuse all", "'all' is not a Hong Kong symbol"),
        ("no-reply GetBanana", "'GetBanana' is not a message, allowed are InitConnect, "),
        ("slow-reply GetTicker", "write slow-reply MESSAGE TIME [NUMBER]"),
        ("clock 3600s", "'3600s' is not a shift of a clock, write it like +3600s"),
        ("notify me", "'me' is not a notice, allowed are "),
        ("quote-right all", "'all' is not a right, allowed are bmp, "),
        ("program ready", "'ready' is not a program state"),
        ("market-state open", "'open' is not a market state, allowed are none, auction, "),
        ("ticker-partial all", "write ticker-partial SYMBOLS|all ROWS [NUMBER]"),
        ("ticker-late HK.00700 3", "'3' is not a time"),
        ("wrong-date all 0", "'0' is not a number of days, write it like -1 or +30"),
        ("late-report HK.00700 300", "'300' is not a time"),
        ("bad-ticks nan,ugly", "'ugly' is not a kind of odd tick, allowed are nan, "),
        ("end", "write end NAME, with one of all, "),
        ("end cut", "write end NAME, with one of all, "),
    ],
)
def test_a_bad_step_says_what_is_allowed(text: str, words: str) -> None:
    """What was wrong, and what is allowed."""
    with pytest.raises(UsageError) as error:
        parse_step(text)
    assert words in error.value.one_line()


def test_lines_are_read() -> None:
    """Every kind of line; comments and empty lines are allowed."""
    lines = parse_scenario(
        "# a bad morning\n\nat 5s cut   # at once\nevery 500ms pause for 10ms\n"
        "at 1m every 10s until 1h mute for 1s\nevery 2s random seed 7 from cut | away for 2s\n",
        "name",
    )
    assert lines == [
        Line((parse_step("cut"),), 5.0),
        Line((parse_step("pause for 10ms"),), 0.5, 0.5),
        Line((parse_step("mute for 1s"),), 60.0, 10.0, 3600.0),
        Line((parse_step("cut"), parse_step("away for 2s")), 2.0, 2.0, float("inf"), 7),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("cut", "a line begins with at TIME or every TIME"),
        ("at", "at needs a time"),
        ("at 5 cut", "'5' is not a time"),
        ("at 5s", "a step is missing"),
        ("at 5s every", "every needs a time"),
        ("every 0s cut", "every needs a time above 0"),
        ("every 1s until cut", "'cut' is not a time"),
        ("at 1s until 2s cut", "there is no step 'until'"),
        ("at 5s cutt", "there is no step 'cutt', did you mean cut?"),
        ("at 5s random seed 7 from cut", "write every TIME random seed NUMBER from STEP | STEP"),
        ("every 5s random from cut", "write every TIME random seed NUMBER from STEP | STEP"),
        ("every 5s random seed x from cut", "'x' is not a number"),
        ("every 5s random seed 7 from cut | ", "a step is missing"),
        ("every 5s random seed 7 from cut | dance", "there is no step 'dance'"),
    ],
)
def test_a_bad_line_is_named(line: str, words: str) -> None:
    """With its file and its number."""
    with pytest.raises(UsageError) as error:
        parse_scenario(f"# first\nat 1s cut\n{line}\nat x nonsense", "bad.txt")
    assert error.value.one_line().startswith("bad.txt:3: ")
    assert words in error.value.one_line()


def test_times_are_in_order() -> None:
    """Lines that repeat and lines that do not; until is the last time."""
    lines = parse_scenario("at 7s cut\nevery 3s until 9s pause\nat 1s every 4s mute", "name")
    assert [(at_s, step.name) for at_s, step in islice(moments(lines), 8)] == [
        (1, "mute"), (3, "pause"), (5, "mute"), (6, "pause"), (7, "cut"), (9, "pause"), (9, "mute"), (13, "mute"),
    ]  # fmt: skip
    assert list(moments(parse_scenario("at 2s cut\nat 1s pause", "name"))) == [
        (1.0, parse_step("pause")),
        (2.0, parse_step("cut")),
    ]
    assert list(moments([])) == []


def test_random_steps_repeat_with_their_seed() -> None:
    """The same seed chooses the same steps at the same times, another does not."""

    def chosen(seed: int) -> list[tuple[float, str]]:
        lines = parse_scenario(f"every 2s random seed {seed} from cut | mute for 1s | away for 1s", "name")
        return [(at_s, step.name) for at_s, step in islice(moments(lines), 50)]

    assert chosen(7) == chosen(7) != chosen(8)
    assert {name for _, name in chosen(7)} == {"cut", "mute", "away"}
    gaps = [after - before for (before, _), (after, _) in zip(chosen(7), chosen(7)[1:], strict=False)]
    assert all(1.0 <= gap <= 3.0 for gap in gaps)


@pytest.mark.parametrize("kind", NOTICES)
def test_a_notice_is_what_its_name_says(kind: str) -> None:
    """As a client reads it."""
    assert messages.read_notify(notice(kind)).kind == kind.replace("-", "_")


@pytest.mark.parametrize("word", [*PROGRAMS, "ready"])
def test_a_program_state_is_what_its_name_says(word: str) -> None:
    """As a client reads it."""
    read = messages.read_notify(program_notice(program_number(word)))
    assert (read.kind, read.healthy) == (f"program_{word}", word == "ready")


def test_rights_and_odd_ticks_are_described() -> None:
    """For `simulate --list-steps` and the errors."""
    assert {"none", "level2"} <= set(RIGHTS)
    assert all(ODD_KINDS.values())
