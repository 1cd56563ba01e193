"""Reads addresses of NATS servers that are given in another place than the settings."""

from __future__ import annotations

from hk_tick_collector.errors import UsageError

from .values import stream_urls


def read_stream_urls(text: str) -> tuple[str, ...]:
    """The addresses in a text as STREAM_URL has them. UsageError for any other text; it is not shown if it has an @."""
    try:
        return stream_urls(text)
    except ValueError as error:
        shown = "the address of the servers" if "@" in text else text
        raise UsageError(
            f"{shown} {error}",
            hint="write nats://HOST:4222 or tls://HOST:4222, several of one kind separated by commas",
        ) from None
