"""Faults of a cluster: each function causes one, ends it, and returns a text that says what it did.

No two faults overlap. One source has what the other loses: before a collector or its host is killed, all collectors are
connected and have backfilled what OpenD keeps.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from tools.cluster.hosts import DOWN_S

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tools.cluster.cluster import Cluster
    from tools.cluster.nodes import Node
    from tools.cluster.process import Process

    Fault = Callable[[Cluster, random.Random], str]

_SHORT_S: Final = (0.2, 2.0)
_FROZEN_S: Final = (1.0, 5.0)


def kill_leader(cluster: Cluster, seed: random.Random) -> str:
    """Kills the server that leads the stream, and starts it again."""
    return _restart_nodes([cluster.leader()], seed, "the leader")


def kill_node(cluster: Cluster, seed: random.Random) -> str:
    """Kills any server, and starts it again."""
    return _restart_nodes([seed.choice(cluster.nodes)], seed, "a server")


def kill_two_nodes(cluster: Cluster, seed: random.Random) -> str:
    """Kills two servers: no majority is left for a while."""
    return _restart_nodes(seed.sample(cluster.nodes, 2), seed, "two servers")


def kill_all_nodes(cluster: Cluster, seed: random.Random) -> str:
    """Kills all servers."""
    return _restart_nodes(cluster.nodes, seed, "all servers")


def kill_publish(cluster: Cluster, seed: random.Random) -> str:
    """Kills a publisher while messages wait for their acknowledgement."""
    host = seed.choice(list(cluster.sources.values()))
    return _restart(host.publish, seed, f"publish of {host.name}")


def kill_merge(cluster: Cluster, seed: random.Random) -> str:
    """Kills merge, which may be in a transaction."""
    return _restart(cluster.merger.merge, seed, "merge")


def kill_collector(cluster: Cluster, seed: random.Random) -> str:
    """Kills a collector, which has ticks in memory."""
    cluster.wait_collecting()
    host = seed.choice(list(cluster.sources.values()))
    return _restart(host.collector, seed, f"run of {host.name}")


def kill_host(cluster: Cluster, seed: random.Random) -> str:
    """Kills every process of a host; it is down for longer than OpenD keeps ticks."""
    cluster.wait_collecting()
    host = seed.choice(list(cluster.hosts.values()))
    return power_cut(cluster, host.name, seed.uniform(*DOWN_S))


def power_cut(cluster: Cluster, name: str, seconds: float) -> str:
    """A host loses its power for so long."""
    host = cluster.hosts[name]
    host.kill()
    time.sleep(seconds)
    host.start()
    return f"host {name} was down for {seconds:.1f} s"


def freeze_node(cluster: Cluster, seed: random.Random) -> str:
    """Freezes a server (SIGSTOP): its connections stay open, and it sends nothing."""
    return _freeze(seed.choice(cluster.nodes).process, seed)


def freeze_publish(cluster: Cluster, seed: random.Random) -> str:
    """Freezes a publisher, as on a virtual machine that is paused."""
    return _freeze(seed.choice(list(cluster.sources.values())).publish, seed)


def freeze_merge(cluster: Cluster, seed: random.Random) -> str:
    """Freezes merge."""
    return _freeze(cluster.merger.merge, seed)


def delete_stores(cluster: Cluster, seed: random.Random) -> str:
    """Deletes the stores of all servers: the stream is gone."""
    _kill_nodes(cluster.nodes)
    for node in cluster.nodes:
        node.delete_store()
    time.sleep(seed.uniform(*_SHORT_S))
    cluster.start_nodes()
    return "the stores of all servers were deleted"


def roll_back_stores(cluster: Cluster, seed: random.Random, seconds: float = 6.0) -> str:
    """All disks are as they were some seconds ago, each at the same moment, as a snapshot of all machines."""
    kept = {node.name: cluster.directory / f"kept-{node.name}" for node in cluster.nodes}
    for node in cluster.nodes:
        node.process.freeze()
    for node in cluster.nodes:
        node.copy_store(kept[node.name])
    for node in cluster.nodes:
        node.process.thaw()
    time.sleep(seconds)
    _kill_nodes(cluster.nodes)
    for node in cluster.nodes:
        node.roll_back(kept[node.name])
    cluster.start_nodes()
    return f"the disks of all servers were set back by {seconds:g} s"


def flip_bits(cluster: Cluster, seed: random.Random) -> str:
    """Flips bits in the middle of the log of one server while it is down; then it becomes the leader."""
    node = seed.choice(cluster.nodes)
    _kill_nodes([node])
    changed = node.flip_bits(seed)
    node.start()
    node.wait_ready()
    others = [each for each in cluster.nodes if each is not node]
    _kill_nodes(others)  # they come back after it, so that it has been asked first
    for other in others:
        other.start()
    for each in cluster.nodes:
        each.wait_ready()
    return f"{len(changed)} bits flipped in the log of {node.name}"


def _restart_nodes(nodes: list[Node], seed: random.Random, what: str) -> str:
    _kill_nodes(nodes)
    seconds = seed.uniform(*_SHORT_S)
    time.sleep(seconds)
    for node in nodes:
        node.start()
    return f"{what} killed: {', '.join(node.name for node in nodes)}, back after {seconds:.1f} s"


def _kill_nodes(nodes: list[Node]) -> None:
    for node in nodes:
        node.process.kill()


def _restart(process: Process, seed: random.Random, what: str) -> str:
    process.kill()
    seconds = seed.uniform(*_SHORT_S)
    time.sleep(seconds)
    process.start()
    return f"{what} killed, back after {seconds:.1f} s"


def _freeze(process: Process, seed: random.Random) -> str:
    seconds = seed.uniform(*_FROZEN_S)
    process.freeze()
    time.sleep(seconds)
    process.thaw()
    return f"{process.name} did nothing for {seconds:.1f} s"
