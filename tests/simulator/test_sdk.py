"""The vendor's official SDK, unmodified and in its own process, accepts the simulator as an OpenD."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hk_tick_collector.simulator.encoding.encode import time_text
from hk_tick_collector.simulator.truth.truth import read_truth

if TYPE_CHECKING:
    from collections.abc import Callable

SYMBOLS = ["HK.00700", "HK.00981", "HK.09988", "HK.03690"]
TICKS = 3_000
CLIENT = Path(__file__).with_name("sdk_client.py")
RET_OK, RET_ERROR = 0, -1


def run_sdk(home: Path, port: int, *options: str) -> dict[str, Any]:
    """What the SDK collected, and the answers it got."""
    out = home / "sdk.json"
    # The SDK writes its logs below HOME, some of them through threads that outlive the imports: not under -X dev.
    environ = {**os.environ, "HOME": str(home), "PYTHONDEVMODE": "0", "PYTHONWARNINGS": "ignore"}
    environ.pop("LD_PRELOAD", None)  # its threads do not start under the clock of make test CLOCK=
    command = [sys.executable, str(CLIENT), str(port), ",".join(SYMBOLS), str(out), *options]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    document: dict[str, Any] = json.loads(out.read_text())
    return document


@pytest.fixture(params=["plain", "encrypted"])
def collected(
    request: pytest.FixtureRequest, start_simulate: Callable[..., Any], workdir: Path, rsa_key: Path
) -> dict[str, Any]:
    """The SDK's document after a run of 3,000 ticks, over a plain and over an encrypted connection."""
    rsa = request.param == "encrypted"
    simulate = start_simulate(
        *("--symbols", ",".join(SYMBOLS), "--day", "20261120", "--at", "10:00", "--rate", "2000"),
        *("--total", str(TICKS), "--wait", "--truth", "truth"),
        *(("--rsa-key", str(rsa_key)) if rsa else ()),
    )
    document = run_sdk(workdir, simulate.port, "--ticks", str(TICKS), *(("--rsa", str(rsa_key)) if rsa else ()))
    assert simulate.stop() == 0, simulate.log
    assert f"simulator_stopped ticks={TICKS} pushes={TICKS}" in simulate.log.splitlines()[-1]
    return document


def test_the_sdk_collects_exactly_the_truth_and_every_query_answers(collected: dict[str, Any], workdir: Path) -> None:
    """Every field of every tick equals the truth file; then each query gives the expected answer."""
    truth = [
        [tick.symbol, tick.seq, time_text(tick.ts_ms), tick.price, tick.volume, tick.turnover, tick.direction,
         tick.tick_type]
        for tick in read_truth(workdir / "truth")
    ]  # fmt: skip
    assert collected["complete"]
    assert sorted(collected["ticks"]) == sorted(truth)
    assert collected["push_types"] == {"REALTIME": TICKS}

    answers = collected["answers"]
    code, state = answers["global_state"]
    assert (code, state["market_hk"], state["qot_logined"], state["program_status_type"]) == (
        RET_OK, "MORNING", True, "READY",
    )  # fmt: skip
    code, subscriptions = answers["subscriptions"]
    assert (code, sorted(subscriptions["sub_list"]["TICKER"])) == (RET_OK, sorted(SYMBOLS))
    assert (subscriptions["total_used"], subscriptions["remain"]) == (8, 1992)
    code, days = answers["trading_days"]
    assert (code, [day["time"][-2:] for day in days]) == (RET_OK, ["16", "17", "18", "19", "20"])
    for query in ("basicinfo", "snapshot", "quote"):
        code, rows = answers[query]
        assert (code, [row["code"] for row in rows]) == (RET_OK, SYMBOLS), query
    volumes: Counter[str] = Counter()
    last_prices = {}
    for tick in read_truth(workdir / "truth"):
        volumes[tick.symbol] += tick.volume
        last_prices[tick.symbol] = tick.price
    for row in answers["quote"][1] + answers["snapshot"][1]:
        assert row["volume"] == volumes[row["code"]]
        assert row["low_price"] <= last_prices[row["code"]] <= row["high_price"]
    for symbol, (code, rows) in answers["tickers"].items():
        assert code == RET_OK
        assert [row["sequence"] for row in rows] == [row[1] for row in truth if row[0] == symbol][-1000:]
    for query, words in (("unsubscribe", "60 s"), ("unknown", "HK.99998"), ("order_book", "3012")):
        code, answer = answers[query]
        assert code == RET_ERROR
        assert words in answer
