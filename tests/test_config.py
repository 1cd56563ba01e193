"""The settings: a file means the same to systemd or is refused, values are exact, messages name all that is needed."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hk_tick_collector.config import (
    DEFINITIONS,
    Address,
    as_text,
    environment_without_settings,
    load_rest,
    load_settings,
    object_store_variables,
    settings_tables,
    systemd_environment,
)
from hk_tick_collector.config.envfile import read_env_file
from hk_tick_collector.errors import UsageError

# --- a model of systemd's reader, written from its documentation and behaviour, to compare ours with ---


def systemd_reads(data: bytes, *, joins_comments: bool) -> dict[str, str] | None:
    """What `EnvironmentFile=` makes of a file; None where systemd refuses all of it.

    `joins_comments` is systemd before version 254: a comment's last backslash takes in the next line.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    if "\0" in text:
        return None
    found: dict[str, str] = {}
    rest = text
    while rest := rest.lstrip(" \t\n\r"):
        if rest[0] in "#;":
            comment = r"(?:\\.|[^\\\n\r])*\\?" if joins_comments else r"(?:\\[^\n\r]|[^\\\n\r])*\\?"
            match = re.match(comment, rest, re.DOTALL)
            assert match
            rest = rest[match.end() :]
            continue
        match = re.match(r"[^=\n\r]*", rest)
        assert match
        key, rest = match[0].rstrip(" \t"), rest[match.end() :]
        if rest[:1] == "=":
            value, rest = systemd_value(rest[1:])
            if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", key) and not re.search("[\x01-\x08\x0b-\x1f\x7f]", value):
                found[key] = value
    return found


def systemd_value(rest: str) -> tuple[str, str]:
    """The value after a `=`, and the text that follows it."""
    value, rest = "", rest.lstrip(" \t")
    while rest[:1] in ("'", '"') and rest:  # quoted parts, blanks between them ignored
        pattern = r"'([^']*)(?:'|\Z)" if rest[0] == "'" else r'"((?:\\.|[^"\\])*)(?:"|\\?\Z)'
        match = re.match(pattern, rest, re.DOTALL)
        assert match
        part = match[1]
        if rest[0] == '"':
            part = re.sub(r'\\(["\\`$])|\\\n', lambda found: found[1] or "", part)
        value, rest = value + part, rest[match.end() :].lstrip(" \t")
    match = re.match(r"((?:\\.|[^\\\n\r])*)\\?", rest, re.DOTALL)
    assert match
    bare = re.sub(r"(?<!\\)[ \t]+\Z", "", match[1])
    return value + re.sub(r"\\(.)", lambda found: "" if found[1] in "\n\r" else found[1], bare, flags=re.DOTALL), rest[
        match.end() :
    ]


def read(data: bytes) -> dict[str, str]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        variables, faults = read_env_file(Path(file.name))
        if faults:
            raise faults[0]
        return {variable.name: variable.value for variable in variables}


PIECES = st.sampled_from(
    [
        "A",
        "B=",
        "=",
        "=1",
        "# c",
        "#",
        ";",
        "'",
        '"',
        "\\",
        " ",
        "\t",
        "\n",
        "\n",
        "\r",
        "\0",
        "export ",
        "é",
        "\x0b",
        "$",
        "\\\n",
    ]
)


@given(st.lists(PIECES, max_size=14).map(lambda pieces: "".join(pieces).encode()) | st.binary(max_size=30))
def test_systemd_reads_every_accepted_file_in_the_same_way(data: bytes) -> None:
    """A file that our reader accepts means the same to systemd, old or new; any other file is refused by name."""
    try:
        ours = read(data)
    except UsageError:
        return
    assert ours == systemd_reads(data, joins_comments=False)
    assert ours == systemd_reads(data, joins_comments=True)


NAMES = st.from_regex(r"[A-Z_][A-Z0-9_]{0,20}", fullmatch=True)
PLAIN = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Cn", "Zs", "Zl", "Zp"], exclude_characters="\\"), max_size=30
)


@given(st.dictionaries(NAMES, PLAIN.filter(lambda value: value[:1] not in ("'", '"'))))
def test_plain_lines_are_accepted(variables: dict[str, str]) -> None:
    """A file of KEY=VALUE lines without quotes, blanks and backslashes is read; values may have any other character."""
    text = "# comment\n\n" + "".join(f"{name}={value}\n" for name, value in variables.items())
    assert read(text.encode()) == variables


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ('A="x"', 1, "quote"),
        ("A='x'", 1, "quote"),
        ("A=x\\", 1, "backslash"),
        ("A=a\\nb", 1, "backslash"),
        ("# c \\\nA=1", 1, "backslash"),
        ("A=1\nexport B=2", 2, "export"),
        ("; c", 1, "#"),
        (" A=1", 1, "first column"),
        (" # c", 1, "first column"),
        ("A =1", 1, "blanks"),
        ("A= 1", 1, "blanks"),
        ("A=1 ", 1, "blanks"),
        ("A=1\t", 1, "blanks"),
        ("A", 1, "KEY=VALUE"),
        ("=1", 1, "variable name"),
        ("A.B=1", 1, "variable name"),
        ("A=1\nB=1\nA=2", 3, "line 1"),
        ("A=1\r\nB=2", 1, "Windows"),
        ("A=1\n\0", 2, "NUL"),
        ("\ufeffA=1", 1, "BOM"),
        ("A=1\x07", 1, "control"),
        ("A=\ufffe", 1, "control"),
    ],
)
def test_an_ambiguous_line_is_refused(tmp_path: Path, text: str, line: int, says: str) -> None:
    """A line that systemd reads differently is an error: file, line, what is wrong and what to write."""
    file = tmp_path / "x.env"
    file.write_bytes(text.encode())
    with pytest.raises(UsageError) as caught:
        load_settings(file, {})
    assert caught.value.one_line().startswith(f"{file}:{line}: ")
    assert says in caught.value.one_line()


def test_a_big5_comment_is_refused(tmp_path: Path) -> None:
    """A comment in Big5 may end in a backslash byte and swallow the next line."""
    (tmp_path / "x.env").write_bytes("A=1\n# 成功\n".encode("big5"))
    with pytest.raises(UsageError, match=r"x\.env:2: bytes that are not UTF-8"):
        read_env_file(tmp_path / "x.env")


@pytest.mark.parametrize("what", ["missing", "directory", "large"])
def test_a_path_that_is_no_settings_file_is_one_line(tmp_path: Path, what: str) -> None:
    """A missing file that was named, a directory, a day file instead of a settings file: one line each."""
    path = tmp_path / "x.env"
    if what == "directory":
        path.mkdir()
    elif what == "large":
        path.write_bytes(b"#" * 2_000_000)
    with pytest.raises(UsageError, match=str(path)):
        load_settings(path, {})


# --- values ---


@pytest.mark.parametrize(
    "value", ["1e3", "１２", " 5", "5 ", "+5", "-5", "0x10", "1_000", "nan", "inf", "", "007", "5.0", "9" * 5000]
)
def test_whole_numbers_are_exact(workdir: Path, value: str) -> None:
    """Text that Python takes as a number but a person would not write as one is refused."""
    with pytest.raises(UsageError, match=r"^BATCH_ROWS="):
        load_settings(None, {"BATCH_ROWS": value})


@pytest.mark.parametrize("value", ["1e3", "nan", "inf", "-1", "+1", ".5", "1.", " 1", "0", "0.0001", "9" * 400, "١"])
def test_decimals_are_exact(workdir: Path, value: str) -> None:
    """The same for numbers with a fraction; the shortest wait is 1 ms."""
    with pytest.raises(UsageError, match=r"^RECONNECT_MIN_DELAY="):
        load_settings(None, {"RECONNECT_MIN_DELAY": value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FUTU_PORT", "0"),
        ("FUTU_PORT", "65536"),
        ("FUTU_PORT", "abc"),
        ("FUTU_HOST", ""),
        ("FUTU_HOST", "127.0.0.1:11111"),
        ("FUTU_HOST", "http://opend"),
        ("FUTU_HOST", "127.0.0.256"),
        ("FUTU_HOST", "11111"),
        ("FUTU_SYMBOLS", "700"),
        ("FUTU_SYMBOLS", "HK.700"),
        ("FUTU_SYMBOLS", "US.AAPL"),
        ("FUTU_SYMBOLS", "HK.00700;"),
        ("FUTU_SYMBOLS", "hk.00700,00981"),
        ("FUTU_SYMBOLS", "HK.00700;HK.00981"),
        ("FUTU_SYMBOLS", "HK.００７００"),
        ("FUTU_SYMBOLS", "@missing.txt"),
        ("FUTU_SYMBOLS", "@"),
        ("DATA_ROOT", ""),
        ("DATA_ROOT", "~/data"),
        ("HEALTH_INTERVAL_SEC", "0.5"),
        ("SQLITE_SYNCHRONOUS", "OFF"),
        ("SQLITE_BUSY_TIMEOUT_MS", "2147483648"),
        ("METRICS_ADDR", "9108"),
        ("METRICS_ADDR", "127.0.0.1:65536"),
        ("METRICS_ADDR", "::1:9108"),
        ("ALERT_HEARTBEAT_MIN", "1441"),
        ("ALERT_HEARTBEAT_MIN", "-1"),
        ("INSTANCE_ID", "a b"),
        ("STREAM_URL", "127.0.0.1:4222"),
        ("STREAM_URL", "http://127.0.0.1"),
        ("STREAM_URL", "nats://a,tls://b"),
        ("STREAM_URL", "nats://a:0"),
        ("STREAM_URL", "nats://a,"),
        ("PUBLISH_POLL_MS", "0"),
        ("LOG_LEVEL", "verbose"),
    ],
)
def test_a_bad_value_names_all_that_is_needed(workdir: Path, name: str, value: str) -> None:
    """The line has the name, the value, its source and what is allowed, for the environment as for a file."""
    allowed = next(setting.allowed.en for setting in DEFINITIONS if setting.name == name)
    (workdir / ".env").write_text(f"# c\n{name}={value}\n")
    line_2 = f"{workdir}/.env:2"  # also where systemd read it first and handed it over
    of_systemd = {name: value, "INVOCATION_ID": "8f3a"}
    for environ, origin in (({name: value}, "environment"), ({}, line_2), (of_systemd, line_2)):
        with pytest.raises(UsageError) as caught:
            load_settings(None, environ)
        line = caught.value.one_line()
        assert line.startswith(f"{name}={value} (from {origin})")
        assert f"allowed is {allowed}" in line
        assert "\n" not in line


def test_servers_of_the_stream_are_addresses_without_names_and_passwords() -> None:
    """A missing port is 4222, IPv6 is allowed; a password in an address is refused and not repeated in the line."""
    given = "tls://nats-1,tls://10.0.0.2:4333,tls://[::1],tls://[::1]:4223"
    found = load_settings(Path("/dev/null"), {"STREAM_URL": given}).settings.stream_url
    assert found == ("tls://nats-1:4222", "tls://10.0.0.2:4333", "tls://[::1]:4222", "tls://[::1]:4223")
    with pytest.raises(UsageError, match="STREAM_CREDS") as caught:
        load_settings(Path("/dev/null"), {"STREAM_URL": "nats://me:secret@host"})
    assert "secret" not in caught.value.one_line()


def test_every_bad_setting_is_named(workdir: Path) -> None:
    """One start reports every error: lines, unknown names, values. A default that depends on a bad value is none."""
    (workdir / ".env").write_text("A.B=1\nFUTU_PRT=1\nexport TZ=x\n")
    with pytest.raises(UsageError) as caught:
        load_settings(None, {"FUTU_PORT": "x", "BATCH_ROWS": "0", "DATA_ROOT": "~", "SQLITE_SYNC": "FULL"})
    line = caught.value.one_line()
    for told in (
        "7 settings are wrong: ",
        f"{workdir}/.env:1: 'A.B' is not a variable name: write KEY=VALUE",
        f"{workdir}/.env:3: 'export' belongs to a shell",
        f"unknown setting FUTU_PRT (from {workdir}/.env:2): the nearest that exists is FUTU_PORT",
        "unknown setting SQLITE_SYNC (from environment): the nearest",
        "FUTU_PORT=x (from environment) is not a whole number: allowed is 1 to 65535",
        "BATCH_ROWS=0 (from environment) is out of bounds: allowed is 1 to",
        "DATA_ROOT=~ (from environment) begins with ~",
    ):
        assert told in line
    assert "SPOOL_DIR" not in line


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("FUTU_PRT", "FUTU_PORT"), ("SQLITE_SYNC", "SQLITE_SYNCHRONOUS"), ("WATCHDOG_STALL_SECS", "WATCHDOG_STALL_SEC")],
)
def test_an_unknown_name_of_ours_stops(workdir: Path, name: str, nearest: str) -> None:
    """A misspelt setting is never ignored: the line names it and the most similar setting."""
    (workdir / "x.env").write_text(f"{name}=1\n")
    for file, environ in ((None, {name: "1"}), (workdir / "x.env", {})):
        with pytest.raises(UsageError) as caught:
            load_settings(file, environ)
        assert f"unknown setting {name} (from " in str(caught.value)
        assert caught.value.hint.endswith(nearest)


def test_names_of_other_programs_are_accepted(workdir: Path) -> None:
    """systemd sets WATCHDOG_USEC for the services it watches; SQLite has names of its own; a file may set a proxy."""
    (workdir / ".env").write_text("HTTPS_PROXY=http://proxy\nTZ=Asia/Hong_Kong\n")
    loaded = load_settings(
        None, {"WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "SQLITE_TMPDIR": "/tmp", "SQLITE_HISTORY": "x"}
    )
    assert loaded.warnings == ()


def test_a_name_that_nothing_reads_gives_a_warning(workdir: Path) -> None:
    """As a setting of another program, or one with a wrong name: each is told, with its line."""
    (workdir / ".env").write_text("LC_ALL=C\nPOLL_X=1\nno_proxy=x\nPERSIST_FOO=2\n")
    assert load_settings(None, {}).warnings == (
        f"POLL_X ({workdir}/.env:2) is no setting and does nothing: remove the line",
        f"PERSIST_FOO ({workdir}/.env:4) is no setting and does nothing: remove the line",
    )


def test_a_name_similar_to_a_setting_gives_a_warning(workdir: Path) -> None:
    """A name without our prefix may belong to another program, but one that looks like a setting gives a warning."""
    (workdir / ".env").write_text("BATCH_ROW=5\n")
    (warning,) = load_settings(None, {}).warnings
    assert "BATCH_ROW " in warning
    assert "BATCH_ROWS" in warning


# --- precedence, defaults ---


def test_the_environment_has_priority_over_the_file(workdir: Path) -> None:
    """A value comes from the environment, else from the file, else from the default; its source is kept with it."""
    (workdir / ".env").write_text("FUTU_PORT=2222\nFUTU_HOST=file\n")
    loaded = load_settings(None, {"FUTU_HOST": "environ"})
    assert (loaded.settings.futu_host, loaded.settings.futu_port, loaded.settings.batch_rows) == (
        "environ",
        2222,
        50_000,
    )
    assert loaded.origins["FUTU_HOST"] == "environment"
    assert loaded.origins["FUTU_PORT"] == f"{workdir}/.env:1"
    assert loaded.origins["BATCH_ROWS"] == "default"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may not be led by others")
def test_root_does_not_read_the_file_of_another_account(workdir: Path) -> None:
    """`./.env` of another account, or in another's directory, is named and not read, unless `--env-file` names it."""
    local = workdir / ".env"
    local.write_text("FUTU_PORT=2222\n")
    assert load_settings(None, {}).settings.futu_port == 2222  # root's own, and none is installed
    for place in (local, workdir):
        os.chown(place, 65534, 65534)
        loaded = load_settings(None, {})
        assert (loaded.settings.futu_port, loaded.env_file) == (11111, None)
        assert loaded.warnings == (f"{local} is not read as root: --env-file {local} reads it",)
        assert load_settings(local, {}).settings.futu_port == 2222
        os.chown(place, 0, 0)
    local.chmod(0o666)
    assert load_settings(None, {}).env_file is None


def test_a_named_file_replaces_the_local_one(workdir: Path) -> None:
    """--env-file is read alone."""
    (workdir / ".env").write_text("FUTU_PORT=2222\n")
    (workdir / "other.env").write_text("FUTU_HOST=other\n")
    settings = load_settings(Path("other.env"), {}).settings
    assert (settings.futu_host, settings.futu_port) == ("other", 11111)


def test_defaults_follow_what_they_depend_on(workdir: Path) -> None:
    """Directories follow DATA_ROOT; a default that is beyond a bound that was set moves with the bound."""
    settings = load_settings(None, {"DATA_ROOT": "data", "RECONNECT_MIN_DELAY": "5", "MAX_QUEUE_ROWS": "10"}).settings
    assert (settings.data_root, settings.spool_dir) == (workdir / "data", workdir / "data/.spool")
    assert settings.snapshot_dir == settings.data_root
    assert settings.reconnect_max_delay == 5.0
    assert settings.watchdog_queue_threshold_rows == 10
    waits = [load_settings(None, {"MAX_WAIT_MS": wait}).settings.publish_poll_ms for wait in ("1", "20", "200")]
    assert waits == [5, 10, 50]  # who wants commits soon wants them sent soon
    assert load_settings(None, {"RECONNECT_MAX_DELAY": "0.1"}).settings.reconnect_min_delay == 0.1
    assert load_settings(None, {"WATCHDOG_QUEUE_THRESHOLD_ROWS": "2000000"}).settings.max_queue_rows == 2_000_000


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"MERGE_ROOT": "merged"}, "merged"),
        ({"MERGE_ROOT": "merged", "FUTU_SYMBOLS": ""}, "merged"),
        ({"MERGE_ROOT": "merged", "FUTU_SYMBOLS": "HK.00700"}, "/data/sqlite/HK"),
        ({"MERGE_ROOT": "merged", "DATA_ROOT": "data"}, "data"),
        ({"MERGE_ROOT": ""}, "/data/sqlite/HK"),
        ({}, "/data/sqlite/HK"),
    ],
)
def test_a_host_that_only_merges_reads_the_merged_day_files(
    workdir: Path, given: dict[str, str], expected: str
) -> None:
    """With a MERGE_ROOT and without symbols there is nothing else to read. A DATA_ROOT that is set stays."""
    loaded = load_settings(None, given)
    root = workdir / expected
    assert (loaded.settings.data_root, loaded.settings.snapshot_dir) == (root, root)
    assert loaded.origins["DATA_ROOT"] == ("environment" if "DATA_ROOT" in given else "default")


def test_wrong_symbols_are_symbols(workdir: Path) -> None:
    """A host whose list cannot be read collects: what is told of the other settings does not change."""
    loaded, errors, _ = load_rest(None, {"MERGE_ROOT": "merged", "FUTU_SYMBOLS": "@none.txt"})
    assert (len(errors), loaded.settings.data_root) == (1, Path("/data/sqlite/HK"))


def test_two_settings_that_exclude_each_other_are_an_error(workdir: Path) -> None:
    """When both were set, neither is changed: one line names both and their sources."""
    with pytest.raises(
        UsageError, match=r"RECONNECT_MIN_DELAY=5 \(from environment\) .* RECONNECT_MAX_DELAY=1 \(from environment\)"
    ):
        load_settings(None, {"RECONNECT_MIN_DELAY": "5", "RECONNECT_MAX_DELAY": "1"})


# --- symbols, addresses, secrets ---


def test_symbols_as_list_and_as_file(workdir: Path) -> None:
    """A list and a file with comments and blank lines give the same symbols in their order."""
    (workdir / "hk.txt").write_text("# mine\n\nHK.00700  # Tencent\r\n  HK.00981\n")
    for text in ("HK.00700,HK.00981", "HK.00700, HK.00981", "@hk.txt", f"@{workdir}/hk.txt"):
        assert load_settings(None, {"FUTU_SYMBOLS": text}).settings.symbols == ("HK.00700", "HK.00981")


def test_a_symbol_named_twice_is_kept_once(workdir: Path) -> None:
    """A duplicate is harmless: it is reported, and the service starts."""
    loaded = load_settings(None, {"FUTU_SYMBOLS": "HK.00700,HK.00981,HK.00700"})
    assert loaded.settings.symbols == ("HK.00700", "HK.00981")
    assert "HK.00700" in loaded.warnings[0]


def test_no_symbols(workdir: Path) -> None:
    """Only a verb that collects needs symbols; without any, it prints one line."""
    settings = load_settings(None, {"FUTU_SYMBOLS": ""}).settings
    assert settings.symbols == ()
    with pytest.raises(UsageError, match="FUTU_SYMBOLS is empty"):
        settings.needed_symbols()


@pytest.mark.parametrize("count", [2000, 2001, 5000])
def test_more_symbols_than_any_quota(workdir: Path, count: int) -> None:
    """2,000 is OpenD's largest quota; more is refused with the number found, in a line that stays short."""
    text = ",".join(f"HK.{number:05}" for number in range(count))
    if count == 2000:
        assert len(load_settings(None, {"FUTU_SYMBOLS": text}).settings.needed_symbols()) == count
        return
    with pytest.raises(UsageError, match=f"has {count} symbols") as caught:
        load_settings(None, {"FUTU_SYMBOLS": text})
    assert len(caught.value.one_line()) < 400


@pytest.mark.parametrize(
    ("entry", "meant"),
    [
        ("00700", "HK.00700"),
        ("700", "HK.00700"),
        ("hk.00700", "HK.00700"),
        ("HK.700", "HK.00700"),
        ("HK00700", "HK.00700"),
        ("00700.HK", "HK.00700"),
        ("0700.hk", "HK.00700"),
        ("HK:00700", "HK.00700"),
        ("'HK.00700'", "HK.00700"),
        ("ＨＫ．００７００", "HK.00700"),
        ("HK.00700;HK.00981", "HK.00700,HK.00981"),
        ("HK.00700 981", "HK.00700,HK.00981"),
        ("HK.00700、HK.00981", "HK.00700,HK.00981"),
    ],
)
def test_an_invalid_symbol_gets_a_suggestion(workdir: Path, entry: str, meant: str) -> None:
    """Alone it is an error with the right spelling; beside a good symbol it is named, and the good one is collected."""
    with pytest.raises(UsageError) as caught:
        load_settings(None, {"FUTU_SYMBOLS": entry})
    assert f"did you mean {meant}?" in caught.value.one_line()
    loaded = load_settings(None, {"FUTU_SYMBOLS": f"HK.09988,{entry}"})
    assert loaded.settings.symbols == ("HK.09988",)
    assert loaded.bad_symbols == (
        f"FUTU_SYMBOLS (from environment): '{entry}' is not a valid symbol; did you mean {meant}?",
    )


@pytest.mark.parametrize(
    "entry", ["US.AAPL", "HK.007000", "0", "HK.00000x", "Tencent", "\x1b[31m700\x1b[0m", "7" * 3000]
)
def test_a_symbol_similar_to_none_gets_no_suggestion(workdir: Path, entry: str) -> None:
    """There is no suggestion if nothing is similar; the text that is shown is short and safe for a terminal."""
    (told,) = load_settings(None, {"FUTU_SYMBOLS": f"{entry},HK.09988"}).told()
    assert "a symbol looks like HK.00700" in told
    assert told.isprintable()
    assert len(told) < 200


def test_bad_lines_of_a_symbols_file_are_named_and_the_others_read(workdir: Path) -> None:
    """File and line of each; bytes that are not UTF-8 make only their own line bad, and do no harm in a comment."""
    lines: list[str | bytes] = [
        "HK.00700",
        "HK.700",
        "# 收集".encode("big5"),
        b"HK.0\xb8\xdb",
        "",
        "HK.00981 # 981\r",
        "700\x0bx",
        "HK.09988",
    ]
    data = b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)
    (workdir / "hk.txt").write_bytes(b"\xef\xbb\xbf" + data)
    loaded = load_settings(None, {"FUTU_SYMBOLS": "@hk.txt"})
    assert loaded.settings.symbols == ("HK.00700", "HK.00981", "HK.09988")
    assert [told.split(": ")[0] for told in loaded.bad_symbols] == [f"{workdir}/hk.txt:{line}" for line in (2, 4, 7)]
    assert "did you mean HK.00700?" in loaded.bad_symbols[0]
    assert all(told.isprintable() for told in loaded.bad_symbols)


def test_a_file_without_a_good_symbol_stops(workdir: Path) -> None:
    """The first bad lines are named with file and line."""
    (workdir / "hk.txt").write_text("HK.700\n700\nx\ny\n")
    with pytest.raises(UsageError, match=r"hk\.txt:1: 'HK\.700' is not.*hk\.txt:2: '700'.*; and 1 more"):
        load_settings(None, {"FUTU_SYMBOLS": "@hk.txt"})


@pytest.mark.parametrize("what", ["fifo", "directory", "utf16", "large", "missing"])
def test_what_is_no_file_of_symbols(workdir: Path, what: str) -> None:
    """A pipe without a writer, a directory, an endless file, UTF-16: one line each, without waiting."""
    path = workdir / "hk.txt"
    if what == "fifo":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    elif what == "utf16":
        path.write_bytes("HK.00700\n".encode("utf-16"))
    elif what == "large":
        path.write_bytes(b"HK.00700\n" * 200_000)
    with pytest.raises(UsageError, match=r"FUTU_SYMBOLS=@hk\.txt"):
        load_settings(None, {"FUTU_SYMBOLS": "@hk.txt"})


def test_many_bad_symbols_are_counted(workdir: Path) -> None:
    """The first are named one by one, the others as a number, with the command that lists them."""
    loaded = load_settings(None, {"FUTU_SYMBOLS": "HK.00700," + ",".join(map(str, range(100, 200)))})
    assert len(loaded.bad_symbols) == 100
    assert len(loaded.told()) == 21
    assert "and 80 more" in loaded.told()[-1]


@pytest.mark.parametrize(
    "name", ["DATA_ROOT", "SPOOL_DIR", "SNAPSHOT_DIR", "FUTU_RSA_KEY", "FUTU_SYMBOLS", "ALERT_URLS", "INSTANCE_ID"]
)
def test_bytes_that_are_no_utf8_are_refused(workdir: Path, name: str) -> None:
    """A directory name in GBK, as the system passes it: refused with the name of the setting, and nothing is opened."""
    odd = os.fsdecode(b"/tmp/\xb8\xdb\xb9\xc9")
    value = {"FUTU_SYMBOLS": f"@{odd}", "ALERT_URLS": f"json://host{odd}"}.get(name, odd)
    with pytest.raises(UsageError) as caught:
        load_settings(None, {name: value})
    line = caught.value.one_line()
    assert line.startswith(f"{name}=")
    assert line.isprintable()
    assert name == "INSTANCE_ID" or "not UTF-8" in line


def test_a_relative_path_below_a_directory_that_is_no_utf8(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`./data` cannot be used there, like the whole path."""
    odd = workdir / os.fsdecode(b"\xb8\xdb")
    odd.mkdir()
    monkeypatch.chdir(odd)
    with pytest.raises(UsageError, match="not UTF-8"):
        load_settings(None, {"DATA_ROOT": "data"})


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9108", Address("127.0.0.1", 9108)),
        ("[::1]:0", Address("::1", 0)),
        ("localhost:1", Address("localhost", 1)),
        ("", None),
    ],
)
def test_metrics_address(workdir: Path, text: str, address: Address | None) -> None:
    """HOST:PORT, an IPv6 address in brackets, or empty; it is written back the same."""
    settings = load_settings(None, {"METRICS_ADDR": text}).settings
    assert settings.metrics_addr == address
    assert as_text(address) == text


def test_secrets_never_show(workdir: Path) -> None:
    """ALERT_URLS is masked in texts, in the settings' own repr and in errors; the URLs themselves are kept."""
    settings = load_settings(None, {"ALERT_URLS": "tgram://token/chat, mailto://me:pw@x?to=a,b slack://t"}).settings
    assert [url.get_secret_value() for url in settings.alert_urls] == [
        "tgram://token/chat",
        "mailto://me:pw@x?to=a,b",
        "slack://t",
    ]
    assert as_text(settings.alert_urls) == "tgram://***,mailto://***,slack://***"
    assert "://token" not in repr(settings)
    with pytest.raises(UsageError) as caught:
        load_settings(None, {"ALERT_URLS": "token-without-scheme"})
    assert "token" not in caught.value.one_line()


@pytest.mark.parametrize(
    "address", ["ftp://h/s3cret", "s3cret", "https://", "https:///s3cret", "http://h:99999/s3cret", "http://h:0/s3cret"]
)
def test_the_address_of_a_watcher_is_secret(workdir: Path, address: str) -> None:
    """Neither in texts nor in errors; one that cannot be fetched is refused, an empty one is none."""
    settings = load_settings(None, {"DEADMAN_URL": "https://watcher.example/s3cret"}).settings
    assert as_text(settings.deadman_url) == "https://***"
    assert "s3cret" not in repr(settings)
    assert load_settings(None, {"DEADMAN_URL": ""}).settings.deadman_url is None
    with pytest.raises(UsageError) as caught:
        load_settings(None, {"DEADMAN_URL": address})
    line = caught.value.one_line()
    assert line.startswith("DEADMAN_URL=*** (from environment) ")
    assert "allowed is http:// or https:// address, or empty" in line
    assert "s3cret" not in line


def test_settings_do_not_change(workdir: Path) -> None:
    """Settings are read once and cannot be changed afterwards."""
    settings = load_settings(None, {}).settings
    with pytest.raises(ValueError, match="frozen"):
        settings.futu_port = 1


def test_the_example_works_with_every_line_in_force(workdir: Path) -> None:
    """Every default in `.env.example` may be uncommented as it is."""
    text = re.sub(r"(?m)^#(?=[A-Z_]+=)", "", settings_tables.env_example())
    (workdir / "x.env").write_text(text)
    loaded = load_settings(workdir / "x.env", {})
    assert "default" not in loaded.origins.values()
    defaults = load_settings(None, {}).settings
    same = set(type(defaults).model_fields) - {"symbols", "instance_id"}
    assert loaded.settings.model_dump(include=same) == defaults.model_dump(include=same)


def test_variables_of_systemd_are_read() -> None:
    """Directories, the socket and the watchdog time are read here; the watchdog of another process is not."""
    told = systemd_environment(
        {
            "RUNTIME_DIRECTORY": "/run/a:/run/b",
            "STATE_DIRECTORY": "/var/lib/a",
            "NOTIFY_SOCKET": "@n",
            "WATCHDOG_USEC": "30000000",
        }
    )
    assert told == (Path("/run/a"), Path("/var/lib/a"), "@n", 30_000_000)
    assert systemd_environment({}) == (None, None, None, None)
    assert systemd_environment({"WATCHDOG_USEC": "5", "WATCHDOG_PID": "1"}).watchdog_usec is None


def test_a_child_gets_an_environment_without_our_settings(workdir: Path) -> None:
    """A process that starts a collector with other settings passes on its environment without our settings."""
    environ = {"PATH": "/bin", "TZ": "UTC", "FUTU_PORT": "1", "DATA_ROOT": "/x", "WATCHDOG_USEC": "5"}
    assert environment_without_settings(environ) == {"PATH": "/bin", "TZ": "UTC"}
    assert load_settings(Path("/dev/null"), {}).settings.futu_port == 11111  # and so can the file be left out


def test_the_variables_of_an_object_store(tmp_path: Path) -> None:
    """The usual AWS_ names, from the environment before the file; nothing else shows their values."""
    file = tmp_path / ".env"
    file.write_text("AWS_REGION=ap-east-1\nAWS_SECRET_ACCESS_KEY=of-the-file\nDATA_ROOT=/data\n")
    environ = {"AWS_SECRET_ACCESS_KEY": "of-the-shell", "AWS_SESSION_TOKEN": "", "HOME": "/root"}
    found = object_store_variables(file, environ)
    assert found == {"AWS_REGION": "ap-east-1", "AWS_SECRET_ACCESS_KEY": "of-the-shell"}
    loaded = load_settings(file, environ)
    assert loaded.warnings == ()
    assert "of-the" not in str(loaded)
