"""The verb `alerts`: sends a test message, mutes findings for a time, lists what is muted and what is open."""

from __future__ import annotations

import difflib
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hk_tick_collector import clock
from hk_tick_collector.errors import BusyFileError, StoreError, UsageError
from hk_tick_collector.ops.findings.registry import REGISTRY
from hk_tick_collector.ops.findings.words import ENGLISH, Words
from hk_tick_collector.ops.live.record import is_running
from hk_tick_collector.store.rights import user_name

from . import _alert_list as alert_list
from ._options import AsJson, EnvFile, settings_in_force
from ._patience import Disk
from ._service_report import live_status
from ._show import show, show_json
from ._stream_report import merge_of
from ._terminal import language_on

if TYPE_CHECKING:
    from hk_tick_collector.config import Settings
    from hk_tick_collector.ops.alerts.mutes import Mute

_DURATION: Final = re.compile(r"([1-9][0-9]{0,5})(m|h|d)")
_UNIT_MS: Final = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
_FOLLOWS_S: Final = 5.0  # the service reads the file every second
_NOBODY: Final = 2**32 - 1  # a login uid that was never set
_ACCEPTED: Final = Words("{to}  accepted in {took_s:.1f} s{answer}", "{to}  已接收，{took_s:.1f} 秒{answer}")
_REFUSED: Final = Words("{to}  FAILED after {took_s:.1f} s: {answer}", "{to}  失敗，{took_s:.1f} 秒：{answer}")
_ALL_ACCEPTED: Final = Words(
    "{count} of {count} destinations accepted the message: look whether it has arrived",
    "{count} 個目的地均已接收：請看訊息是否送達",
)
_SOME_REFUSED: Final = Words(
    "{failed} of {count} destinations did not accept the message: docs/alerts.md has the form of each URL",
    "{count} 個目的地中有 {failed} 個沒有接收：URL 的寫法見 docs/alerts.md",
)
_IN_FORCE: Final = Words("the running service has read it", "運行中的服務已生效")
_NOT_YET: Final = Words(
    "the running service has not read it within {seconds:.0f} s -> hk-tick-collector alerts --list",
    "運行中的服務在 {seconds:.0f} 秒內仍未生效 -> hk-tick-collector alerts --list",
)
_MERGE_FOLLOWS: Final = Words("the running merge follows within two seconds", "運行中的 merge 於兩秒內生效")
_NOT_RUNNING: Final = Words("the service does not run; it will read it at its start", "服務沒有運行；啟動時生效")
_STILL_SHOWN: Final = Words(
    "status, metrics and the log show muted findings as before", "status、指標與日誌仍照常顯示已靜音的 finding"
)


def alerts(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[URL|FINDING]", help="--test: a URL instead of ALERT_URLS; --mute, --unmute: one finding"
        ),
    ] = None,
    test: Annotated[bool, typer.Option("--test", help="send a test message and say what came back")] = False,
    mute: Annotated[
        str | None, typer.Option("--mute", metavar="TIME", help="send nothing for this time: 30m, 1h, 2d; at most 7d")
    ] = None,
    unmute: Annotated[bool, typer.Option("--unmute", help="end a mute, or all of them")] = False,
    list_: Annotated[bool, typer.Option("--list", help="what is muted and what is open; the default")] = False,
    failed: Annotated[str | None, typer.Option("--failed", metavar="HOW", hidden=True)] = None,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Sends a test message, mutes findings for a time, lists what is muted and what is open.

    --test sends a real message to each destination of ALERT_URLS, or to a URL, and says for each what came back. A URL
    on the command line can be seen by other users of this host while the command runs.

    --mute sends no alerts about one FINDING, or about any, until the time is over; --unmute ends that. The running
    service follows within two seconds, and a restart keeps it. Findings stay in status. The codes are those of status
    --json, alerts and docs/troubleshooting.md. Only root and the service's account may mute.

    Exit code 0 done, or every destination took the message; 1 one did not, or an error; 2 wrong usage.

    \b
    Examples:
      sudo hk-tick-collector alerts --test
      hk-tick-collector alerts --test json://127.0.0.1:8080/hook
      sudo hk-tick-collector alerts --mute 1h opend_away
      sudo hk-tick-collector alerts --unmute
      hk-tick-collector alerts --list
    """
    chosen = [name for name, given in _given(test, mute, unmute, list_, failed).items() if given]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} exclude each other", hint="see hk-tick-collector alerts --help")
    if what is not None and not (test or mute or unmute):
        raise UsageError(f"{what!r} needs --test, --mute or --unmute", hint="see hk-tick-collector alerts --help")
    if failed is not None:
        from ._failed_service import send_notice

        send_notice(failed, env_file)
        return
    lang = ENGLISH if as_json else language_on(sys.stdout, env_file)
    settings = settings_in_force(env_file)
    if test:
        _test(settings, what, lang, as_json=as_json)
    elif mute is not None:
        _mute(settings, _duration_ms(mute), _finding(what), lang, as_json=as_json)
    elif unmute:
        _mute(settings, 0, _finding(what), lang, as_json=as_json)
    else:
        _list(settings, lang, as_json=as_json)


def _given(test: bool, mute: str | None, unmute: bool, list_: bool, failed: str | None) -> dict[str, bool]:
    return {
        "--test": test,
        "--mute": mute is not None,
        "--unmute": unmute,
        "--list": list_,
        "--failed": failed is not None,
    }


def _test(settings: Settings, url: str | None, lang: str, *, as_json: bool) -> None:
    from hk_tick_collector.ops.alerts.destination import open_destinations, send_test

    urls = [url] if url else [each.get_secret_value() for each in settings.alert_urls]
    if not urls:
        raise UsageError("ALERT_URLS is empty: there is no destination", hint="hk-tick-collector alerts --test URL")
    tested = send_test(
        open_destinations(urls, name="ALERT_URLS" if url is None else "--test"), settings.instance_id, lang
    )
    refused = sum(not each.accepted for each in tested)
    if as_json:
        results = [
            {"to": each.label, "accepted": each.accepted, "answer": each.answer, "seconds": round(each.took_s, 3)}
            for each in tested
        ]
        show_json({"accepted": not refused, "destinations": results})
    else:
        for each in tested:
            answer = f": {each.answer}" if each.accepted and each.answer else each.answer
            words = (_ACCEPTED if each.accepted else _REFUSED).filled(to=each.label, took_s=each.took_s, answer=answer)
            show(words.of(lang))
        summary = _SOME_REFUSED if refused else _ALL_ACCEPTED
        show(summary.filled(failed=refused, count=len(tested)).of(lang))
    if refused:
        raise typer.Exit(1)


def _duration_ms(text: str) -> int:
    from hk_tick_collector.ops.alerts.mutes import LEAST_MS, MOST_MS

    match = _DURATION.fullmatch(text)
    duration_ms = int(match[1]) * _UNIT_MS[match[2]] if match else 0
    if not LEAST_MS <= duration_ms <= MOST_MS:
        raise UsageError(f"--mute {text} is not a time", hint="allowed are 1m to 7d, like 30m, 1h or 2d")
    return duration_ms


def _finding(code: str | None) -> str | None:
    """The code of a finding, None for all. UsageError for a code that does not exist."""
    from hk_tick_collector.ops.alerts.mutes import EVERYTHING

    if code == EVERYTHING:  # as the log and status.json call them
        return None
    if code is None or REGISTRY.defines(code.replace("opend_program_", "opend_")):
        return code
    codes = [spec.code for spec in REGISTRY]
    near = difflib.get_close_matches(code, codes, n=1, cutoff=0)[0]
    raise UsageError(
        f"there is no finding {code!r}", hint=f"the nearest is {near}; hk-tick-collector status --json has the codes"
    )


def _mute(settings: Settings, duration_ms: int, code: str | None, lang: str, *, as_json: bool) -> None:
    """Mutes a finding, or all of them, for this time; 0 ends the mute of the finding, or every mute."""
    from hk_tick_collector.ops.alerts.mutes import EVERYTHING, Mute, change_mutes

    root, disk = settings.data_root, Disk()
    live = live_status(root, disk)
    merge = merge_of(root, disk) if live is None else None
    if live is None and merge is None:
        raise StoreError(
            f"no collector has run for DATA_ROOT={root} (no status.json)", hint="sudo systemctl start hk-tick-collector"
        )
    path, now_ms = alert_list.mutes_path(root, live), clock.now_ms()
    wanted = code or EVERYTHING

    def edit(mutes: list[Mute]) -> list[Mute]:
        if not duration_ms and code is None:
            return []
        others = [mute for mute in mutes if mute.code != wanted]
        return [*others, Mute(wanted, now_ms, now_ms + duration_ms, _who())] if duration_ms else others

    command = f"--mute {duration_ms // 60_000}m" if duration_ms else "--unmute"
    try:
        mutes = disk.read(lambda: change_mutes(path, edit, now_ms), path.parent)
    except BusyFileError:
        raise
    except StoreError as error:
        again = " ".join(filter(None, ["sudo hk-tick-collector alerts", command, code]))
        raise StoreError(str(error), hint=error.hint or again) from None
    reported = live or merge
    runs = reported is not None and is_running(reported, clock.now_ms())
    until_ms = now_ms + duration_ms if duration_ms else None
    followed = runs and live is not None and _is_in_force(root, code if until_ms is None else wanted, until_ms, disk)
    if as_json:
        show_json({"mutes": alert_list.mutes_document(mutes), "service_runs": runs, "in_force": followed})
        return
    for line in alert_list.mute_lines(mutes, now_ms):
        show(line.of(lang))
    line = _IN_FORCE if followed else _NOT_YET.filled(seconds=_FOLLOWS_S) if runs else _NOT_RUNNING
    if runs and merge is not None:
        line = _MERGE_FOLLOWS
    show(line.of(lang))
    if mutes:
        show(_STILL_SHOWN.of(lang))


def _is_in_force(data_root: Path, code: str | None, until_ms: int | None, disk: Disk) -> bool:
    """Whether the live state shows this change within moments: the mute of `code`, its end if there is no `until_ms`,
    the end of all mutes without a code. What other commands changed meanwhile does not matter.
    """
    deadline_s = time.monotonic() + _FOLLOWS_S
    while time.monotonic() < deadline_s:
        live = live_status(data_root, disk)
        if live and (live.alerts_muted.get(code) == until_ms if code else not live.alerts_muted):
            return True
        time.sleep(0.1)
    return False


def _who() -> str:
    """The account that logged in, also under sudo; else that of this process."""
    try:
        uid = int(Path("/proc/self/loginuid").read_text("ascii"))
    except (OSError, ValueError):
        uid = _NOBODY
    return user_name(os.getuid() if uid == _NOBODY else uid)[:64]


def _list(settings: Settings, lang: str, *, as_json: bool) -> None:
    found = alert_list.listed(settings, Disk())
    if as_json:
        show_json(alert_list.document(found))
        return
    for line in alert_list.lines(found, lang):
        show(line)
