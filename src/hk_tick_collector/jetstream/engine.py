"""Requests to JetStream, and their answers as values.

Each raises StreamAwayError where the engine cannot answer now (no leader, restarting, connection lost), and
`RefusedError` where it answers that it will not.
"""

from __future__ import annotations

import base64
import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector.errors import StreamAwayError, StreamError
from hk_tick_collector.text import plain

from .subjects import STREAM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .connect import Connection

ANSWER_S: Final = 5.0  # a leader is elected within about two
MSG_ID: Final = "Nats-Msg-Id"
NO_STREAM: Final = 10059  # it was never created, or was deleted: a publisher creates it
_NO_MESSAGE: Final = 10037
_SEQ_END: Final = 2**63
_HEADER_LINE: Final = b"NATS/1.0\r\n"


class RefusedError(StreamError):
    """JetStream answered a request with an error. `code` is its `err_code`."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message, hint="see the log of the NATS server")
        self.code = code


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as the stream holds it."""

    seq: int
    subject: str
    message_id: str  # empty if it has none
    data: bytes


@contextmanager
def understood(connection: Connection, what: str) -> Iterator[None]:
    """Read an answer inside this block: StreamAwayError if it has not the expected form. `what` is what was asked."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, ArithmeticError, RecursionError):
        raise StreamAwayError(f"{connection.url} answered {what} with something that cannot be read") from None


async def ask(connection: Connection, api: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The answer of JetStream to a request like `STREAM.INFO.HK_TICKS`."""
    payload = json.dumps(body).encode() if body is not None else b""
    message = await connection.request(f"$JS.API.{api}", payload, timeout_s=ANSWER_S)
    with understood(connection, api):
        return _demand_success(message.data, api)


async def store(connection: Connection, subject: str, payload: bytes, message_id: str) -> int:
    """Stores a message; returns its sequence in the stream once a majority of the servers has it on disk.

    The same id within the duplicate window is stored once, and answers the sequence of the first.
    """
    headers = {MSG_ID: message_id, "Nats-Expected-Stream": STREAM}
    message = await connection.request(subject, payload, timeout_s=ANSWER_S, headers=headers)
    with understood(connection, subject):
        answer = _demand_success(message.data, subject)
        seq = answer.get("seq")
        if answer.get("stream") != STREAM or type(seq) is not int or seq < 1:  # somebody else may have answered
            raise StreamAwayError(f"the answer to {subject} is no acknowledgement of {STREAM}")
        return seq


async def info(connection: Connection) -> dict[str, Any] | None:
    """What JetStream says of the stream; None if there is no such stream."""
    try:
        return await ask(connection, f"STREAM.INFO.{STREAM}")
    except RefusedError as error:
        if error.code == NO_STREAM:
            return None
        raise


async def held_subjects(connection: Connection, subject: str) -> set[str] | None:
    """Which subjects the stream holds messages of, among those that a subject with wildcards names.

    None if there are more than the engine lists at once, which is 100,000.
    """
    try:
        answer = await ask(connection, f"STREAM.INFO.{STREAM}", {"subjects_filter": subject})
    except RefusedError as error:
        if error.code != NO_STREAM:
            raise
        raise StreamAwayError(f"there is no stream {STREAM}: a publisher makes it anew") from None
    with understood(connection, "a request for the subjects of the stream"):
        held = set((answer["state"].get("subjects") or {}).keys())
        return held if len(held) >= int(answer["total"]) else None


async def message_at(connection: Connection, seq: int) -> StoredMessage | None:
    """The message at a sequence of the stream, asked of its leader; None if there is none."""
    return await _message(connection, {"seq": seq}, range(seq, seq + 1))


async def next_message(connection: Connection, subject: str, from_seq: int) -> StoredMessage | None:
    """The first message of a subject at `from_seq` or later; None if there is none."""
    first = max(from_seq, 1)
    return await _message(connection, {"seq": first, "next_by_subj": subject}, range(first, _SEQ_END))


async def last_message(connection: Connection, subject: str) -> StoredMessage | None:
    """The last message of a subject, which may have wildcards; None if there is none."""
    return await _message(connection, {"last_by_subj": subject}, range(1, _SEQ_END))


async def _message(connection: Connection, wanted: dict[str, Any], seqs: range) -> StoredMessage | None:
    """The message that the engine answers; it must have one of these sequences."""
    try:
        answer = await ask(connection, f"STREAM.MSG.GET.{STREAM}", wanted)
    except RefusedError as error:
        if error.code in (_NO_MESSAGE, NO_STREAM):
            return None
        raise
    with understood(connection, "a request for a message"):
        found = answer["message"]
        headers = _headers(base64.b64decode(found.get("hdrs", "")))
        data = base64.b64decode(found.get("data", ""))
        seq = int(found["seq"])
        if seq not in seqs:
            raise ValueError
        return StoredMessage(seq, str(found["subject"]), headers.get(MSG_ID, ""), data)


def _headers(data: bytes) -> dict[str, str]:
    lines = data.removeprefix(_HEADER_LINE).decode("utf-8", "replace").split("\r\n")
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _demand_success(data: bytes, what: str) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise StreamAwayError(f"the answer to {what} is not JSON")
    error = answer.get("error")
    if not error:
        return answer
    words, code = plain(error.get("description", error)), int(error.get("err_code", 0))
    if error.get("code") == 503:  # no leader, no quorum, shutting down, no room: it may pass
        raise StreamAwayError(f"JetStream cannot answer {what} ({words})")
    raise RefusedError(f"JetStream refuses {what} ({words})", code)
