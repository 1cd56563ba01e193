"""publish and merge as processes: killed at any moment, the union is whole and each tick is there once."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from tests.merging.engines import DAY_NAME
from tests.merging.feeds import NOW_MS, ticks
from tests.merging.test_totals import total_of
from tests.nats_servers import NatsServers

from hk_tick_collector.archive.facts import read_facts
from hk_tick_collector.archive.proof import COMPLETE
from hk_tick_collector.model import BY_GAP
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions
from hk_tick_collector.store.merged_rows import MergedReader
from hk_tick_collector.store.query import DayReader, path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hk_tick_collector.model import Reconciled, TickRow

_PATIENCE_S: Final = 120.0


def collected(root: Path, batches: list[list[TickRow]], *compared: Reconciled) -> None:
    """A day file as a collector leaves it, with its comparison with OpenD's totals."""
    root.mkdir()
    file = DayFile(path_of(root, DAY_NAME), DAY_NAME, "run", NOW_MS, "test", StoreOptions(synchronous="OFF"))
    for rows in batches:
        file.write(Batch(rows=rows), NOW_MS)
    file.write(Batch(reconciled=[*compared]), NOW_MS)
    file.close()


@contextmanager
def running(
    verb: list[str], settings: dict[str, str], log: Path, most_bytes: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A verb as a process, ended with SIGTERM. It may not write a file longer than `most_bytes`."""
    environment = {**os.environ, "METRICS_ADDR": "", **settings}
    with log.open("ab") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "hk_tick_collector", *verb], env=environment, stdout=written, stderr=written
        )
        try:
            if most_bytes is not None:
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            process.wait()


def until(wanted: Callable[[], bool], log: Path) -> None:
    end_s = time.monotonic() + _PATIENCE_S
    while not wanted():
        assert time.monotonic() < end_s, log.read_text()
        time.sleep(0.02)


def rows_in(root: Path) -> int:
    """How many ticks the merged day has; 0 while there is no file."""
    path = path_of(root, DAY_NAME)
    if not path.exists():
        return 0
    with DayReader(path) as reader:
        return reader.totals().rows


def state_of(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return found


def test_the_union_of_two_publishers_survives_sigkill(tmp_path: Path) -> None:
    """Two collectors with different gaps; merge and one publisher are killed while they work, the engine too. The union
    is complete, and OpenD's totals that the collectors were told prove it.
    """
    whole = ticks(range(1, 12_001))
    a = [row for row in whole if not 3000 <= row[1] & 0xFFFFFFFF < 5000]
    b = [row for row in whole if not 8000 <= row[1] & 0xFFFFFFFF < 9000]
    collected(tmp_path / "a", [a], total_of(a, BY_GAP, whole))
    collected(tmp_path / "b", [b], total_of(b, BY_GAP, whole))
    root, log = tmp_path / "merged", tmp_path / "log"
    with NatsServers(tmp_path / "nats") as servers:
        common = {"STREAM_URL": servers.url}
        of_a = {**common, "DATA_ROOT": str(tmp_path / "a"), "INSTANCE_ID": "a"}
        of_b = {**common, "DATA_ROOT": str(tmp_path / "b"), "INSTANCE_ID": "b"}
        merging = {**common, "DATA_ROOT": str(tmp_path / "none"), "INSTANCE_ID": "m"}
        publish, merge = ["publish", "--since", DAY_NAME], ["merge", "--to", str(root)]
        with running(publish, of_a, log) as sender:
            with running(merge, merging, log) as merger:
                until(lambda: rows_in(root) > 1000, log)
                merger.send_signal(signal.SIGKILL)
                merger.wait()
            sender.send_signal(signal.SIGKILL)
            sender.wait()
        servers.kill_all()
        servers.start_all()
        with running(publish, of_a, log), running(publish, of_b, log), running(merge, merging, log) as merger:
            until(lambda: rows_in(root) == len(whole), log)
            until(lambda: read_facts(path_of(root, DAY_NAME)).proof.standing == COMPLETE, log)
            until(lambda: state_of(root / "merge.json").get("stored", 0) > 0, log)
            merger.terminate()
            assert merger.wait() == 0
    state = state_of(root / "merge.json")
    assert (state["state"], state["conflicts"], state["losses"]) == ("stopped", 0, 0)
    with MergedReader(path_of(root, DAY_NAME)) as reader:
        assert [row.seq for row in reader.ticks_by_key()] == [row[1] for row in whole]
        assert reader.gaps(only_open=True) == []
        assert reader.miscounted() == []
    assert "Traceback" not in log.read_text()


def test_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    """While files may not grow, the merge says so and keeps its place; then it goes on, and nothing is missing."""
    whole = ticks(range(1, 9001))
    collected(tmp_path / "a", [whole])
    root, log = tmp_path / "merged", tmp_path / "log"
    with NatsServers(tmp_path / "nats") as servers:
        of_a = {"STREAM_URL": servers.url, "DATA_ROOT": str(tmp_path / "a"), "INSTANCE_ID": "a"}
        merging = {**of_a, "DATA_ROOT": str(tmp_path / "none"), "INSTANCE_ID": "m"}
        with running(["publish", "--since", DAY_NAME, "--once"], of_a, log) as sender:
            assert sender.wait() == 0
        with running(["merge", "--to", str(root)], merging, log, most_bytes=200_000) as merger:
            until(lambda: state_of(root / "merge.json").get("trouble") == "file_size_limit", log)
            assert rows_in(root) < len(whole)
            resource.prlimit(merger.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            until(lambda: rows_in(root) == len(whole), log)
            until(lambda: state_of(root / "merge.json").get("trouble") == "", log)
    with MergedReader(path_of(root, DAY_NAME)) as reader:
        assert [row.seq for row in reader.ticks_by_key()] == [row[1] for row in whole]
        assert reader.gaps() == []
        run = reader.ledger()[-1]
        assert run.received == run.stored + run.duplicate
    assert "Traceback" not in log.read_text()


def test_the_directory_of_a_stopped_collector_is_refused(tmp_path: Path) -> None:
    """It would get the ticks of others, and its day would be sealed. A directory that is one of a merge is not."""
    log, root = tmp_path / "log", tmp_path / "collector"
    collected(root, [ticks(range(1, 11))])
    before = path_of(root, DAY_NAME).read_bytes()
    settings = {"STREAM_URL": "nats://127.0.0.1:1"}
    with running(["merge", "--to", str(root)], settings, log) as process:
        assert process.wait(_PATIENCE_S) == 2
    assert f"{DAY_NAME}.db was written by a collector, not by a merge" in log.read_text()
    assert path_of(root, DAY_NAME).read_bytes() == before
