"""A host that already runs the page, with another program: its account, files, unit and OpenD, made from what is known.

The other program is played by a few lines that store what the exchange makes, a second at a time, in its own tables.
"""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final

from tests import predecessor_files

from . import cargo

if TYPE_CHECKING:
    from .host import Host

HOME: Final = "/opt/futu_tick_downloader"
DATA: Final = "/data/sqlite/HK"
ACCOUNT: Final = "ticker"
OPEND: Final = "/opt/futu-opend"
OPEND_HOME: Final = "/home/futu"
DEVICE: Final = f"{OPEND_HOME}/.com.futunn.FutuOpenD/F3CNN/Device.dat"
TRUTH: Final = f"{OPEND_HOME}/truth"
_HKT: Final = timezone(timedelta(hours=8))
_OPENS: Final = [datetime.now(_HKT).replace(hour=9, minute=30) - timedelta(days=back) for back in (4, 3)]
EARLIER: Final = {f"{open_at:%Y%m%d}": int(open_at.timestamp()) * 1000 for open_at in _OPENS}  # 09:30 of each, UTC ms
ROWS: Final = 500  # with a sequence, and one more without

_COLLECTOR: Final = f"""
import pathlib, signal, sqlite3, sys, time
sys.path.insert(0, "{HOME}")
import predecessor_files

def row(line):
    symbol, seq, ts_ms, price, volume, turnover, direction, tick_type = line.rstrip("\\n").split("\\t")
    tick = (symbol, int(seq), int(ts_ms), float(price), int(volume), float(turnover), direction, tick_type, "", now_ms)
    tick += None, None
    return predecessor_files.as_predecessors(tick, day)

ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
day = time.strftime("%Y%m%d", time.gmtime(time.time() + 8 * 3600))
path = pathlib.Path("{DATA}", day + ".db")
db = sqlite3.connect(path) if path.exists() else predecessor_files.begin_file(path)
while not pathlib.Path("{TRUTH}").exists():
    time.sleep(0.2)
truth = open("{TRUTH}", encoding="ascii")
stored = set(db.execute("SELECT symbol, seq FROM ticks"))  # it may have been started before
waiting = ""
while True:
    now_ms = time.time_ns() // 1_000_000
    waiting += truth.read()
    whole, _, waiting = waiting.rpartition("\\n")
    rows = [row(line) for line in whole.splitlines() if line]
    predecessor_files.insert(db, [each for each in rows if (each["symbol"], each["seq"]) not in stored])
    if ended:
        break
    time.sleep(1)
db.close()
"""
_UNIT: Final = f"""
[Unit]
Description=HK tick collector
After=network-online.target futu-opend.service
[Service]
User={ACCOUNT}
WorkingDirectory={HOME}
EnvironmentFile={HOME}/.env
ExecStart={HOME}/.venv/bin/python -m collector
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
"""
_OPEND_UNIT: Final = f"""
[Unit]
Description=Futu OpenD
[Service]
User=futu
WorkingDirectory={OPEND}
ExecStart={OPEND}/FutuOpenD -cfg_file={OPEND}/FutuOpenD.xml
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
"""
_SETTINGS: Final = f"""FUTU_HOST=127.0.0.1
FUTU_PORT=11111
FUTU_SYMBOLS={",".join(cargo.SYMBOLS)}
DATA_ROOT={DATA}
INSTANCE_ID=
BATCH_SIZE=500
MAX_WAIT_MS=1000
MAX_QUEUE_SIZE=20000
FUTU_POLL_ENABLED=1
FUTU_POLL_INTERVAL_SEC=3
BACKFILL_N=500
CHECK_INTERVAL_SEC=5
SQLITE_JOURNAL_MODE=WAL
SQLITE_SYNCHRONOUS=NORMAL
PERSIST_RETRY_MAX_ATTEMPTS=0
WATCHDOG_STALL_SEC=180
WATCHDOG_QUEUE_THRESHOLD_ROWS=100
WATCHDOG_UPSTREAM_WINDOW_SEC=60
HEALTH_INTERVAL_SEC=900
DRIFT_WARN_SEC=120
TG_BOT_TOKEN=123456789:abcdefghijklmnopqrstuvwxyz123456789
TG_CHAT_ID=-1001234567890
TELEGRAM_DIGEST_INTERVAL_SEC=600
"""


def bring(host: Host) -> None:
    """All of it but accounts and rights, on the disk of a machine that is off."""
    cargo.bring(host, opend=OPEND, truth=TRUTH, device=DEVICE)
    home = host.path(HOME)
    (home / "scripts").mkdir(parents=True)
    (home / "scripts/db_health_check.sh").write_text("exit 1\n", "ascii")
    (home / ".venv/bin").mkdir(parents=True)
    (home / ".venv/bin/python").symlink_to("/usr/bin/python3")
    (home / "collector.py").write_text(_COLLECTOR, "ascii")
    shutil.copy(predecessor_files.__file__, home / "predecessor_files.py")
    (home / ".env").write_text(_SETTINGS, "ascii")
    host.path("/etc/systemd/system/hk-tick-collector.service").write_text(_UNIT, "ascii")
    host.path("/etc/systemd/system/futu-opend.service").write_text(_OPEND_UNIT, "ascii")
    data = host.path(DATA)
    data.mkdir(parents=True)
    for day, open_ms in EARLIER.items():
        rows = [predecessor_files.as_predecessors(_tick(open_ms, n), day) for n in range(1, ROWS + 1)]
        other = predecessor_files.as_predecessors(_tick(open_ms, ROWS + 1), day, seq=None)
        predecessor_files.write_file(data / f"{day}.db", [*rows, other])


def start(host: Host) -> None:
    """Accounts and rights on the booted machine, and its two services."""
    host.run(f"useradd --create-home {ACCOUNT} && useradd --create-home futu && chmod 0755 {OPEND_HOME}")
    host.run(f"mkdir -p {DEVICE.rpartition('/')[0]} && echo device > {DEVICE} && chown -R futu:futu {OPEND_HOME}")
    host.run(f"chown -R {ACCOUNT}:{ACCOUNT} {HOME} {DATA} && chmod 0775 {HOME} && chmod 0600 {HOME}/.env")
    host.run("systemctl daemon-reload && systemctl enable --now futu-opend hk-tick-collector")


def _tick(open_ms: int, n: int) -> tuple[str, int, int, float, int, float, str, str, str, int, None, None]:
    ts_ms = open_ms + 1000 * n
    seq = (ts_ms // 1000) << 32 | n
    return ("HK.00700", seq, ts_ms, 400.2, 100, 40_020.0, "BUY", "AUTO_MATCH", "realtime", ts_ms + 300, None, None)
