"""Defines every setting of the collector: name, unit, bounds, default and meaning.

An attribute of `Settings` is the setting's name in lower case; `FUTU_SYMBOLS` is `symbols`. To add a setting, add one
field here; `make docs` then says which generated file to refresh. Bounds refuse only values that cannot work. `load.py`
reads the settings and creates the error messages.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, TypeVar

from annotated_types import Ge, Le
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo

from hk_tick_collector.errors import UsageError

from . import symbols as symbol_lists
from . import values
from .values import Address

if TYPE_CHECKING:
    from collections.abc import Mapping

_INT32: Final = 2**31 - 1  # SQLite stores its settings in an int
_ROWS: Final = 10**9
_YEAR_S: Final = 31_536_000

T = TypeVar("T")


class Words(NamedTuple):
    """A text in English and in Traditional Chinese."""

    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class About:
    """The documentation of a setting."""

    text: Words
    unit: str = ""
    allowed: Words | None = None  # the allowed values, if they are not given by bounds
    default: Words | None = None  # the default, if it is not a constant
    example: str = ""  # the value in `.env.example`, if not the default
    secret: bool = False


@dataclass(slots=True)
class ValidationContext:
    """The context of the validation: it collects findings that are not errors."""

    warnings: list[str] = field(default_factory=list)  # one line each
    bad_symbols: list[symbol_lists.BadSymbol] = field(default_factory=list)  # left out; the others are collected


def _from_text(parse: Any) -> BeforeValidator:
    """Parses text. A value that is not text, as in tests, is not changed."""

    def parsed(value: object) -> object:
        if not isinstance(value, str):
            return value
        # The error for a path is more specific about invalid bytes.
        return parse(value if parse in (values.path, values.optional_path, values.place) else values.utf8(value))

    return BeforeValidator(parsed)


def _symbols(value: object, info: ValidationInfo) -> object:
    """Parses symbols. Duplicates and invalid entries are left out and recorded in the context."""
    if not isinstance(value, str):
        return value
    found = symbol_lists.read_symbols(value)
    if isinstance(info.context, ValidationContext):
        info.context.bad_symbols += found.bad
        if found.again:
            more = f" and {len(found.again) - 3} more" if len(found.again) > 3 else ""
            named = ", ".join(found.again[:3])
            info.context.warnings.append(f"FUTU_SYMBOLS names {named}{more} more than once; once is kept")
    return found.symbols


def _one_of(*names: str) -> BeforeValidator:
    def check(value: str) -> str:
        if value not in names:
            raise ValueError("is not one of them")
        return value

    return BeforeValidator(check)


def _instance(text: str) -> str:
    return values.instance_id(text) if text else _hostname()


def _hostname() -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()).strip("-._")[:64] or "collector"


_Whole = Annotated[int, _from_text(values.whole)]
_Decimal = Annotated[float, _from_text(values.decimal)]
_Directory = Annotated[Path, _from_text(values.path)]

_PATH: Final = Words("a path, relative to the current directory unless absolute", "路徑；相對路徑由目前目錄起算")
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
LANGUAGES: Final = ("en", "zh-Hant")
_SYNCHRONOUS: Final = ("NORMAL", "FULL", "EXTRA")


def locale_language(environ: Mapping[str, str]) -> str:
    """The language of the locale in `environ`: `zh-Hant` for a Chinese one, else `en`."""
    locale = next((environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(name)), "")
    return "zh-Hant" if locale.lower().startswith("zh") else "en"


def _among(names: tuple[str, ...]) -> Words:
    return Words(", ".join(names), "、".join(names))


_ARCHIVE_DIR: Final = About(
    Words(
        "where `archive` puts finished days; empty: they are not archived",
        "`archive` 存放已完結日子的地方；留空則不歸檔",
    ),
    allowed=Words("empty, a path, or s3://BUCKET/PREFIX", "留空、路徑，或 s3://BUCKET/PREFIX"),
)
_CERTIFICATE_KEY: Final = About(
    Words("private key that signs the certificates of archived days", "簽署歸檔證書的私鑰"),
    allowed=_PATH,
    default=Words("DATA_ROOT/.certificate_key", "DATA_ROOT/.certificate_key"),
    example="/data/sqlite/HK/.certificate_key",
)
_ALERT_HEARTBEAT_MIN: Final = About(
    Words("time between two heartbeat messages in trading hours; 0: none", "交易時段內心跳訊息的間隔；0 表示不發"),
    "min",
)
_DEADMAN_URL: Final = About(
    Words(
        "web address of an outside watcher, fetched each minute while status is not critical; empty: none",
        "外部監察的網址，status 並非 critical 時每分鐘存取一次；留空則不存取",
    ),
    allowed=Words("http:// or https:// address, or empty", "http:// 或 https:// 網址，或留空"),
    secret=True,
)

_WebAddress = Annotated[
    Address,
    _from_text(values.some_address),
    About(
        Words(
            "address of the page of `web`; port 0 takes a free one; one that others can reach needs WEB_TOKEN",
            "`web` 網頁的位址；連接埠 0 表示由系統選取；其他主機可連接的位址必須設定 WEB_TOKEN",
        ),
        allowed=Words("HOST:PORT, port 0 to 65535", "HOST:PORT（連接埠 0 至 65535）"),
    ),
]
_WebToken = Annotated[
    SecretStr | None,
    _from_text(values.token),
    About(
        Words("what a browser must know to see the page; empty: nothing", "瀏覽器查看網頁所需的權杖；留空則不需要"),
        allowed=Words(
            "16 to 128 ASCII characters without blanks, for example of `openssl rand -hex 16`; or empty",
            "16 至 128 個沒有空格的 ASCII 字元，例如 `openssl rand -hex 16` 的輸出；或留空",
        ),
        secret=True,
    ),
]
_WebHosts = Annotated[
    tuple[str, ...],
    _from_text(values.hosts),
    About(
        Words(
            "further names under which browsers may open the page, beside IP addresses and this host's own name",
            "除 IP 位址與本機名稱外，瀏覽器可用來開啟網頁的名稱",
        ),
        allowed=Words("host names separated by commas, or empty", "以逗號分隔的主機名稱，或留空"),
    ),
]

_StreamUrl = Annotated[
    tuple[str, ...],
    _from_text(values.stream_urls),
    About(
        Words(
            "NATS servers through which `publish`, `merge` and `tail` exchange ticks; empty: none",
            "`publish`、`merge` 與 `tail` 傳送 tick 所用的 NATS 伺服器；留空則不使用",
        ),
        allowed=Words(
            "addresses separated by commas, all nats://HOST:PORT or all tls://HOST:PORT, or empty",
            "以逗號分隔的位址，全部為 nats://HOST:PORT 或全部為 tls://HOST:PORT；或留空",
        ),
    ),
]
_StreamCreds = Annotated[
    Path | None,
    _from_text(values.optional_path),
    About(
        Words(
            "credentials file or nkey seed file for the NATS servers, which only owner and group may read; empty: none",
            "連接 NATS 伺服器的憑證檔或 nkey 種子檔，只可由擁有者與群組讀取；留空則不使用",
        ),
        allowed=Words("empty, or " + _PATH.en, "留空，或" + _PATH.zh),
    ),
]
_StreamCa = Annotated[
    Path | None,
    _from_text(values.optional_path),
    About(
        Words(
            "PEM file of the authorities that sign the certificates of the NATS servers; empty: those of the system",
            "簽發 NATS 伺服器證書的機構（PEM 檔）；留空則用系統所信任的機構",
        ),
        allowed=Words("empty, or " + _PATH.en, "留空，或" + _PATH.zh),
    ),
]
_INSTANCE_ID: Final = About(
    Words(
        "name of this host in alerts and metrics, and of the source that `publish` sends, which has no '.'",
        "告警與指標中本主機的名稱，亦是 `publish` 的來源名稱，後者不可有「.」",
    ),
    allowed=Words(
        "1 to 64 letters, digits, '.', '_' and '-'; empty: the host's name",
        "1 至 64 個英文字母、數字、「.」「_」「-」；留空即主機名稱",
    ),
    default=Words("the host's name", "主機名稱"),
    example="collector-1",
)
_PublishPollMs = Annotated[
    _Whole,
    Ge(1),
    Le(60_000),
    About(
        Words("time between two reads of the day files by `publish`", "`publish` 兩次讀取日檔的間隔"),
        "ms",
        default=Words("half of MAX_WAIT_MS, 5 to 50", "MAX_WAIT_MS 的一半，5 至 50"),
        example="50",
    ),
    Field(default_factory=lambda known: min(max(known["max_wait_ms"] // 2, 5), 50)),
]
_MergeRoot = Annotated[
    Path | None,
    _from_text(values.optional_path),
    About(
        Words(
            "directory of the day files that `merge` writes, another one than DATA_ROOT; empty: `--to` names it",
            "`merge` 寫入日檔的目錄，不可與 DATA_ROOT 相同；留空則由 `--to` 指定",
        ),
        allowed=Words("empty, or " + _PATH.en, "留空，或" + _PATH.zh),
    ),
]


class Settings(BaseModel):
    """All settings in force, parsed and checked."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=str.upper, populate_by_name=True)

    # OpenD
    futu_host: Annotated[
        str,
        _from_text(values.host),
        About(
            Words("host of OpenD", "OpenD 所在主機"),
            allowed=Words("a host name or an IP address", "主機名稱或 IP 位址"),
        ),
    ] = "127.0.0.1"
    futu_port: Annotated[_Whole, Ge(1), Le(65535), About(Words("port of OpenD", "OpenD 的連接埠"))] = 11111
    futu_rsa_key: Annotated[
        Path | None,
        _from_text(values.optional_path),
        About(
            Words(
                "PEM file of the RSA key that OpenD encrypts with; empty: plain",
                "OpenD 加密用 RSA 私鑰的 PEM 檔；留空則不加密",
            ),
            allowed=Words("empty, or " + _PATH.en, "留空，或" + _PATH.zh),
        ),
    ] = None
    symbols: Annotated[
        tuple[str, ...],
        BeforeValidator(_symbols),
        Field(alias="FUTU_SYMBOLS"),
        About(
            Words("symbols to collect; `run` needs one at least", "要收集的股票；`run` 至少需要一隻"),
            allowed=Words(
                f"up to {symbol_lists.MAX_SYMBOLS} like HK.00700,HK.00981, or @FILE with one a line",
                f"最多 {symbol_lists.MAX_SYMBOLS} 隻，如 HK.00700,HK.00981；或 @FILE（每行一隻）",
            ),
            example="HK.00700,HK.09988",
        ),
    ] = ()

    # Where data goes
    data_root: Annotated[
        _Directory,
        About(
            Words(
                "directory of the day files; default without FUTU_SYMBOLS: MERGE_ROOT, if that is set",
                "日檔所在目錄；沒有 FUTU_SYMBOLS 而設定了 MERGE_ROOT 時，預設為 MERGE_ROOT",
            ),
            allowed=_PATH,
        ),
    ] = Path("/data/sqlite/HK")
    spool_dir: Annotated[
        _Directory,
        About(
            Words("where received ticks wait when they cannot be stored", "暫時無法寫入的 tick 的暫存目錄"),
            allowed=_PATH,
            default=Words("DATA_ROOT/.spool", "DATA_ROOT/.spool"),
            example="/data/sqlite/HK/.spool",
        ),
        Field(default_factory=lambda known: known["data_root"] / ".spool"),
    ]
    snapshot_dir: Annotated[
        _Directory,
        About(
            Words("where snapshots go", "快照目錄"),
            allowed=_PATH,
            default=Words("DATA_ROOT", "DATA_ROOT"),
            example="/data/sqlite/HK",
        ),
        Field(default_factory=lambda known: known["data_root"]),
    ]
    archive_dir: Annotated[str | None, _from_text(values.place), _ARCHIVE_DIR] = None
    certificate_key: Annotated[
        _Directory, _CERTIFICATE_KEY, Field(default_factory=lambda known: known["data_root"] / ".certificate_key")
    ]

    # Queue and batches
    batch_rows: Annotated[
        _Whole, Ge(1), Le(_ROWS), About(Words("most rows of one commit", "單次提交的最多列數"), "rows")
    ] = 50_000
    max_wait_ms: Annotated[
        _Whole,
        Ge(1),
        Le(_INT32),
        About(Words("longest wait of a tick for its commit", "tick 等待提交的最長時間"), "ms"),
    ] = 200
    max_queue_rows: Annotated[
        _Whole,
        Ge(1),
        Le(_ROWS),
        About(
            Words(
                "most ticks waiting in memory, which take 400 MB a million",
                "記憶體佇列最多可等待的 tick 數，每一百萬筆佔 400 MB",
            ),
            "rows",
        ),
    ] = 1_000_000
    stop_flush_timeout_sec: Annotated[
        _Decimal,
        Ge(0.001),
        Le(_YEAR_S),
        About(Words("longest wait for the last commit at a stop", "停止時等待寫完的最長時間"), "s"),
    ] = 20.0

    # Reconnecting
    reconnect_min_delay: Annotated[
        _Decimal,
        Ge(0.001),
        Le(_YEAR_S),
        About(Words("first wait before connecting again", "重新連線前的最短等待"), "s"),
    ] = 0.2
    reconnect_max_delay: Annotated[
        _Decimal,
        Ge(0.001),
        Le(_YEAR_S),
        About(Words("longest wait before connecting again", "重新連線前的最長等待"), "s"),
    ] = 1.5

    # Watchdog
    watchdog_stall_sec: Annotated[
        _Decimal,
        Ge(1),
        Le(_YEAR_S),
        About(
            Words(
                "nothing committed for this long, with a full queue, is a stall",
                "佇列已達門檻，且此時間內沒有提交，即視為停滯",
            ),
            "s",
        ),
    ] = 180.0
    watchdog_queue_threshold_rows: Annotated[
        _Whole, Ge(1), Le(_ROWS), About(Words("queue from which a stall counts", "開始判斷停滯的佇列長度"), "rows")
    ] = 50_000
    watchdog_recovery_max_failures: Annotated[
        _Whole,
        Ge(1),
        Le(_INT32),
        About(Words("failed recoveries before the service restarts", "恢復失敗幾次後重啟服務"), "times"),
    ] = 3

    # SQLite
    sqlite_busy_timeout_ms: Annotated[
        _Whole,
        Ge(1),
        Le(_INT32),
        About(Words("wait for a lock before backing off", "等待鎖的時間，逾時才退避重試"), "ms"),
    ] = 5000
    sqlite_synchronous: Annotated[
        str,
        _one_of(*_SYNCHRONOUS),
        About(
            Words(
                "durability of a commit; NORMAL may lose the newest commits at a power loss",
                "提交的持久性；NORMAL 於斷電時可能遺失最新的提交",
            ),
            allowed=_among(_SYNCHRONOUS),
        ),
    ] = "FULL"
    sqlite_wal_autocheckpoint: Annotated[
        _Whole,
        Ge(1),
        Le(_INT32),
        About(Words("WAL length that starts a checkpoint", "觸發 checkpoint 的 WAL 長度"), "pages"),
    ] = 4000

    # Health
    health_interval_sec: Annotated[
        _Decimal, Ge(1), Le(_YEAR_S), About(Words("time between two health lines", "health 日誌的間隔"), "s")
    ] = 60.0
    lag_critical_sec: Annotated[
        _Decimal,
        Ge(1),
        Le(_YEAR_S),
        About(Words("lag of the newest stored tick that is critical", "最新 tick 落後多久屬嚴重"), "s"),
    ] = 300.0
    drift_warn_sec: Annotated[
        _Decimal,
        Ge(0.001),
        Le(_YEAR_S),
        About(Words("clock difference to OpenD that is warned of", "本機與 OpenD 時鐘相差多少即警告"), "s"),
    ] = 2.0
    disk_min_free_mb: Annotated[
        _Whole,
        Ge(0),
        Le(_INT32),
        About(Words("free space below which the disk is warned of", "磁碟剩餘空間低於此值即警告"), "MiB"),
    ] = 2048

    # What others see
    metrics_addr: Annotated[
        Address | None,
        _from_text(values.address),
        About(
            Words(
                "where Prometheus reads metrics; port 0 takes a free one, empty: off",
                "Prometheus 指標位址；連接埠 0 表示由系統選取，留空則關閉",
            ),
            allowed=Words("HOST:PORT, port 0 to 65535, or empty", "HOST:PORT（連接埠 0 至 65535），或留空"),
        ),
    ] = Address("127.0.0.1", 9108)
    alert_urls: Annotated[
        tuple[SecretStr, ...],
        _from_text(values.urls),
        About(
            Words("where alerts go, as Apprise URLs; empty: nowhere", "告警目的地（Apprise URL）；留空則不發"),
            allowed=Words("URLs separated by blanks or commas, or empty", "以空格或逗號分隔的 URL，或留空"),
            secret=True,
        ),
    ] = ()
    alert_heartbeat_min: Annotated[_Whole, Ge(0), Le(1440), _ALERT_HEARTBEAT_MIN] = 0
    deadman_url: Annotated[SecretStr | None, _from_text(values.web_url), _DEADMAN_URL] = None
    web_addr: _WebAddress = Address("127.0.0.1", 9110)
    web_token: _WebToken = None
    web_hosts: _WebHosts = ()
    stream_url: _StreamUrl = ()
    stream_creds: _StreamCreds = None
    stream_ca: _StreamCa = None
    publish_poll_ms: _PublishPollMs
    merge_root: _MergeRoot = None
    instance_id: Annotated[
        str,
        _from_text(_instance),
        Field(default_factory=_hostname),
        _INSTANCE_ID,
    ]
    operator_lang: Annotated[
        str,
        _one_of(*LANGUAGES),
        About(
            Words(
                "language of status, alerts, doctor and logs --explain; by the locale (LC_ALL, LANG) when not set",
                "status、告警、doctor 與 logs --explain 的語言；沒有設定時按系統語言（LC_ALL、LANG）",
            ),
            allowed=_among(LANGUAGES),
        ),
    ] = "en"
    log_level: Annotated[
        str, _one_of(*_LEVELS), About(Words("least level of a log line", "日誌的最低級別"), allowed=_among(_LEVELS))
    ] = "INFO"

    def needed_symbols(self) -> tuple[str, ...]:
        """The symbols, for a verb that needs them. Raises UsageError if there are none."""
        if not self.symbols:
            raise UsageError("FUTU_SYMBOLS is empty", hint="set it to HK.00700,HK.00981 or to @FILE with one a line")
        return self.symbols


class Setting(NamedTuple):
    """A setting's definition, as `config` shows it."""

    name: str  # FUTU_PORT
    attribute: str  # futu_port
    about: About
    allowed: Words
    default: str | None  # as written in a file; None if `about.default` describes it


def _definitions() -> tuple[Setting, ...]:
    found = []
    for attribute, info in Settings.model_fields.items():
        about = next(item for item in info.metadata if isinstance(item, About))
        constant = None if about.default else as_text(info.get_default())
        found.append(
            Setting(info.alias or attribute.upper(), attribute, about, _allowed(about, info.metadata), constant)
        )
    return tuple(found)


def _allowed(about: About, metadata: list[Any]) -> Words:
    if about.allowed:
        return about.allowed
    low = next(as_text(item.ge) for item in metadata if isinstance(item, Ge))
    high = next(as_text(item.le) for item in metadata if isinstance(item, Le))
    return Words(f"{low} to {high}", f"{low} 至 {high}")


def as_text(value: object) -> str:
    """A setting's value as written in a file; of a secret only the URL scheme is shown."""
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        scheme, url, _ = value.get_secret_value().partition("://")
        return f"{scheme}://***" if url else "***"
    if isinstance(value, Address):
        return f"[{value.host}]:{value.port}" if ":" in value.host else f"{value.host}:{value.port}"
    if isinstance(value, tuple):
        return ",".join(map(as_text, value))
    return f"{value:.15g}" if isinstance(value, float) else str(value)


DEFINITIONS: Final = _definitions()
