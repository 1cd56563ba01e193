"""Frames: for any pieces and any damage, only bodies that were sent are returned, in order."""

from __future__ import annotations

import hashlib
import struct
import tracemalloc
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hk_tick_collector.errors import ProtocolError
from hk_tick_collector.opend.frame import HEADER_BYTES, MAX_BODY_BYTES, Frame, FrameReader, encode_frame

if TYPE_CHECKING:
    from collections.abc import Iterable

FRAMES: Final[list[Frame]] = [
    (1001, 1, b"\x08\x00"),
    (1004, 0xFFFFFFFF, b""),
    (3011, 2, b"FT" + bytes(44)),  # a body that looks like a header
    (3011, 0, bytes(range(256))),
    (0xFFFFFFFF, 7, b"x" * 1500),
]
STREAM: Final = b"".join(encode_frame(*frame) for frame in FRAMES)
ENDS: Final = [sum(HEADER_BYTES + len(body) for _, _, body in FRAMES[: n + 1]) for n in range(len(FRAMES))]


def read(reader: FrameReader, pieces: Iterable[bytes]) -> tuple[list[Frame], ProtocolError | None]:
    """What a reader returns for these pieces: its frames, and the error that ended them."""
    frames: list[Frame] = []
    try:
        for piece in pieces:
            frames.extend(reader.feed(piece))
    except ProtocolError as error:
        return frames, error
    return frames, None


def header(length: int, *, magic: bytes = b"FT", body_format: int = 0, body: bytes = b"") -> bytes:
    """A header written by hand from the vendor's table, not by our encoder."""
    digest = hashlib.sha1(body, usedforsecurity=False).digest()
    return magic + struct.pack("<IBBII", 3011, body_format, 0, 1, length) + digest + bytes(8)


def cut(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """`data` in pieces that begin and end at these places."""
    return [data[start:end] for start, end in pairwise(sorted({0, len(data), *cuts}))]


def test_a_frame_has_the_vendors_layout() -> None:
    """The encoder writes exactly the 44 bytes of the vendor's table, and the body behind them."""
    assert encode_frame(3011, 1, b"abc") == header(3, body=b"abc") + b"abc"


def test_encryption_changes_the_body_and_its_length_but_not_the_digest() -> None:
    """The header counts the bytes on the wire and signs the plain body."""
    frame = encode_frame(3011, 1, b"abc", lambda plain: plain[::-1] + b"!")
    assert frame == header(4, body=b"abc") + b"cba!"


@pytest.mark.parametrize("tail", [b"", STREAM[:1], STREAM[:43], STREAM[:45]], ids=["none", "1", "43", "45"])
@pytest.mark.parametrize("size", [len(STREAM), 1, 43, 44, 45, 100])
def test_pieces_of_any_size_give_the_same_frames(size: int, tail: bytes) -> None:
    """Whole, byte by byte, and around the header's size; the beginning of a next frame changes nothing."""
    data = STREAM + tail
    frames, fault = read(FrameReader(), cut(data, range(0, len(data), size)))
    assert frames[: len(FRAMES)] == FRAMES
    assert fault is None
    assert len(frames) == len(FRAMES) + (len(tail) > HEADER_BYTES + len(FRAMES[0][2]))


@given(st.lists(st.integers(0, len(STREAM))))
def test_split_points_do_not_matter(cuts: list[int]) -> None:
    """However TCP cuts the stream, the same frames come out."""
    assert read(FrameReader(), cut(STREAM, cuts)) == (FRAMES, None)


def test_a_frame_is_delivered_with_its_last_byte() -> None:
    """No frame waits for the byte after it, also when its body is empty."""
    reader = FrameReader()
    seen: list[int] = []
    for offset in range(len(STREAM)):
        seen.extend(offset + 1 for _ in reader.feed(STREAM[offset : offset + 1]))
    assert seen == ENDS


@st.composite
def damaged(draw: st.DrawFn) -> tuple[bytes, int]:
    """The stream with one wound, and how many whole frames end before it."""
    place = draw(st.integers(0, len(STREAM) - 1))
    kind = draw(st.sampled_from(["flip", "insert", "remove", "truncate"]))
    if kind == "flip":
        wound = bytes([STREAM[place] ^ draw(st.integers(1, 255))]) + STREAM[place + 1 :]
    elif kind == "insert":
        wound = draw(st.binary(min_size=1, max_size=80)) + STREAM[place:]
    elif kind == "remove":
        wound = STREAM[place + draw(st.integers(1, 80)) :]
    else:
        wound = b""
    return STREAM[:place] + wound, sum(end <= place for end in ENDS)


@settings(max_examples=400)
@given(damaged(), st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_damage_never_yields_a_body_that_was_not_sent(wounded: tuple[bytes, int], cuts: list[int]) -> None:
    """Every whole frame before the damage arrives; behind it there are sent bodies, in order, or a ProtocolError.

    The protocol number and the serial number are outside the digest: only a flip in those can change them.
    """
    data, whole = wounded
    frames, _ = read(FrameReader(), cut(data, cuts))
    assert frames[:whole] == FRAMES[:whole]
    sent = iter(FRAMES)
    assert all(any(body == known for _, _, known in sent) for _, _, body in frames)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_noise_is_refused_with_the_right_error(noise: bytes, cuts: list[int]) -> None:
    """Bytes that are not a frame end in ProtocolError when a header is complete, and not before."""
    frames, fault = read(FrameReader(), cut(noise, (place for place in cuts if place < len(noise))))
    assert frames == []
    assert (fault is not None) == (len(noise) >= HEADER_BYTES)


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (header(MAX_BODY_BYTES + 1), "16777217"),
        (header(0xFFFFFFFF), "4294967295"),
        (header(0, body_format=1), "format 1"),
        (header(0, body=b"other"), "SHA-1"),
        (header(0, magic=b"TF"), "TF"),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "HT"),
    ],
)
def test_a_wrong_header_is_refused_at_once(first: bytes, told: str) -> None:
    """The fault is named with the last byte of the header: no body is waited for, nothing after it is read."""
    good = encode_frame(1004, 1, b"")
    frames, fault = read(FrameReader(), [good + first + good])
    assert frames == [(1004, 1, b"")]
    assert fault is not None
    assert told in str(fault)
    assert read(FrameReader(), [first[: HEADER_BYTES - 1]]) == ([], None)


def test_a_web_server_on_the_port_is_named() -> None:
    """The commonest wrong port answers in HTTP, and the hint says so."""
    _, fault = read(FrameReader(), [b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"])
    assert fault is not None
    assert fault.hint == "an HTTP server listens there; point FUTU_HOST and FUTU_PORT at OpenD's API port"
    _, fault = read(FrameReader(), [b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n and more"])
    assert fault is not None
    assert fault.hint == "check that FUTU_HOST and FUTU_PORT name OpenD's API port"


def test_a_wrong_key_is_named_where_there_is_one() -> None:
    """A digest that does not match suggests OpenD's own RSA key; without encryption keys are not mentioned."""
    damaged = header(3, body=b"abd") + b"abc"
    _, plain = read(FrameReader(), [damaged])
    _, encrypted = read(FrameReader(lambda _, body: body), [damaged])
    assert plain is not None
    assert encrypted is not None
    assert str(plain) == str(encrypted) == "SHA-1 of the body of message 3011 does not match its header"
    assert (plain.hint, encrypted.hint) == ("", "use the RSA key that OpenD itself is configured with")


def test_the_largest_body_of_a_wrong_format_is_named_as_such() -> None:
    """Its length is allowed."""
    _, fault = read(FrameReader(), [header(MAX_BODY_BYTES, body_format=1)])
    assert str(fault) == "a body has format 1, expected 0 (protobuf)"
    _, fault = read(FrameReader(), [header(MAX_BODY_BYTES + 1, body_format=1)])
    assert fault is not None
    assert f"a header has a body length of {MAX_BODY_BYTES + 1} bytes" in str(fault)


def test_the_largest_body_arrives_in_linear_time() -> None:
    """16 MB in pieces of 1 KB: copying all that has come with every piece would move 128 GB, and this would not end."""
    body = bytes(MAX_BODY_BYTES)
    data = encode_frame(3202, 1, body)
    frames, fault = read(FrameReader(), cut(data, range(0, len(data), 1024)))
    assert fault is None
    assert [len(got) for _, _, got in frames] == [MAX_BODY_BYTES]


def test_a_trickle_takes_no_more_memory_than_its_bytes() -> None:
    """A body that comes two bytes at a time is held as one body, not as a hundred thousand small objects."""
    body_bytes = 200_000
    pieces = cut(encode_frame(3202, 1, bytes(body_bytes)), range(0, body_bytes, 2))[:-1]
    reader = FrameReader()
    tracemalloc.start()
    try:
        frames, _ = read(reader, (piece[:1] + piece[1:] for piece in pieces))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert frames == []
    assert held < 2 * body_bytes


def test_a_body_may_tell_how_the_next_one_is_decrypted() -> None:
    """Frames are handed over one at a time: the reply to InitConnect brings the key of what follows in one read."""
    shift = 0

    def decrypt(proto_id: int, wire: bytes) -> bytes:
        return wire if proto_id == 1001 else bytes((byte - shift) % 256 for byte in wire)

    data = encode_frame(1001, 1, b"\x05") + encode_frame(1004, 2, b"abc", lambda _: b"fgh")
    bodies = []
    for proto_id, _, body in FrameReader(decrypt).feed(data):
        if proto_id == 1001:
            shift = body[0]
        bodies.append(body)
    assert bodies == [b"\x05", b"abc"]


def test_a_fault_in_a_burst_comes_after_the_frames_before_it() -> None:
    """A caller that works frame by frame has had every whole frame when the fault is raised."""
    frames = FrameReader().feed(STREAM + header(0, body=b"other"))
    assert [next(frames) for _ in FRAMES] == FRAMES
    with pytest.raises(ProtocolError):
        next(frames)
