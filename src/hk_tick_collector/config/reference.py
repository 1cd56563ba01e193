"""The documents that are made from the definitions: `.env.example` and docs/configuration.md. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .settings import DEFINITIONS

if TYPE_CHECKING:
    from .settings import Setting


def env_example() -> str:
    """A settings file that works as it is: every setting with its meaning, defaults commented out."""
    head = (
        "# Settings of hk-tick-collector, read by systemd (EnvironmentFile=) and by the command line alike.\n"
        "# One KEY=VALUE a line, no quotes, no blanks around the value; # begins a comment in the first column only.\n"
        "# The environment wins over this file. `hk-tick-collector config` shows what is in force and from where.\n"
    )
    return head + "".join(_example(setting) for setting in DEFINITIONS)


def _example(setting: Setting) -> str:
    about = setting.about
    unit = f" [{about.unit}]" if about.unit else ""
    unset = "" if setting.attribute == "symbols" else "#"  # without symbols nothing is collected
    line = f"{unset}{setting.name}={about.example or setting.default}"
    return f"\n# {about.text.en}{unit}\n# allowed: {setting.allowed.en}\n{line}\n"


def markdown() -> str:
    """The page of all settings, in Traditional Chinese."""
    rows = "\n".join(map(_row, DEFINITIONS))
    return f"""# 設定

<!-- 由 hk-tick-collector config --markdown 產生，請勿手改；說明寫在 src/hk_tick_collector/config/settings.py -->

設定來自環境變數或 `.env`。讀檔次序：`--env-file` 指定的檔案，否則 `./.env`，否則 `/opt/futu_tick_downloader/.env`；
三者皆無亦可。以 root 執行時只讀最後一個；未安裝、而 `./.env` 只有 root 可改時才讀它，
否則警告，要讀即以 `--env-file` 指明。同一名稱以環境變數為準。目前生效的值與其來源：

```bash
hk-tick-collector config
```

## 檔案格式

systemd（`EnvironmentFile=`）與命令列讀同一個檔案，因此凡兩者可能讀法不同的一行一律拒絕，並指出檔名與行號：

- 每行一個 `KEY=VALUE`；`#` 只在行首表示註解；可有空行。
- 不可有引號開頭的值、反斜線、`export`、`;` 註解、行首空白、`=` 或值兩旁的空白、重複的名稱。
- 檔案為 UTF-8（無 BOM），Unix 換行。

值錯誤、某行寫法有誤，或出現未知的 `FUTU_`、`SQLITE_`、`WATCHDOG_` 名稱，啟動即停止（結束碼 2），
並一次過列出所有錯處，每項說明名稱、值、來源與可用範圍。
屬於別人的名稱除外：`WATCHDOG_USEC`、`WATCHDOG_PID`（systemd）、`SQLITE_TMPDIR`、`SQLITE_HISTORY`（SQLite）。
檔案內其他未知名稱（如 `TZ`、`HTTPS_PROXY`）不受影響；若與某設定相近則提出警告。

`FUTU_SYMBOLS` 之中不是股票代號的，只影響自己：指出檔案、行號與可能的正確寫法
（`700`、`00700`、`hk.00700` → `HK.00700`），其餘照常收集；`status` 一直報 `bad_symbols`，直至改正並重啟。
一隻正確的都沒有才不啟動。

修改後先檢查，沒有錯才重啟：

```bash
sudo hk-tick-collector config --check
sudo systemctl restart hk-tick-collector
```

`config --check` 逐行列出錯誤（檔案:行號、值、可用範圍），結束碼 0 為全部正確、2 為有行須改；它不影響運行中的服務。
`sudo systemctl reload hk-tick-collector` 以服務本身的帳戶與權限做同一檢查
（結果在 `journalctl -u hk-tick-collector`），**不會套用設定**。
路徑須為 UTF-8；目錄名稱若是 GBK、Big5 等編碼，啟動時即拒絕，請改名。

## 原有程式的設定

同一主機若曾運行另一個收集程式（`.env`、服務名稱與日檔名稱相同），其設定不會令啟動停止：

- 原有程式才有的名稱（如 `FUTU_POLL_*`、`BATCH_SIZE`、`PERSIST_RETRY_*`、`TG_*`）在此不起作用。
  `run` 啟動時在日誌、`config` 與 `doctor` 在終端機逐一說明各項的下落，並給出移除這些設定的命令
  （原檔另存為 `.env.predecessor`，內含密鑰，用畢請刪除）。
- 名稱相同但意義不同、而值是原有程式預設值的（`HEALTH_INTERVAL_SEC=900`、`DRIFT_WARN_SEC=120`、
  `WATCHDOG_QUEUE_THRESHOLD_ROWS=100` 等）照樣生效，但會提出警告。
- `TG_TOKEN`（或 `TG_BOT_TOKEN`）、`TG_CHAT_ID`、`TG_MESSAGE_THREAD_ID`：`config` 與 `doctor` 印出一行可直接貼上的
  `ALERT_URLS=tgram://…`。未貼上之前不會發出任何告警。日誌不會印出 token。

```bash
sudo hk-tick-collector config
```

## 所有設定

| 名稱 | 說明 | 預設 | 單位 | 可用範圍 |
|---|---|---|---|---|
{rows}

## 互相牽制的設定

`RECONNECT_MIN_DELAY` 不可大於 `RECONNECT_MAX_DELAY`，`WATCHDOG_QUEUE_THRESHOLD_ROWS` 不可大於 `MAX_QUEUE_ROWS`。
只設定其中一個時，另一個的預設值會隨之移動；兩個都設定而互相矛盾則拒絕啟動。

## 股票清單

`FUTU_SYMBOLS` 以逗號分隔，或 `@FILE` 指向一個檔案：每行一隻，`#` 之後為註解，可有空行。
相對路徑由目前目錄起算，正式環境請寫絕對路徑。重複的股票只保留一隻並提出警告。
"""


def _row(setting: Setting) -> str:
    about = setting.about
    default = about.default.zh if about.default else f"`{setting.default}`" if setting.default else "（空）"
    return f"| `{setting.name}` | {about.text.zh} | {default} | {about.unit} | {setting.allowed.zh} |"
