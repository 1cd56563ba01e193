"""What `status` and alerts say of publish alone."""

from __future__ import annotations

from typing import Any

import pytest
from tests.ops.findings.stream_states import publish

from hk_tick_collector.ops.findings.finding import Severity


@pytest.mark.parametrize(
    ("changes", "code", "severity"),
    [
        ({"name_taken_by": "host-2, pid 77"}, "publish_name_taken", Severity.CRITICAL),
        ({"days_unread": {"20261120": "is damaged"}}, "publish_day_unread", Severity.CRITICAL),
        ({"cursors_unsaved": "No space left"}, "publish_cursors_unsaved", Severity.WARNING),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_publish_may_have(changes: dict[str, Any], code: str, severity: Severity) -> None:
    """One cause, one finding."""
    (finding,) = publish(**changes)
    assert (finding.code, finding.severity) == (code, severity)


def test_a_directory_that_cannot_be_listed_is_named() -> None:
    """Then no day is known."""
    (finding,) = publish(days_unread={"": "Permission denied"})
    assert finding.text == "publish cannot list the day files in DATA_ROOT: Permission denied"
