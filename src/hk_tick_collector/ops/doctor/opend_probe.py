"""A short, separate connection to OpenD that asks for its state. It never subscribes, so it uses no quota.

Input: OpenD's address and the wanted symbols. Output: its answers, and the reason for each missing one. It blocks, with
limits: each address of the host has a time limit, and the whole exchange ends within TOTAL_S. Meanwhile it uses one of
OpenD's 128 connections.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from hk_tick_collector import market, tcp_connect
from hk_tick_collector.errors import CollectorError, OpenDError
from hk_tick_collector.opend import messages, protocol
from hk_tick_collector.ops.findings import remedies

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from google.protobuf.message import Message

    from hk_tick_collector.opend.crypto import RsaCipher
    from hk_tick_collector.opend.messages import GlobalState, SubInfo, TradingDay

    T = TypeVar("T")

TOTAL_S: Final = 15.0
_REPLY_S: Final = 5.0
_READ_BYTES: Final = 65_536
_NO_PLAIN: Final = "a wrong FUTU_RSA_KEY has the same effect, and so has a port that is not OpenD's"


@dataclass(slots=True)
class Answers:
    """OpenD's answers. `failed` has, by the name of the request, why there is no answer."""

    server_ver: int = 0
    address: str = ""  # the address of FUTU_HOST that answered
    unreachable: dict[str, str] = field(default_factory=dict)  # the addresses that did not, and why
    state: GlobalState | None = None
    drift_s: float | None = None  # our clock minus OpenD's, with an error of half a second
    quota: SubInfo | None = None
    calendar: list[TradingDay] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)  # wanted symbols that OpenD does not know
    failed: dict[str, CollectorError] = field(default_factory=dict)


def ask(
    host: str,
    port: int,
    client_id: str,
    rsa: RsaCipher | None,
    symbols: Sequence[str],
    resolve: tcp_connect.Resolve | None = None,
) -> Answers:
    """Sends every request once. Raises OpenDError if there is no connection.

    `resolve` looks up the host's addresses; by default the operating system does it.
    """
    deadline_s = time.monotonic() + TOTAL_S
    resolve = resolve or tcp_connect.Resolver()
    talk, answers = _first_that_answers(host, port, _Caller(client_id, rsa, deadline_s), resolve)
    with talk.socket:
        _try(answers, "state", lambda: _ask_state(talk, answers))
        _try(answers, "quota", lambda: _ask_quota(talk, answers))
        _try(answers, "calendar", lambda: _ask_calendar(talk, answers))
        _try(answers, "symbols", lambda: _ask_symbols(talk, answers, symbols))
    return answers


def _first_that_answers(host: str, port: int, caller: _Caller, resolve: tcp_connect.Resolve) -> tuple[_Talk, Answers]:
    """A connection to the first address that answers as OpenD does, found in the same way as by the service."""
    no_opend: dict[str, OpenDError] = {}  # addresses that accept connections but do not answer as OpenD does

    async def others(host: str, port: int) -> list[tcp_connect.Address]:
        return [address for address in await resolve(host, port) if address.where[0] not in no_opend]

    while True:
        try:
            reached = asyncio.run(tcp_connect.connect(host, port, others, all_addresses=True))
        except OpenDError as error:
            if no_opend:  # the error of an address that accepts connections is more useful
                raise next(iter(no_opend.values())) from None
            hint = f"{remedies.OPEND_STATUS}; nc -vz {host} {port}; {remedies.RESTART_OPEND}"
            raise OpenDError(str(error), hint=hint) from None
        reached.socket.setblocking(True)
        talk = _Talk(reached.socket, protocol.Connection(caller.client_id, caller.rsa), caller.deadline_s)
        try:
            version = talk.start().server_ver
        except OpenDError as error:
            reached.socket.close()
            no_opend[reached.address] = error
        except BaseException:
            reached.socket.close()
            raise
        else:
            failed = {**{address: str(error) for address, error in no_opend.items()}, **reached.failed}
            return talk, Answers(version, reached.address, failed)


class _Caller(NamedTuple):
    client_id: str
    rsa: RsaCipher | None
    deadline_s: float


def _try(answers: Answers, question: str, put: Callable[[], None]) -> None:
    try:
        put()
    except CollectorError as error:
        answers.failed[question] = error


def _ask_state(talk: _Talk, answers: Answers) -> None:
    before_ms = time.time() * 1000
    body = talk.request(messages.GET_GLOBAL_STATE, messages.get_global_state())
    after_ms = time.time() * 1000
    answers.state = messages.read_global_state(body)
    answers.drift_s = answers.state.drift_s(before_ms, after_ms)


def _ask_quota(talk: _Talk, answers: Answers) -> None:
    answers.quota = messages.read_sub_info(talk.request(messages.GET_SUB_INFO, messages.get_sub_info()))


def _ask_calendar(talk: _Talk, answers: Answers) -> None:
    told_s = answers.state.server_time_s if answers.state else 0
    today = market.day_number(int((told_s or time.time()) * 1000))
    body = talk.request(messages.REQUEST_TRADE_DATE, messages.request_trade_date(*messages.calendar_bounds(today)))
    answers.calendar = messages.read_trade_dates(body)


def _ask_symbols(talk: _Talk, answers: Answers, symbols: Sequence[str]) -> None:
    """Finds unknown symbols with snapshots, which need no subscription.

    OpenD refuses a whole request if one of its symbols is unknown.
    """
    for start in range(0, len(symbols), messages.SNAPSHOT_MAX):
        wanted = symbols[start : start + messages.SNAPSHOT_MAX]
        request = messages.get_security_snapshot(wanted)
        found = messages.read_security_snapshot(talk.request(messages.GET_SECURITY_SNAPSHOT, request))
        known = {each.symbol for each in found}
        answers.unknown += [symbol for symbol in wanted if symbol not in known]


class _Talk:
    """Requests and replies one after the other, on a blocking socket."""

    def __init__(self, connection: socket.socket, core: protocol.Connection, deadline_s: float) -> None:
        self.socket = connection
        self._core = core
        self._deadline_s = deadline_s

    def start(self) -> messages.InitReply:
        """InitConnect. OpenDError if it is not accepted in time."""
        self._core.start(time.monotonic())
        limit_s = time.monotonic() + _REPLY_S
        while True:
            for event in self._next(limit_s):
                if isinstance(event, protocol.Ready):
                    return event.reply
                self._raise_if_over(event)

    def request(self, proto_id: int, message: Message) -> bytes:
        """The body of the reply. OpenDError if there is none in time."""
        limit_s = time.monotonic() + _REPLY_S
        serial = self._core.request(proto_id, message, time.monotonic(), _REPLY_S)
        while True:
            for event in self._next(limit_s):
                if isinstance(event, protocol.Replied) and event.serial == serial:
                    return event.body
                if isinstance(event, protocol.Failed) and event.serial == serial:
                    raise event.error
                self._raise_if_over(event)

    def _next(self, limit_s: float) -> list[protocol.Event]:
        """Sends the output of the protocol core and reads from OpenD.

        Raises OpenDError after `limit_s` (monotonic clock, seconds), or if the connection breaks.
        """
        left_s = min(limit_s, self._deadline_s) - time.monotonic()
        if left_s <= 0:
            raise OpenDError("OpenD accepts the connection but does not answer in time", hint=remedies.RESTART_OPEND)
        try:
            self.socket.settimeout(left_s)
            self.socket.sendall(self._core.data_to_send())
            data = self.socket.recv(_READ_BYTES)
        except TimeoutError:
            return []
        except OSError as error:
            raise OpenDError(f"the connection broke ({error.strerror})", hint=remedies.OPEND_STATUS) from None
        if not data:
            return self._core.receive_eof()
        return self._core.receive(data, time.monotonic(), int(time.time() * 1000))

    def _raise_if_over(self, event: protocol.Event) -> None:
        if isinstance(event, protocol.Closed):
            raise OpenDError(str(event.error), hint=event.error.hint or f"{remedies.OPEND_STATUS}; {_NO_PLAIN}")
