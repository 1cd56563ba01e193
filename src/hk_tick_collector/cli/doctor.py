"""`doctor`: checks everything that must be right before the market opens, and gives a remedy for each failure."""

from __future__ import annotations

import ipaddress
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hk_tick_collector import __version__, clock, market
from hk_tick_collector.config import ENVIRONMENT, load_settings
from hk_tick_collector.errors import CollectorError, StoreError, UsageError
from hk_tick_collector.frames.extras import need
from hk_tick_collector.ops.doctor import files, opend
from hk_tick_collector.ops.doctor import host as check_host
from hk_tick_collector.ops.doctor.opend_probe import ask
from hk_tick_collector.ops.doctor.result import EXIT_CODES, Check, Outcome, failure, not_checked, ok, verdict, warning
from hk_tick_collector.ops.findings import remedies
from hk_tick_collector.ops.findings.remedies import is_command
from hk_tick_collector.ops.findings.words import ENGLISH, Words, cause_of, hint_of
from hk_tick_collector.ops.live.record import is_running
from hk_tick_collector.ops.live.systemd_unit import SERVICE

from ._merge_host import (
    check_merge_disk,
    check_merge_settings,
    merge_refusals,
    merges_only,
    root_of,
    version_that_runs,
)
from ._options import AsJson, EnvFile, today
from ._patience import demand_writable, in_child
from ._refused_settings import refusals, rsa_key
from ._service_report import live_status
from ._show import show, show_json
from ._stream_checks import check_streams
from ._terminal import in_colour, language_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hk_tick_collector.config import Loaded, Settings
    from hk_tick_collector.config.predecessor import Alerts, Former
    from hk_tick_collector.ops.live.status import LiveStatus

_COLOURS: Final = {Outcome.OK: "\33[32m", Outcome.NOT_CHECKED: "\33[2m", Outcome.WARNING: "\33[33m"}
_COLOURS_OF_FAILURE: Final = "\33[1;31m"


def doctor(env_file: EnvFile = None, as_json: AsJson = False) -> int:
    """Checks everything that must be right before the market opens, and gives a remedy for each failure.

    It changes nothing and does not disturb a running service. It opens one short connection to OpenD and never
    subscribes on it. Run it as root so that everything can be checked. Exit code 0 fine, 1 warning, 2 failure.

    \b
    Examples:
      sudo hk-tick-collector doctor
      hk-tick-collector doctor --env-file ./.env --json
    """
    checks: list[Check] = []
    colour = not as_json and in_colour(sys.stdout)
    lang = ENGLISH if as_json else language_on(sys.stdout, env_file)
    for check in _checks(env_file):
        checks.append(check)
        if not as_json:
            _print(check, lang, colour=colour)
    worst, line = verdict(checks, lang)
    if as_json:
        show_json({"verdict": worst, "line": line, "checks": [check.as_json() for check in checks]})
    else:
        show(line)
    return EXIT_CODES[worst]


def _print(check: Check, lang: str, *, colour: bool) -> None:
    text, to_do = check.words(lang)
    # The text after an arrow can be pasted as a command.
    mark = " -> " if is_command(to_do) else Words("; ", "；").of(lang)
    remedy = f"{mark}{to_do}" if to_do else ""
    style = _COLOURS.get(check.outcome, _COLOURS_OF_FAILURE) if colour else ""
    show(f"{check.name:16}{text}{remedy}", head=f"{check.outcome.upper():12}", style=style, flush=True)


def _checks(env_file: Path | None) -> Iterator[Check]:
    """All checks, each after those it depends on; a failed check does not stop the others."""
    account = files.service_account()
    yield files.check_caller(account)
    try:
        loaded = load_settings(env_file)
    except UsageError as error:
        seen = not isinstance(error.__cause__, PermissionError)
        yield (failure if seen else not_checked)("settings", cause_of(error), hint_of(error))
        loaded = None
    merges = loaded is not None and merges_only(loaded)
    wrong: dict[str, UsageError] = {}
    if loaded:
        settings, refused = loaded.settings, merge_refusals if merges else refusals
        with suppress(StoreError):  # a disk that does not answer is reported by a later check
            wrong = in_child(partial(refused, loaded), root_of(settings) if merges else settings.data_root)
        yield from _check_settings(loaded, account, wrong)
        yield from check_merge_disk(settings, account) if merges else _check_disk(settings, account, wrong)
    yield check_host.check_sqlite()
    yield check_host.check_programs()
    yield check_host.check_ntp()
    if merges:
        yield from check_host.check_merge_unit()
    else:
        yield from check_host.check_units(local_opend=loaded is None or _is_local(loaded.settings.futu_host))
    if loaded:
        running = _version_that_runs(loaded.settings, merges=merges)
        yield check_host.check_version(running, __version__, check_host.MERGE if merges else SERVICE)
        if not merges:
            yield from _check_opend(loaded, wrong)
        yield _check_metrics(loaded.settings, running=bool(running))
        yield _check_alerts(loaded.settings, wrong.get("ALERT_URLS"))
        yield _check_archive(loaded.settings)
        yield from check_streams(loaded.settings, account=account)
    else:
        text = Words(
            "data, OpenD, metrics, alerts and the archive cannot be checked without settings",
            "資料、OpenD、指標、告警與歸檔須有設定才能檢查",
        )
        yield not_checked("the rest", text, Words("see settings above", "見上面的 settings"))


def _check_settings(loaded: Loaded, account: files.Account, wrong: dict[str, UsageError]) -> Iterator[Check]:
    settings = loaded.settings
    given = sum(origin != "default" for origin in loaded.origins.values())
    where = loaded.env_file or ENVIRONMENT
    if merges_only(loaded):
        yield from check_merge_settings(loaded, wrong, given)
    elif no_symbols := wrong.get("FUTU_SYMBOLS"):
        example = "FUTU_SYMBOLS=HK.00700,HK.00981"
        remedy = Words(f"name symbols in {where}: {example}", f"在 {where} 列出股票：{example}")
        yield failure("settings", Words(str(no_symbols), "FUTU_SYMBOLS 沒有股票"), remedy)
    elif told := loaded.told(3):
        text = Words("; ".join(told), "；".join(loaded.told_zh(3)))
        yield warning("settings", text, remedies.CHECK_SETTINGS, urgent=bool(loaded.bad_symbols))
    else:
        count = f"{len(settings.symbols):,}"
        text = Words(
            f"{given} given, the rest default; {count} symbols", f"設定了 {given} 項，其餘用預設值；{count} 隻股票"
        )
        yield ok("settings", text)
    yield from _check_predecessor(loaded)
    if no_key := wrong.get("FUTU_RSA_KEY"):
        yield failure("RSA key", cause_of(no_key), hint_of(no_key))
    installed = (
        account.installed and loaded.env_file is not None and loaded.env_file.is_relative_to(check_host.INSTALLED)
    )
    secrets = bool(settings.alert_urls or loaded.predecessor.alerts)
    yield files.check_env_file(loaded.env_file, secrets=secrets, installed=installed)


def _check_disk(settings: Settings, account: files.Account, wrong: dict[str, UsageError]) -> list[Check]:
    try:
        demand_writable(settings.data_root)
        return in_child(lambda: list(_check_data(settings, account, wrong)), settings.data_root)
    except StoreError as error:
        return [failure("DATA_ROOT", cause_of(error), hint_of(error))]


def _check_predecessor(loaded: Loaded) -> Iterator[Check]:
    """The predecessor's settings that are still there, and the lines to paste."""
    found, where = loaded.predecessor, loaded.env_file or ENVIRONMENT
    if found.alerts and found.alerts.lines:
        either = Words(" or ".join(found.alerts.lines), " 或 ".join(found.alerts.lines))
        remedy = Words("write into {where}: {lines}", "寫入 {where}：{lines}").filled(where=where, lines=either)
        yield warning("old alerts", Words(found.alerts.line, found.alerts.line_zh), remedy)
    elif found.alerts and not found.alerts.done:
        text = Words(found.alerts.line, found.alerts.line_zh)
        yield warning("old alerts", text, Words(f"edit {where}", f"編輯 {where}"))
    done = [found.alerts] if found.alerts and found.alerts.done else []
    old: list[Former | Alerts] = [*found.former, *found.same_name, *done]
    if old:
        text = Words("; ".join(each.line for each in old), "；".join(each.line_zh for each in old))
        yield warning("old settings", text, found.removal(where))


def _check_data(settings: Settings, account: files.Account, wrong: dict[str, UsageError]) -> Iterator[Check]:
    root = settings.data_root
    waits = check_host.check_takeover()
    if waits:  # the files still belong to the predecessor; the first start takes them over
        yield waits
        yield files.check_file_system(root)
        yield files.check_space(root, today(), settings.disk_min_free_mb)
        yield files.check_damaged(root)
        return
    directories = {"DATA_ROOT": root, "SPOOL_DIR": settings.spool_dir, "SNAPSHOT_DIR": settings.snapshot_dir}
    for name, path in directories.items():
        if error := wrong.get(name):
            yield failure(name, cause_of(error), hint_of(error))
        elif name != "SNAPSHOT_DIR" or path != root:
            yield files.check_directory(name, path, account, made_by_service=name != "DATA_ROOT")
    yield files.check_file_system(root)
    yield files.check_files(root, account)
    yield files.check_locks(root, settings.spool_dir, today(), account)
    yield files.check_left_behind(settings.spool_dir, settings.snapshot_dir, account)
    yield files.check_space(root, today(), settings.disk_min_free_mb)
    yield files.check_day(root, today())
    yield files.check_damaged(root)
    yield files.check_predecessor(root)
    yield files.check_spool(settings.spool_dir, running=_running(settings) is not None)


def _check_opend(loaded: Loaded, wrong: dict[str, UsageError]) -> list[Check]:
    settings = loaded.settings
    if "FUTU_RSA_KEY" in wrong:
        text, see = Words("needs the RSA key", "須有 RSA 金鑰"), Words("see RSA key above", "見上面的 RSA key")
        return [not_checked(name, text, see) for name in ("OpenD", *opend.NAMES)]
    try:
        rsa = rsa_key(loaded)
        client_id = f"hk-tick-collector-{settings.instance_id}-doctor"
        answers = ask(settings.futu_host, settings.futu_port, client_id, rsa, settings.symbols)
    except CollectorError as error:
        return opend.check_away(error)
    day, drift_warn_s = market.day_number(clock.now_ms()), settings.drift_warn_sec
    ours = _subscribed(settings)
    live = _running(settings)
    return list(
        opend.check_answers(
            answers,
            settings.symbols,
            ours,
            drift_warn_s=drift_warn_s,
            today=day,
            reported=live.trouble if live and live.connected else None,
            refused=live.refused if live and live.connected else None,
        )
    )


def _subscribed(settings: Settings) -> int | None:
    """How many symbols the running service has subscribed; None if its live state cannot be read."""
    try:
        live_status(settings.data_root)
    except StoreError:
        return None
    live = _running(settings)
    return live.subscribed if live and live.connected else 0


def _version_that_runs(settings: Settings, *, merges: bool) -> str:
    """The version of the collector that runs here, or of the merge; empty if none does."""
    if merges:
        return version_that_runs(settings)
    live = _running(settings)
    return live.version if live else ""


def _check_metrics(settings: Settings, *, running: bool) -> Check:
    if settings.metrics_addr is None:
        return ok("metrics", Words("off: METRICS_ADDR is empty", "沒有開啟：METRICS_ADDR 是空的"))
    host, port = settings.metrics_addr
    return check_host.check_metrics(host, port, running=running)


def _check_alerts(settings: Settings, wrong: UsageError | None) -> Check:
    """The number of destinations and their kinds; the rest of a URL is secret."""
    if wrong:
        return failure("alerts", cause_of(wrong), hint_of(wrong))
    schemes = sorted({url.get_secret_value().partition("://")[0] for url in settings.alert_urls})
    if not schemes:
        return ok("alerts", Words("none are sent: ALERT_URLS is empty", "不會發出：ALERT_URLS 是空的"))
    count, kinds = len(settings.alert_urls), ", ".join(schemes)
    return ok("alerts", Words(f"{count} destinations: {kinds}", f"{count} 個目的地：{kinds}"))


def _check_archive(settings: Settings) -> Check:
    """Whether the daily run can begin: its packages and its directory are there. Nothing is contacted."""
    from hk_tick_collector.archive.addresses import place_at  # imported late, as by the verbs that need an archive

    where = settings.archive_dir
    if not where:
        return ok("archive", Words("off: ARCHIVE_DIR is empty", "沒有開啟：ARCHIVE_DIR 是空的"))
    try:
        need("pyarrow", "data")
        place_at(where)
        if "://" not in where:
            directory = Path(where)
            if not in_child(directory.is_dir, directory):
                text = Words(f"there is no directory {directory}", f"沒有目錄 {directory}")
                remedy = Words(
                    "create it, mount its disk, or correct ARCHIVE_DIR", "建立該目錄、掛載其磁碟，或更正 ARCHIVE_DIR"
                )
                return warning("archive", text, remedy)
    except CollectorError as error:
        return warning("archive", cause_of(error), hint_of(error))
    return ok("archive", Words(f"to {where}", f"存到 {where}"))


def _running(settings: Settings) -> LiveStatus | None:
    """The live state of a service that runs now with this DATA_ROOT."""
    try:
        live = live_status(settings.data_root)
    except StoreError:
        return None
    return live if live is not None and is_running(live, clock.now_ms()) else None


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
