"""What is read of systemd's answers."""

from __future__ import annotations

import pytest

from hk_tick_collector.ops.live.systemd_unit import parsed_environment


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("", {}),
        ("HOME=/var/lib/x", {"HOME": "/var/lib/x"}),
        (
            'INSTANCE_ID=desk "ALERT_URLS=json://a json://b" DATA_ROOT=/data/=x',
            {"INSTANCE_ID": "desk", "ALERT_URLS": "json://a json://b", "DATA_ROOT": "/data/=x"},
        ),
        ('"A=a quote \\" and a \\\\ in it"', {"A": 'a quote " and a \\ in it'}),
        ('A=1 "B=', {}),
        ("word", {}),
    ],
)
def test_the_environment_of_a_unit(text: str, variables: dict[str, str]) -> None:
    """As `systemctl show --property=Environment` prints it; a text of another form has no variables."""
    assert parsed_environment(text) == variables
