"""Creates the stream HK_TICKS, or checks that it is what publishers and readers rely on. It changes no stream.

A stream whose settings differ but cannot lose ticks is used, and the differences are reported. One whose settings can
lose ticks is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector.errors import StreamAwayError, StreamError

from .engine import RefusedError, ask, info, understood
from .subjects import STREAM, SUBJECTS

if TYPE_CHECKING:
    from .connect import Connection

MAX_AGE_S: Final = 7 * 86_400
MAX_BYTES: Final = 8 * 2**30  # a week of 5 M ticks a day needs 1.1 GB
DUPLICATES_S: Final = 120
REPLICAS: Final = 3

_ONE_SERVER: Final = 10074  # replicas > 1 not supported in non-clustered mode
_NO_PEERS: Final = 10005  # no suitable peers for placement
_NO_ROOM: Final = 10047
_EXISTS: Final = 10058
_NS: Final = 10**9


@dataclass(frozen=True, slots=True)
class StreamState:
    """The stream as JetStream describes it."""

    first_seq: int
    last_seq: int
    messages: int
    bytes: int
    max_bytes: int  # -1: no limit
    max_age_s: float  # 0: no limit
    replicas: int
    leader: str  # name of the server; empty where there is one server
    servers_current: int  # of the servers that hold it, those that are up to date
    differences: tuple[str, ...] = ()  # from what we would create, one text each


async def ensure_stream(connection: Connection, *, replicas: int = REPLICAS, max_bytes: int = MAX_BYTES) -> StreamState:
    """The state of the stream, which is created if there is none: with one replica where the server has no cluster.

    StreamError for a stream whose settings would lose ticks, or that cannot be created; StreamAwayError if too few
    servers of the cluster are there.
    """
    found = await info(connection)
    if found is None:
        found = await _create(connection, replicas, max_bytes)
    return _state_in(found, connection)


async def stream_state(connection: Connection) -> StreamState | None:
    """The state of the stream; None if there is none. Raises as `ensure_stream`."""
    found = await info(connection)
    return None if found is None else _state_in(found, connection)


def wanted(replicas: int = REPLICAS, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """The configuration of the stream as JetStream takes it."""
    return {
        "name": STREAM,
        "description": "Hong Kong trade ticks of hk-tick-collector",
        "subjects": list(SUBJECTS),
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "num_replicas": replicas,
        "max_age": MAX_AGE_S * _NS,
        "max_bytes": max_bytes,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_msg_size": -1,
        "max_consumers": -1,
        "duplicate_window": DUPLICATES_S * _NS,
        "deny_delete": True,
        "deny_purge": True,
        "allow_direct": False,
    }


async def _create(connection: Connection, replicas: int, max_bytes: int) -> dict[str, Any]:
    try:
        return await ask(connection, f"STREAM.CREATE.{STREAM}", wanted(replicas, max_bytes))
    except RefusedError as error:
        if error.code == _ONE_SERVER and replicas > 1:
            return await _create(connection, 1, max_bytes)
        if error.code == _EXISTS:  # another process was faster
            found = await info(connection)
            if found is not None:
                return found
        if error.code == _NO_PEERS:
            room = f"{replicas} copies of {STREAM} with {max_bytes // 2**30} GiB each"
            words = f"the cluster of {connection.url} has too few servers, or too small a max_file, for {room}"
            raise StreamAwayError(
                words, hint="start the other servers; raise max_file in their configuration"
            ) from None
        if error.code == _NO_ROOM:
            words = f"JetStream has no {max_bytes // 2**30} GiB for {STREAM}"
            raise StreamError(words, hint="raise max_file in the configuration of the server") from None
        raise


def _state_in(answer: dict[str, Any], connection: Connection) -> StreamState:
    with understood(connection, "a request for the state of the stream"):
        return state_of(answer)


def state_of(answer: dict[str, Any]) -> StreamState:
    """The state in an answer of JetStream. StreamError for settings that would lose ticks."""
    config, state = answer.get("config", {}), answer.get("state", {})
    if faults := _losing(config):
        raise StreamError(
            f"the stream {STREAM} would lose ticks: {'; '.join(faults)}",
            hint=f"nats stream edit {STREAM}, or nats stream rm {STREAM}: then it is created again",
        )
    cluster = answer.get("cluster") or {}
    others = [peer for peer in cluster.get("replicas") or () if peer.get("current") and not peer.get("offline")]
    return StreamState(
        first_seq=int(state.get("first_seq", 0)),
        last_seq=int(state.get("last_seq", 0)),
        messages=int(state.get("messages", 0)),
        bytes=int(state.get("bytes", 0)),
        max_bytes=int(config.get("max_bytes", -1)),
        max_age_s=int(config.get("max_age", 0)) / _NS,
        replicas=int(config.get("num_replicas", 1)),
        leader=str(cluster.get("leader", "")),
        servers_current=1 + len(others),
        differences=tuple(_differences(config, is_cluster=bool(cluster.get("name")))),
    )


def _losing(config: dict[str, Any]) -> list[str]:
    """Settings under which the stream does not hold each message of each subject until its age or size is reached."""
    faults = []
    missing = set(SUBJECTS) - set(config.get("subjects") or ())
    if missing and not {"hk.>", ">"} & set(config.get("subjects") or ()):
        faults.append(f"it has no subjects {' '.join(sorted(missing))}")
    for name, needed in (("storage", "file"), ("retention", "limits"), ("discard", "old")):
        if config.get(name) != needed:
            faults.append(f"{name} is {config.get(name)}, not {needed}")
    limits = ("max_msgs", "max_msgs_per_subject", "max_msg_size")
    faults += [f"{name} is {config[name]}, not -1" for name in limits if int(config.get(name) or -1) > 0]
    if config.get("sealed"):
        faults.append("it is sealed")
    if config.get("no_ack"):
        faults.append("no_ack is set")
    faults += [f"it has {name}" for name in ("mirror", "subject_transform") if config.get(name)]
    if config.get("persist_mode") == "async":
        faults.append("persist_mode is async")
    return faults


def _differences(config: dict[str, Any], *, is_cluster: bool) -> list[str]:
    """Settings that differ from those of a stream that we create, and cannot lose ticks."""
    found = []
    for name, unit in (("max_age", "s"), ("duplicate_window", "s")):
        value, usual = int(config.get(name, 0)), int(wanted()[name])
        if value != usual:
            found.append(f"{name} is {value / _NS:g} {unit}, not {usual / _NS:g} {unit}")
    if is_cluster and (copies := int(config.get("num_replicas", 1))) < REPLICAS:
        found.append(f"num_replicas is {copies}, not {REPLICAS}")
    if int(config.get("max_bytes", -1)) <= 0:
        found.append("max_bytes has no limit")
    return found + [f"{name} is off" for name in ("deny_delete", "deny_purge") if not config.get(name)]
