"""The operator's language: OPERATOR_LANG, else that of the locale; also if other settings are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hk_tick_collector.config import load_settings, operator_language

if TYPE_CHECKING:
    from pathlib import Path

LOCALES = [
    ({}, "en"),
    ({"LANG": "C"}, "en"),
    ({"LANG": "en_US.UTF-8"}, "en"),
    ({"LANG": "zh_HK.UTF-8"}, "zh-Hant"),
    ({"LANG": "zh_TW"}, "zh-Hant"),
    ({"LANG": "en_US.UTF-8", "LC_ALL": "zh_HK.UTF-8"}, "zh-Hant"),
    ({"LANG": "zh_HK.UTF-8", "LC_ALL": "C"}, "en"),
    ({"LANG": "zh_HK.UTF-8", "LC_ALL": "", "LC_MESSAGES": "en_GB"}, "en"),
]


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    """An empty settings file."""
    path = tmp_path / "settings"
    path.write_text("")
    return path


@pytest.mark.parametrize(("environ", "language"), LOCALES)
def test_the_locale_decides_where_nothing_is_set(env_file: Path, environ: dict[str, str], language: str) -> None:
    """As POSIX defines it: LC_ALL before LC_MESSAGES before LANG, and an empty one does not count."""
    assert operator_language(env_file, environ) == language
    assert load_settings(env_file, environ).settings.operator_lang == language


@pytest.mark.parametrize("language", ["en", "zh-Hant"])
@pytest.mark.parametrize("locale", ["C", "zh_HK.UTF-8"])
def test_the_setting_decides_over_the_locale(env_file: Path, language: str, locale: str) -> None:
    """In the file; a variable of the shell has priority."""
    env_file.write_text(f"OPERATOR_LANG={language}\n")
    other = "en" if language == "zh-Hant" else "zh-Hant"
    for environ, expected in (({}, language), ({"OPERATOR_LANG": other}, other)):
        named = {"LANG": locale, **environ}
        assert operator_language(env_file, named) == expected
        assert load_settings(env_file, named).settings.operator_lang == expected


@pytest.mark.parametrize(
    "text", ["OPERATOR_LANG=zh-Hant\nMAX_QUEUE_ROWS=none\n", "broken line\nOPERATOR_LANG=zh-Hant\n"]
)
def test_another_setting_that_is_wrong_does_not_change_it(env_file: Path, text: str) -> None:
    """`status` and `doctor` report the error in the operator's language."""
    env_file.write_text(text)
    assert operator_language(env_file, {}) == "zh-Hant"


def test_an_unreadable_file_leaves_the_locale_in_force(tmp_path: Path) -> None:
    """Nothing is raised: who needs the file reports that it does not exist."""
    assert operator_language(tmp_path / "nothing", {"LANG": "zh_HK.UTF-8"}) == "zh-Hant"


def test_an_unsupported_language_is_refused(env_file: Path) -> None:
    """The settings refuse it and say what is allowed; a verb that must print until then follows the locale."""
    env_file.write_text("OPERATOR_LANG=zh\n")
    assert operator_language(env_file, {"LANG": "C"}) == "en"
    with pytest.raises(Exception, match="OPERATOR_LANG"):
        load_settings(env_file, {})
