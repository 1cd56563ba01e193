"""Metrics of a real run, scraped over HTTP; with the rules, the dashboard and the page."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import apsw
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.descriptors import descriptors

from hk_tick_collector.ops.findings.registry import REGISTRY
from hk_tick_collector.ops.findings.remedies import is_command
from hk_tick_collector.ops.live.status import LiveStatus, read_status

from .conftest import CAP_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Collector, Start

ROOT: Final = Path(__file__).parent.parent.parent
DEPLOY: Final = ROOT / "deploy"
PAGE: Final = ROOT / "docs" / "metrics.md"
FREE: Final = {"METRICS_ADDR": "127.0.0.1:0"}
_OF_STREAMS: Final = re.compile("hktc_(publish|merge|stream)_")  # a host without these processes has none of them
SPARE: Final = {  # neither on the dashboard nor in a rule
    "hktc_queue_limit_rows",  # a million: it would flatten every other line
    "hktc_quota_used",
    "hktc_sealed_day_ticks_total",
    "hktc_conflict_ticks_total",
    "hktc_no_sequence_ticks_total",
    "hktc_opend_link_since_timestamp_seconds",
    "process_virtual_memory_bytes",
}
_NAME: Final = re.compile(r"\b(?:hktc|process)_[a-z_]+\b")


def scrape(collector: Collector) -> str:
    """The answer that Prometheus would get."""
    address = collector.wait_for("metrics_listening").fields["address"]
    connection = HTTPConnection(address, timeout=CAP_S)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.getheader("Content-Type", "").startswith("text/plain; version=0.0.4")
        return answer.read().decode("utf-8")
    finally:
        connection.close()


def samples(text: str) -> dict[str, float]:
    """Sample → value; labels as written."""
    return {
        sample.name + "".join(f"{{{key}={value}}}" for key, value in sample.labels.items()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def live_state(collector: Collector) -> LiveStatus:
    """The present `status.json`."""
    live = read_status(collector.data_root / "status.json")
    assert live is not None
    return live


def dashboard() -> dict[str, Any]:
    """Grafana's."""
    found: dict[str, Any] = json.loads((DEPLOY / "grafana" / "hk-tick-collector.json").read_text("utf-8"))
    return found


def expressions(board: dict[str, Any]) -> list[str]:
    """The expressions that a dashboard sends to Prometheus."""
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    asked += [variable["query"]["query"] for variable in board["templating"]["list"] if variable["type"] == "query"]
    return asked + [annotation["expr"] for annotation in board["annotations"]["list"]]


def rules() -> str:
    """The rules without comments."""
    lines = (DEPLOY / "prometheus" / "rules.yml").read_text("utf-8").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def promtool(*args: str, stdin: str = "") -> None:
    """Checks with Prometheus' own tool; its output if it finds an error."""
    if not shutil.which("promtool"):
        pytest.skip("promtool is missing: apt install prometheus")
    done = subprocess.run(
        ["promtool", *args],
        cwd=DEPLOY / "prometheus",
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


@pytest.fixture(scope="module")
def page_table() -> dict[str, str]:
    """Name → type of each row of the page's table, without `publish` and `merge`: tests/ops/metrics/test_streams.py."""
    rows = re.findall(
        r"^\| `((?:hktc|process)_\w+)(?:\{\w+(?:, \w+)*\})?` \| (\w+) \|", PAGE.read_text("utf-8"), re.MULTILINE
    )
    return {name: kind for name, kind in rows if not _OF_STREAMS.match(name)}


def test_a_scrape_agrees_with_status_and_the_day_file(start: Start, page_table: dict[str, str]) -> None:
    """It agrees with `status.json` and the day file; every metric of the page, the rules and the dashboard exists.

    It takes half a minute: the outage budget needs ticks of 20 seconds.
    """
    opend_process = start.simulate("--rate", "200", "--total", "6000", "--wait")
    collector = start.run(opend_process.port, FREE)
    wait_until(lambda: "hktc_outage_budget_seconds" in samples(scrape(collector)), "an outage budget")
    collector.wait_stored(6000)
    stored = "hktc_ticks_total{outcome=stored}"
    wait_until(lambda: samples(scrape(collector))[stored] == 6000, "all 6000 in a scrape")

    def read() -> tuple[dict[str, float], LiveStatus]:
        return samples(scrape(collector)), live_state(collector)

    def agrees() -> bool:  # the live state is written a moment after the scrape can be read
        found, live = read()
        counts = found["hktc_ticks_received_total"], found["hktc_ticks_total{outcome=duplicate}"]
        return counts == (live.received, live.duplicate)

    wait_until(agrees, lambda: str(read()))
    found, live = read()
    assert found["hktc_queue_rows"] == 0
    assert (found["hktc_symbols_wanted"], found["hktc_symbols_subscribed"]) == (3, 3)
    assert (found["hktc_opend_connected"], found["hktc_opend_ready"]) == (1, 1)
    assert found[f"hktc_market_state{{state={live.market_state}}}"] == 1
    assert found["process_start_time_seconds"] == pytest.approx(started_s(collector.pid), abs=2)
    newest_ms = sums = 0
    for path in collector.data_root.glob("[0-9]" * 8 + ".db"):
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        newest_ms = max(newest_ms, int(db.execute("SELECT max(ts_ms) FROM ticks").get or 0))
        sums += int(db.execute("SELECT sum(stored) FROM ledger").get or 0)
        db.close()
    assert found["hktc_newest_tick_timestamp_seconds"] == newest_ms / 1000
    assert sums == 6000
    commits = found["hktc_commit_duration_seconds_count"]
    assert found["hktc_socket_to_commit_seconds_count"] == commits > 0
    assert found["hktc_commits_total"] >= commits

    # OpenD is asked for it after the subscriptions, and again within a minute when its answer was late.
    wait_until(lambda: "hktc_quota_remaining" in samples(scrape(collector)), "a quota", 120)
    opend_process.kill()
    wait_until(lambda: samples(scrape(collector))["hktc_opend_connected"] == 0, "OpenD away")
    text = scrape(collector)
    assert samples(text)["hktc_finding{code=opend_away}"] == 1  # a warning in its first minute
    names = {name.partition("{")[0] for name in samples(text)}
    assert set(_NAME.findall(rules())) - names == set()
    asked = {name for name in _NAME.findall(" ".join(expressions(dashboard()))) if not _OF_STREAMS.match(name)}
    assert asked - names == set()
    kinds = {
        family.name + "_total" * (family.type == "counter"): family.type
        for family in text_string_to_metric_families(text)
    }
    assert page_table == kinds
    collector.stop()
    assert collector.shutdown()["left_rows"] == "0"
    promtool("check", "metrics", stdin=text)


def test_every_metric_is_on_the_dashboard_or_in_a_rule(page_table: dict[str, str]) -> None:
    """A metric that is shown nowhere is not needed; a few exceptions are for queries by hand."""
    asked = _NAME.findall(" ".join([rules(), *expressions(dashboard())]))
    asked = [re.sub(r"_(bucket|count|sum)$", "", name) for name in asked]
    assert set(page_table) - set(asked) == SPARE


def test_a_port_that_is_taken_affects_only_the_metrics(start: Start) -> None:
    """A warning names the port and what to do; every tick is stored."""
    opend_process = start.simulate("--rate", "1000", "--total", "2000", "--wait")
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        collector = start.run(opend_process.port, {"METRICS_ADDR": address})
        event = collector.wait_for("metrics_unavailable", address=address)
        assert event.level == "WARNING"
        assert "ss -ltnp" in event.fields["hint"]
        collector.wait_stored(2000)
    assert collector.stop() == 0
    assert collector.shutdown()["left_rows"] == "0"


@pytest.mark.parametrize("address", ["no-such-host.invalid:9108", "192.0.2.1:9108"])
def test_an_address_of_another_host_affects_only_the_metrics(start: Start, address: str) -> None:
    """An unknown host name, an address of another host: a warning."""
    opend_process = start.simulate("--rate", "1000", "--total", "500", "--wait")
    collector = start.run(opend_process.port, {"METRICS_ADDR": address})
    collector.wait_stored(500)
    assert collector.wait_for("metrics_unavailable").fields["address"] == address
    assert collector.stop() == 0


def test_an_empty_address_turns_them_off(start: Start) -> None:
    """Nothing listens, nothing is logged."""
    opend_process = start.simulate("--rate", "1000", "--total", "500", "--wait")
    collector = start.run(opend_process.port, {"METRICS_ADDR": ""})
    collector.wait_stored(500)
    assert listening(collector.pid) == 0
    assert not [event for event in collector.events() if event.name.startswith("metrics")]
    collector.stop()
    collector = start.run(opend_process.port, FREE)
    collector.wait_for("metrics_listening")
    assert listening(collector.pid) == 1  # so the figure above can tell


def started_s(pid: int) -> float:
    """When a process began, from the kernel, in seconds since 1970: the suite's clocks do not affect it."""
    boot = next(line for line in Path("/proc/stat").read_text("ascii").splitlines() if line.startswith("btime"))
    ticks = int(Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[19])
    return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")


def listening(pid: int) -> int:
    """How many TCP ports a process listens on."""
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text("ascii").splitlines()[1:] if table.exists() else []:
            fields = line.split()
            if fields[3] == "0A":
                inodes.add(f"socket:[{fields[9]}]")
    return sum(what in inodes for what in descriptors(pid).values())


def test_hostile_scrapers_lose_no_tick(start: Start) -> None:
    """400 connections that send an endless header, and scrapes at the same time, with 2,000 ticks a second."""
    opend_process = start.simulate("--rate", "2000", "--total", "10000", "--wait")
    collector = start.run(opend_process.port, FREE)
    host, _, port = collector.wait_for("metrics_listening").fields["address"].partition(":")
    with ExitStack() as stack:
        flood = []
        for number in range(400):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex((host, int(port)))
            flood.append(client)
            if number % 100 == 99:
                assert "hktc_build_info" in scrape(collector)

        def done() -> bool:
            for client in flood:
                try:
                    client.send(b"X-Endless: 1\r\n")
                except OSError:
                    continue  # dropped, or still on its way
            return collector.stored() >= 10_000

        wait_until(done, "every tick stored under a flood")
        assert len(descriptors(collector.pid)) < 100
    assert collector.stop() == 0
    fields = collector.shutdown()
    assert (fields["stored"], fields["dropped"], fields["left_rows"]) == ("10000", "0", "0")


def test_prometheus_takes_the_rules() -> None:
    """Its own tool loads them, and they fire or stay silent as in rules_test.yml."""
    promtool("check", "rules", "rules.yml")
    promtool("test", "rules", "rules_test.yml")
    promtool("check", "config", "--syntax-only", "scrape.yml")


# Empty while nothing is wrong, or before the figure is known: these are asked for, and need not answer.
MAY_BE_EMPTY: Final = re.compile(rf"hktc_outage_budget_seconds|hktc_finding\{{|changes\(|{_OF_STREAMS.pattern}")


class Prometheus:
    """A real Prometheus on loopback with our job and our rules; it scrapes one collector every second."""

    def __init__(self, directory: Path, target: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self._port: int = server.getsockname()[1]
        config = (DEPLOY / "prometheus" / "scrape.yml").read_text("utf-8")
        config = config.replace("127.0.0.1:9108", target).replace("scrape_interval: 15s", "scrape_interval: 1s")
        config = config.replace("scrape_timeout: 10s", "scrape_timeout: 1s")
        (directory / "prometheus.yml").write_text(config, "utf-8")
        shutil.copy(DEPLOY / "prometheus" / "rules.yml", directory / "hk-tick-collector.rules.yml")
        address = f"--web.listen-address=127.0.0.1:{self._port}"
        storage = f"--storage.tsdb.path={directory / 'tsdb'}"
        with (directory / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["prometheus", f"--config.file={directory / 'prometheus.yml'}", storage, address],
                stdout=log,
                stderr=log,
            )

    def ask(self, expression: str) -> list[Any]:
        """The series of an expression now. AssertionError with its answer if Prometheus does not accept it."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=CAP_S)
        try:
            connection.request("GET", f"/api/v1/query?{urlencode({'query': expression})}")
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert answer["status"] == "success", f"{expression}: {answer}"
        found: list[Any] = answer["data"]["result"]
        return found

    def scraped(self, least: int) -> bool:
        """Whether it has scraped the collector this often, without those that took too long."""
        try:
            found = self.ask('sum_over_time(up{job="hk-tick-collector"}[5m])')
        except (OSError, ValueError):  # it does not listen yet, or says that it is not ready
            return False
        return bool(found) and int(found[0]["value"][1]) >= least

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait(CAP_S)


def filled_in(expression: str, instance: str = ".*") -> str:
    """An expression as Grafana sends it, with its variables filled in."""
    for variable, value in {"$job": "hk-tick-collector", "$instance": instance, "$__rate_interval": "1m"}.items():
        expression = expression.replace(variable, value)
    return expression


def asked_of_prometheus() -> list[str]:
    """Every expression of the dashboard; `label_values(...)` is Grafana's own, the series in it is Prometheus'."""
    found = []
    for expression in expressions(dashboard()):
        inner = re.fullmatch(r"label_values\((.+), \w+\)", expression)
        found.append(filled_in(inner[1] if inner else expression))
    return found


def test_every_expression_of_the_dashboard_has_an_answer(start: Start, tmp_path: Path) -> None:
    """Asked of a real Prometheus that scrapes a collecting service: each is valid, and each panel has data."""
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is missing: apt install prometheus")
    opend_process = start.simulate("--rate", "200", "--wait")
    collector = start.run(opend_process.port, FREE)
    collector.wait_stored(200)
    prometheus = Prometheus(tmp_path, collector.wait_for("metrics_listening").fields["address"])
    try:
        wait_until(lambda: prometheus.scraped(3), "three scrapes")
        asked = asked_of_prometheus()
        assert len(asked) > 40
        for expression in asked:
            prometheus.ask(expression)
        needed = [expression for expression in asked if not MAY_BE_EMPTY.search(expression)]
        # on a full machine a scrape that takes too long leaves a rate without its two points for a while
        wait_until(
            lambda: all(map(prometheus.ask, needed)), lambda: str([each for each in needed if not prometheus.ask(each)])
        )
    finally:
        prometheus.close()


def test_prometheus_understands_what_the_dashboard_asks(tmp_path: Path) -> None:
    """Each expression is valid after Grafana has filled in its variables."""
    records = [
        {"record": "asked", "expr": expression, "labels": {"number": str(number)}}
        for number, expression in enumerate(asked_of_prometheus())
    ]
    assert len(records) > 40
    path = tmp_path / "asked.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": records}]}), "utf-8")  # JSON is YAML
    promtool("check", "rules", str(path))


def test_the_dashboard_is_of_grafanas_schema() -> None:
    """Grafana's own types read it, and write the same: no key is unknown to them, no value is of another kind."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    written = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard())))
    # An option of Prometheus' annotations, which the schema leaves to each data source.
    assert [each for each in lost(dashboard(), written) if "titleFormat" not in each] == []


def lost(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """What of a JSON document is missing in another, or is different there."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            yield from lost(value, after[key], f"{place}.{key}") if key in after else [f"{place}.{key} is unknown"]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from lost(one, other, f"{place}[{number}]")
    elif before != after:
        yield f"{place}: {before!r} became {after!r}"


def test_every_rule_is_tested_and_says_what_to_type() -> None:
    """Each alert fires somewhere in rules_test.yml, and has a command and the page that explains it."""
    alerts = re.split(r"^ +- alert: ", rules(), flags=re.MULTILINE)[1:]
    tested = (DEPLOY / "prometheus" / "rules_test.yml").read_text("utf-8")
    for alert in alerts:
        name = alert.split()[0]
        assert f'alertname="{name}"' in tested
        assert re.search(r"severity: (critical|warning)\b", alert), name
        command = re.search(r'command: "(.+)"', alert)
        assert command, name
        assert is_command(command[1]), name
        assert re.search(r"^ +for: [1-9]", alert, re.MULTILINE), f"{name} fires at once"
        assert re.search(r"runbook: docs/[a-z-]+\.md\b", alert), name


def test_the_findings_that_rules_name_exist() -> None:
    """A rule for an unknown code would never fire."""
    codes = [spec.code for spec in REGISTRY]
    for code in {code for match in re.findall(r'code=~?"([^"]+)"', rules()) for code in match.split("|")}:
        assert any(re.fullmatch(code, known) for known in codes), code


def test_the_dashboard_is_complete() -> None:
    """Panels have their own numbers and do not overlap; each uses the data source that the reader chooses."""
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${datasource}", panel["title"]
            assert 'job="$job"' in target["expr"], panel["title"]
