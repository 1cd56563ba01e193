"""The verb `web`: serves the page of one collector. It reads, and changes nothing."""

from __future__ import annotations

import signal
import socket
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hk_tick_collector import clock, log
from hk_tick_collector.config import Address, as_text, systemd_environment
from hk_tick_collector.config.values import some_address
from hk_tick_collector.errors import UsageError
from hk_tick_collector.frames.extras import need
from hk_tick_collector.ops.findings.words import LANGUAGES
from hk_tick_collector.ops.live.systemd_notify import Notifier

from ._options import EnvFile, limits, loaded_in_force
from ._patience import Disk, in_child
from ._service_report import examine
from ._show import show
from .status import figures_of

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.config import Loaded
    from hk_tick_collector.web.reading import Reading
    from hk_tick_collector.web.site import Examination

_PACKAGES: Final = ("jinja2", "starlette", "uvicorn")


def web(
    addr: Annotated[
        str | None, typer.Option("--addr", metavar="HOST:PORT", help="listen here instead of on WEB_ADDR")
    ] = None,
    env_file: EnvFile = None,
) -> int:
    """The page of this collector, until Ctrl-C: Now, Symbol, Days; for a desk, a terminal's browser or a phone.

    It listens on WEB_ADDR, 127.0.0.1:9110 by default, so only this host can open it. From elsewhere:
    ssh -L 9110:127.0.0.1:9110 HOST, then http://127.0.0.1:9110. An address that others can reach needs WEB_TOKEN.

    Example: hk-tick-collector web
    """
    for package in _PACKAGES:
        need(package, "web")
    loaded = loaded_in_force(env_file)
    address = _address(loaded, addr)
    # imported late: other verbs need none of these
    from hk_tick_collector.web.reading import Reading

    log.configure(loaded.settings.log_level)
    reading = Reading(in_child, _end)  # before there is a socket or a thread
    try:
        _serve(loaded, address, reading, env_file)
    finally:
        reading.close()
    return 0


def _end() -> None:
    """Ends the page, which can read nothing: systemd starts it again."""
    log.error("web_reading_killed")
    signal.raise_signal(signal.SIGTERM)


def _serve(loaded: Loaded, address: Address, reading: Reading, env_file: Path | None) -> None:
    from hk_tick_collector.web.app import create_app
    from hk_tick_collector.web.hosts import names_of
    from hk_tick_collector.web.server import listen, serve
    from hk_tick_collector.web.site import Site

    settings = loaded.settings
    listener = listen(*address)
    own = Address(address.host, listener.getsockname()[1])
    site = Site(
        data_root=settings.data_root,
        archive=settings.archive_dir,
        instance=settings.instance_id,
        lang=settings.operator_lang,
        limits=limits(settings),
        reading=reading,
        examine=partial(examined, env_file),
        names=names_of(address.host, settings.web_hosts, (socket.gethostname(),)),
        token=settings.web_token.get_secret_value() if settings.web_token else None,
    )
    notifier = Notifier(systemd_environment().notify_socket)

    def ready() -> None:
        show(f"http://{as_text(own)}  (Ctrl-C ends it)", flush=True)
        notifier.ready()
        notifier.status(f"http://{as_text(own)}")

    serve(create_app(site), listener, ready)


def examined(env_file: Path | None) -> Examination:
    """What `status` finds, for the page; in a process of its own."""
    from hk_tick_collector.web.site import Examination

    found = examine(env_file, clock.now_ms(), Disk())
    return Examination(
        findings=found.findings,
        explained=found.explained,
        figures={lang: figures_of(found, lang) for lang in LANGUAGES},
        day=found.day,
        silent=not found.is_live,
        at_ms=found.now_ms,
    )


def _address(loaded: Loaded, given: str | None) -> Address:
    """Where to listen. UsageError for an address that others can reach, if no token is set."""
    from hk_tick_collector.web.hosts import is_loopback

    try:
        address = some_address(given) if given is not None else loaded.settings.web_addr
    except ValueError as error:
        raise UsageError(f"--addr {given} {error}", hint="write it like 127.0.0.1:9110") from None
    if loaded.settings.web_token is None and not is_loopback(address.host):
        named = (
            f"--addr {given}"
            if given is not None
            else f"WEB_ADDR={as_text(address)} (from {loaded.origins['WEB_ADDR']})"
        )
        raise UsageError(
            f"{named} can be reached by other hosts, and WEB_TOKEN is empty",
            hint="set WEB_TOKEN to what this prints: openssl rand -hex 16; or keep 127.0.0.1:9110 and use"
            " ssh -L 9110:127.0.0.1:9110",
        )
    return address
