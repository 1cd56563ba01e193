"""Comparison with the vendor's official SDK: its descriptors, its constants, the bytes it packs, its ciphers.

Nothing here is compared with our own encoder alone. The SDK is imported once, in a home directory of the test's,
because it opens a log file as it is imported.
"""

from __future__ import annotations

import importlib
import io
import warnings
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hk_tick_collector import market
from hk_tick_collector.opend import convert, crypto, messages, protocol
from hk_tick_collector.opend import opend_pb2 as ours
from hk_tick_collector.opend.crypto import AesCipher, RsaCipher
from hk_tick_collector.opend.frame import HEADER, HEADER_BYTES, FrameReader, encode_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from google.protobuf.descriptor import Descriptor, FieldDescriptor
    from google.protobuf.message import Message

CONN_ID: Final = 7
KEY: Final = "0123456789abcdef"
IV: Final = "fedcba9876543210"
BODY_LENGTHS: Final = (*range(71), 79, 80, 81, 95, 96, 97, 99, 100, 101, 111, 112, 113, 199, 200, 201, 300, 301, 4096)
SYMBOLS: Final = ["HK.00700", "HK.00981"]

# Our message → the SDK's modules and message. Two of theirs may share one of ours.
MESSAGES: Final[dict[str, list[tuple[str, str]]]] = {
    "Security": [("Qot_Common", "Security")],
    "ProgramStatus": [("Common", "ProgramStatus")],
    "Ticker": [("Qot_Common", "Ticker")],
    "Outcome": [("Qot_Sub", "Response"), ("KeepAlive", "Response")],
    "InitConnectRequest": [("InitConnect", "Request")],
    "InitConnectResponse": [("InitConnect", "Response")],
    "GetGlobalStateRequest": [("GetGlobalState", "Request")],
    "GetGlobalStateResponse": [("GetGlobalState", "Response")],
    "NotifyResponse": [("Notify", "Response")],
    "KeepAliveRequest": [("KeepAlive", "Request")],
    "KeepAliveResponse": [("KeepAlive", "Response")],
    "SubRequest": [("Qot_Sub", "Request")],
    "SubResponse": [("Qot_Sub", "Response")],
    "GetSubInfoRequest": [("Qot_GetSubInfo", "Request")],
    "GetSubInfoResponse": [("Qot_GetSubInfo", "Response")],
    "GetBasicQotRequest": [("Qot_GetBasicQot", "Request")],
    "GetBasicQotResponse": [("Qot_GetBasicQot", "Response")],
    "GetTickerRequest": [("Qot_GetTicker", "Request")],
    "TickerPush": [("Qot_UpdateTicker", "Response")],
    "TickerResponse": [("Qot_GetTicker", "Response"), ("Qot_UpdateTicker", "Response")],
    "GetStaticInfoRequest": [("Qot_GetStaticInfo", "Request")],
    "GetStaticInfoResponse": [("Qot_GetStaticInfo", "Response")],
    "GetSecuritySnapshotRequest": [("Qot_GetSecuritySnapshot", "Request")],
    "GetSecuritySnapshotResponse": [("Qot_GetSecuritySnapshot", "Response")],
    "RequestTradeDateRequest": [("Qot_RequestTradeDate", "Request")],
    "RequestTradeDateResponse": [("Qot_RequestTradeDate", "Response")],
}
PROTO_IDS: Final = {
    "InitConnect": messages.INIT_CONNECT,
    "GetGlobalState": messages.GET_GLOBAL_STATE,
    "Notify": messages.NOTIFY,
    "KeepAlive": messages.KEEP_ALIVE,
    "Qot_Sub": messages.SUB,
    "Qot_GetSubInfo": messages.GET_SUB_INFO,
    "Qot_GetBasicQot": messages.GET_BASIC_QOT,
    "Qot_GetTicker": messages.GET_TICKER,
    "Qot_UpdateTicker": messages.UPDATE_TICKER,
    "Qot_GetStaticInfo": messages.GET_STATIC_INFO,
    "Qot_GetSecuritySnapshot": messages.GET_SECURITY_SNAPSHOT,
    "Qot_RequestTradeDate": messages.REQUEST_TRADE_DATE,
}


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The SDK's modules that are used here, by short names; the SDK's connection is removed at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        modules = SimpleNamespace(
            constant=importlib.import_module("futu.common.constant"),
            config=importlib.import_module("futu.common.sys_config"),
            utils=importlib.import_module("futu.common.utils"),
            conn=importlib.import_module("futu.common.conn_mng").FutuConnMng,
            query=importlib.import_module("futu.quote.quote_query"),
            pb=lambda name: importlib.import_module(f"futu.common.pb.{name}_pb2"),
        )
    yield modules
    modules.conn.remove_conn(CONN_ID)


@pytest.fixture
def pem(sdk: SimpleNamespace, tmp_path: Path) -> Iterator[bytes]:
    """A key in the vendor's form (RSA, 1,024 bits, PKCS#1), which the SDK is set to use."""
    key = rsa.generate_private_key(65537, 1024)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    key_file, settings = tmp_path / "key.pem", sdk.config.SysConfig
    key_file.write_bytes(text)
    settings.set_init_rsa_file(str(key_file))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the SDK never closes the file of its key
        settings.get_init_rsa_obj()
    yield text
    settings.set_init_rsa_file("")


def connect(sdk: SimpleNamespace, *, encrypted: bool = False, iv: str | None = None) -> None:
    """Tells the SDK that a connection with this session key stands."""
    session = {"conn_id": CONN_ID, "conn_key": KEY, "conn_iv": iv, "is_encrypt": encrypted, "login_user_id": 0}
    sdk.conn.add_conn(session)


def enum(sdk: SimpleNamespace, module: str, name: str) -> dict[str, int]:
    """One enumeration of the SDK's, without its prefix."""
    values = sdk.pb(module).DESCRIPTOR.enum_types_by_name[name].values
    return {value.name.removeprefix(f"{name}_"): value.number for value in values}


# ---- descriptors ----


def shape(field: FieldDescriptor) -> tuple[object, ...]:
    """The type of a field in the encoding. An enumeration is an int32 there, and stays one in our messages."""
    kind = field.TYPE_INT32 if field.type == field.TYPE_ENUM else field.type
    default = field.default_value if field.has_default_value else None
    return field.name, field.number, kind, field.is_required, field.is_repeated, default


def unopened(field: FieldDescriptor) -> tuple[object, ...]:
    """The type of a field if the message inside is left as bytes."""
    name, number, kind, *rest = shape(field)
    return name, number, field.TYPE_BYTES if kind == field.TYPE_MESSAGE else kind, *rest


def differences(mine: Descriptor, theirs: Descriptor, path: str = "") -> Iterator[str]:
    """The places where a message of ours is not a part of theirs that either side can parse."""
    known = {field.number: field for field in theirs.fields}
    for field in mine.fields:
        where = f"{path}{mine.name}.{field.name}"
        twin = known.get(field.number)
        if twin is None or shape(field) not in (shape(twin), unopened(twin)):
            yield f"{where}: {shape(field)} is not {twin and shape(twin)}"
        elif field.message_type is not None and twin.message_type is not None:
            yield from differences(field.message_type, twin.message_type, f"{path}{mine.name}.")
    have = {field.number for field in mine.fields}
    for field in theirs.fields:
        if field.is_required and field.number not in have:
            yield f"{path}{mine.name}: the required field {field.name} is missing"


def test_every_message_of_ours_is_compared() -> None:
    """A message added to opend.proto has to name its model here."""
    assert set(MESSAGES) == set(ours.DESCRIPTOR.message_types_by_name)


@pytest.mark.parametrize("name", MESSAGES)
def test_fields_have_the_sdks_numbers_types_labels_and_defaults(sdk: SimpleNamespace, name: str) -> None:
    """Field by field, down to the messages inside; and no field that the vendor requires is missing with us."""
    mine = ours.DESCRIPTOR.message_types_by_name[name]
    for module, message in MESSAGES[name]:
        theirs = sdk.pb(module).DESCRIPTOR.message_types_by_name[message]
        assert list(differences(mine, theirs)) == []


# ---- constants ----


def test_protocol_numbers(sdk: SimpleNamespace) -> None:
    """Every number that we send or expect is the SDK's number of that name."""
    assert {name: getattr(sdk.constant.ProtoId, name) for name in PROTO_IDS} == PROTO_IDS


def test_header(sdk: SimpleNamespace) -> None:
    """The same 44 bytes; the SDK's format splits the two letters at their head."""
    assert HEADER.format.replace("2s", "1s1s", 1) == sdk.constant.MESSAGE_HEAD_FMT
    assert sdk.utils.get_message_head_len() == HEADER_BYTES


def test_numbers_of_enumerations_that_we_send(sdk: SimpleNamespace) -> None:
    """Market, subscription, success and ciphers."""
    assert enum(sdk, "Qot_Common", "QotMarket")["HK_Security"] == messages.MARKET_HK
    assert enum(sdk, "Qot_Common", "TradeDateMarket")["HK"] == messages.MARKET_HK
    assert enum(sdk, "Qot_Common", "SubType")["Ticker"] == messages.SUB_TYPE_TICKER
    assert enum(sdk, "Common", "RetType")["Succeed"] == messages.RET_OK
    ciphers = enum(sdk, "Common", "PacketEncAlgo")
    assert ciphers["None"] == crypto.ENC_ALGO_NONE
    assert ciphers["FTAES_ECB"] == crypto.ENC_ALGO_FTAES_ECB
    assert ciphers["AES_CBC"] == crypto.ENC_ALGO_AES_CBC
    assert sdk.constant.SubType.to_number("TICKER") == (True, messages.SUB_TYPE_TICKER)


def test_tick_types_are_the_sdks_constants_with_its_spelling(sdk: SimpleNamespace) -> None:
    """Name by number, all of them, and no others."""
    numbers = sdk.constant.TickerType().load_dic()
    assert {number: name for name, number in numbers.items()} == convert.TICK_TYPES
    assert set(convert.TICK_TYPES) == set(enum(sdk, "Qot_Common", "TickerType").values())
    assert [sdk.constant.TickerType.to_string2(n) for n in convert.TICK_TYPES] == list(convert.TICK_TYPES.values())


def test_security_types_are_the_sdks_constants_with_its_spelling(sdk: SimpleNamespace) -> None:
    """Name by number, all of them except the unknown one, which is NULL in the table of instruments."""
    numbers = sdk.constant.SecurityType().load_dic()
    assert {number: name for name, number in numbers.items() if number} == messages.SECURITY_TYPES
    assert {0, *messages.SECURITY_TYPES} == set(enum(sdk, "Qot_Common", "SecurityType").values())


def converted(**fields: Any) -> tuple[str, str]:
    """Direction and push type of a tick with these fields."""
    rows: list[Any] = []
    one = ours.Ticker(**{"time": "10:00:01", "sequence": 1, "dir": 0, "price": 1, "volume": 1, "turnover": 1, **fields})
    convert.convert("HK.00700", [one], 1_795_140_000_000, rows, [])
    return rows[0][6], rows[0][8]


def test_directions_are_the_sdks(sdk: SimpleNamespace) -> None:
    """The SDK's words; its N/A for an unknown direction is UNKNOWN in the contract."""
    numbers = sdk.constant.TickerDirect().load_dic()
    for name, number in numbers.items():
        assert converted(dir=number)[0] == {"N/A": "UNKNOWN"}.get(name, name)


def test_push_types_are_the_sdks(sdk: SimpleNamespace) -> None:
    """The contract's names for the SDK's three ways of a tick."""
    words = {"N/A": "realtime", "REALTIME": "realtime", "BYDISCONN": "disconnect_refill", "CACHE": "cache"}
    numbers = sdk.constant.PushDataType().load_dic()
    assert {name: converted(pushDataType=number)[1] for name, number in numbers.items()} == words


def test_market_states_are_the_sdks(sdk: SimpleNamespace) -> None:
    """The states of a Hong Kong day have the numbers by which market.py names them."""
    numbers = enum(sdk, "Qot_Common", "QotMarketState")
    words = {
        "None": "none",
        "Auction": "auction",
        "WaitingOpen": "waiting_open",
        "Morning": "morning",
        "Rest": "rest",
        "Afternoon": "afternoon",
        "Closed": "closed",
        "HkCas": "closing_auction",
    }
    assert {name: market.state_name(numbers[name]) for name in words} == words


def notice_of(**s2c: Any) -> messages.Notice:
    """Our reading of one Notify push."""
    push = ours.NotifyResponse(retType=0, s2c=ours.NotifyResponse.S2C(**{"type": 1, **s2c}))
    return messages.read_notify(push.SerializeToString())


def test_gateway_events_are_the_sdks(sdk: SimpleNamespace) -> None:
    """Each event of the gateway has its word, and each of them means that no data can be expected."""
    words = {
        "LocalCfgLoadFailed": "config_load_failed",
        "APISvrRunFailed": "api_server_failed",
        "ForceUpdate": "needs_update",
        "LoginFailed": "login_failed",
        "UnAgreeDisclaimer": "disclaimer_not_agreed",
        "NetCfgMissing": "network_config_missing",
        "KickedOut": "kicked_out",
        "LoginPwdChanged": "password_changed",
        "BanLogin": "login_banned",
        "NeedPicVerifyCode": "needs_captcha",
        "NeedPhoneVerifyCode": "needs_sms_code",
        "AppDataNotExist": "app_data_missing",
        "NessaryDataMissing": "data_missing",
        "TradePwdChanged": "trade_password_changed",
        "EnableDeviceLock": "device_lock_enabled",
    }
    numbers = enum(sdk, "Notify", "GtwEventType")
    assert numbers.pop("None") == 0
    assert set(numbers) == set(words)
    for name, number in numbers.items():
        event = ours.NotifyResponse.GtwEvent(eventType=number, desc="why")
        assert notice_of(event=event) == messages.Notice(words[name], False, "why")


def test_program_states_are_the_sdks(sdk: SimpleNamespace) -> None:
    """Each state of the program has its word; only Ready is healthy."""
    words = {
        "Loaded": "loaded",
        "Loging": "logging_in",
        "NeedPicVerifyCode": "needs_captcha",
        "NeedPhoneVerifyCode": "needs_sms_code",
        "LoginFailed": "login_failed",
        "ForceUpdate": "needs_update",
        "NessaryDataPreparing": "preparing",
        "NessaryDataMissing": "data_missing",
        "UnAgreeDisclaimer": "disclaimer_not_agreed",
        "Ready": "ready",
        "ForceLogout": "forced_logout",
        "DisclaimerPullFailed": "disclaimer_unavailable",
    }
    numbers = enum(sdk, "Common", "ProgramStatusType")
    assert numbers.pop("None") == 0
    assert set(numbers) == set(words)
    for name, number in numbers.items():
        status = ours.NotifyResponse.ProgramStatusChange(programStatus=ours.ProgramStatus(type=number))
        assert notice_of(programStatus=status) == messages.Notice(f"program_{words[name]}", name == "Ready", "")


def test_quote_rights_are_the_sdks(sdk: SimpleNamespace) -> None:
    """Each right has its name; BMP and no right have no ticks."""
    words = {"Unknow": "unknown", "Bmp": "bmp", "Level1": "level1", "Level2": "level2", "SF": "sf", "No": "none"}
    numbers = enum(sdk, "Qot_Common", "QotRight")
    assert set(numbers) == {*words, "Level3"}
    for name, number in numbers.items():
        right = ours.NotifyResponse.QotRight(hkQotRight=number, usQotRight=0, cnQotRight=0)
        expected = f"quote_right_{words.get(name, 'level3')}"
        assert notice_of(qotRight=right) == messages.Notice(expected, name not in ("Bmp", "No"), "")


def test_kinds_of_trading_days_are_the_sdks(sdk: SimpleNamespace) -> None:
    """Whole, morning and afternoon."""
    for name, number in enum(sdk, "Qot_Common", "TradeDateType").items():
        day = ours.RequestTradeDateResponse.TradeDate(time="2026-12-24", tradeDateType=number)
        reply = ours.RequestTradeDateResponse(retType=0, s2c={"tradeDateList": [day]})
        assert messages.read_trade_dates(reply.SerializeToString()) == [messages.TradingDay("2026-12-24", name.lower())]


# ---- golden bytes: what the SDK packs parses here ----


def packed_by_the_sdk(sdk: SimpleNamespace) -> dict[str, tuple[bytes, type[Message]]]:
    """The frame of each request as the SDK's own query class packs it, and our message for its body."""
    query, session = sdk.query, sdk.constant.Session.NONE
    subscribe = query.SubscriptionQuery.pack_subscribe_req
    packed: dict[str, tuple[tuple[Any, ...], type[Message]]] = {
        "init": (query.InitConnect.pack_req(300, "witness", True, False, 0), ours.InitConnectRequest),
        "state": (query.GlobalStateQuery.pack_req(0, CONN_ID), ours.GetGlobalStateRequest),
        "alive": (query.KeepAlive.pack_req(CONN_ID), ours.KeepAliveRequest),
        "sub": (subscribe(SYMBOLS, ["TICKER"], CONN_ID, True, True, False, False, session), ours.SubRequest),
        "subs": (query.SubscriptionQuery.pack_subscription_query_req(False, CONN_ID), ours.GetSubInfoRequest),
        "ticker": (query.TickerQuery.pack_req("HK.00700", 1000, CONN_ID), ours.GetTickerRequest),
        "quote": (query.StockQuoteQuery.pack_req(SYMBOLS, CONN_ID), ours.GetBasicQotRequest),
        "snapshot": (query.MarketSnapshotQuery.pack_req(SYMBOLS, CONN_ID), ours.GetSecuritySnapshotRequest),
        "static": (query.StockBasicInfoQuery.pack_req("HK", CONN_ID, "STOCK"), ours.GetStaticInfoRequest),
        "days": (
            query.RequestTradeDayQuery.pack_req("HK", CONN_ID, "2026-11-01", "2026-11-30"),
            ours.RequestTradeDateRequest,
        ),
    }
    frames = {}
    for name, (result, message) in packed.items():
        assert result[0] == sdk.constant.RET_OK, result[1]
        frames[name] = result[2], message
    return frames


def packed_by_us() -> dict[str, tuple[int, Message]]:
    """The same requests as our functions build them."""
    return {
        "init": (messages.INIT_CONNECT, messages.init_connect("witness", crypto.ENC_ALGO_NONE)),
        "state": (messages.GET_GLOBAL_STATE, messages.get_global_state()),
        "alive": (messages.KEEP_ALIVE, messages.keep_alive(1_795_140_000)),
        "sub": (messages.SUB, messages.subscribe(SYMBOLS)),
        "subs": (messages.GET_SUB_INFO, messages.get_sub_info()),
        "ticker": (messages.GET_TICKER, messages.get_ticker("HK.00700")),
        "quote": (messages.GET_BASIC_QOT, messages.get_basic_qot(SYMBOLS)),
        "snapshot": (messages.GET_SECURITY_SNAPSHOT, messages.get_security_snapshot(SYMBOLS)),
        "days": (messages.REQUEST_TRADE_DATE, messages.request_trade_date("2026-11-01", "2026-11-30")),
    }


def question(request: Any) -> dict[str, object]:
    """The content of a request, without what differs from client to client and from second to second."""
    fields = {field.name: value for field, value in request.c2s.ListFields() if field.name not in ("clientVer", "time")}
    return {
        name: value.removesuffix(" 00:00:00") if isinstance(value, str) else value for name, value in fields.items()
    }


def test_the_sdks_requests_parse_here(sdk: SimpleNamespace) -> None:
    """One stream of everything its query classes pack: every frame is cut and checked, every body is our message."""
    connect(sdk)
    frames = packed_by_the_sdk(sdk)
    cut = list(FrameReader().feed(b"".join(frame for frame, _ in frames.values())))
    assert len(cut) == len(frames)
    for (proto_id, serial, body), (frame, message) in zip(cut, frames.values(), strict=True):
        assert HEADER.unpack_from(frame)[1] == proto_id
        assert HEADER.unpack_from(frame)[4] == serial
        parsed = message.FromString(body)
        assert parsed.IsInitialized()
        assert parsed.SerializeToString()


def test_our_requests_ask_for_what_the_sdks_ask(sdk: SimpleNamespace) -> None:
    """Field by field the same, but for the version that names us, the moment, and the hour behind a date."""
    connect(sdk)
    theirs = packed_by_the_sdk(sdk)
    for name, (_, mine) in packed_by_us().items():
        frame, message = theirs[name]
        assert question(mine) == question(message.FromString(frame[HEADER_BYTES:])), name


def test_our_requests_parse_there(sdk: SimpleNamespace) -> None:
    """The SDK's own classes take the bytes that we send, header and body."""
    modules = {number: name for name, number in PROTO_IDS.items()}
    for serial, (proto_id, mine) in enumerate(packed_by_us().values(), start=1):
        frame = encode_frame(proto_id, serial, mine.SerializeToString())
        head = sdk.utils.parse_head(frame[:HEADER_BYTES])
        assert (head["head_1"], head["head_2"], head["proto_ver"], head["proto_fmt_type"]) == (b"F", b"T", 0, 0)
        assert (head["proto_id"], head["serial_no"]) == (proto_id, serial)
        assert head["body_len"] == len(frame) - HEADER_BYTES
        ret, words, body = sdk.utils.decrypt_rsp_body(frame[HEADER_BYTES:], head, CONN_ID, False)
        assert ret == sdk.constant.RET_OK, words
        parsed = sdk.pb(modules[proto_id]).Request.FromString(body)
        assert parsed.IsInitialized()
        assert parsed.SerializeToString() == mine.SerializeToString()


def test_ticks_of_the_sdks_messages_are_read_here(sdk: SimpleNamespace) -> None:
    """A push built with the vendor's own classes, every field of a tick set, is read field by field."""
    push = sdk.pb("Qot_UpdateTicker").Response(retType=0)
    push.s2c.security.market, push.s2c.security.code, push.s2c.name = 1, "00700", "騰訊控股"
    fields = {
        "time": "10:00:01.250",
        "sequence": (1_795_140_001 << 32) | 9,
        "dir": 2,
        "price": 402.2,
        "volume": 100,
        "turnover": 40_220.0,
        "recvTime": 1_795_140_001.5,
        "type": 7,
        "typeSign": 85,
        "pushDataType": 3,
        "timestamp": 1_795_140_001.25,
        "hpVolume": 100.0,
    }
    push.s2c.tickerList.add(**fields)
    s2c = messages.read_ticker_push(push.SerializeToString())
    assert {field.name: value for field, value in s2c.tickerList[0].ListFields()} == fields
    assert messages.symbol_of(messages.read_security(s2c.security)) == "HK.00700"


def test_our_replies_parse_there(sdk: SimpleNamespace) -> None:
    """Frames with our response messages (the simulator's) go through the SDK's own parser."""
    reply = ours.TickerResponse(retType=0)
    reply.s2c.security.market, reply.s2c.security.code = 1, "00700"
    reply.s2c.tickerList.add(time="10:00:01", sequence=2**62 + 1, dir=1, price=1.5, volume=2, turnover=3.0)
    for proto_id in (messages.GET_TICKER, messages.UPDATE_TICKER):
        frame = encode_frame(proto_id, 3, reply.SerializeToString())
        parsed = sdk.utils.parse_rsp(frame, CONN_ID, False)
        assert parsed.err == sdk.utils.ParseRspErr.OK, parsed.msg
        assert parsed.total_len == len(frame)
        assert parsed.rsp_pb.SerializeToString() == reply.SerializeToString()


# ---- ciphers ----


def bodies() -> Iterator[bytes]:
    """Bodies of every length that a block's edge could break, some ending in zeros."""
    for length in BODY_LENGTHS:
        yield bytes(i % 251 + 1 for i in range(length))
        yield bytes(length)


@pytest.mark.parametrize("iv", [IV, None], ids=["cbc", "ftaes_ecb"])
def test_aes_is_the_sdks(sdk: SimpleNamespace, iv: str | None) -> None:
    """The same bytes: what one encrypts the other decrypts."""
    connect(sdk, encrypted=True, iv=iv)
    mine = AesCipher(KEY.encode(), iv.encode() if iv else None)
    for body in bodies():
        ret, words, wire = sdk.conn.encrypt_conn_data(CONN_ID, body)
        assert ret == sdk.constant.RET_OK, words
        assert mine.encrypt(body) == wire
        assert mine.decrypt(wire) == body
        assert sdk.conn.decrypt_conn_data(CONN_ID, mine.encrypt(body))[2] == body


def test_rsa_is_the_sdks(sdk: SimpleNamespace, pem: bytes) -> None:
    """PKCS#1 v1.5 is random, so each decrypts what the other encrypted."""
    mine = RsaCipher(pem)
    for body in bodies():
        assert mine.decrypt(sdk.config.RsaCrypt.encrypt(body)) == body
        assert sdk.config.RsaCrypt.decrypt(mine.encrypt(body)) == body


@pytest.mark.parametrize("iv", [IV, None], ids=["cbc", "ftaes_ecb"])
def test_an_encrypted_session_with_the_sdk_on_the_other_side(sdk: SimpleNamespace, pem: bytes, iv: str | None) -> None:
    """From InitConnect under RSA to a requested tick under AES, with the SDK's crypto and messages playing OpenD."""
    connect(sdk, encrypted=True, iv=iv)
    client = protocol.Connection("witness", RsaCipher(pem))
    client.start(0.0)
    request, serial = asked(sdk, client, "InitConnect")
    assert request.c2s.packetEncAlgo == enum(sdk, "Common", "PacketEncAlgo")["AES_CBC"]

    reply = sdk.pb("InitConnect").Response(retType=0)
    reply.s2c.serverVer, reply.s2c.loginUserID, reply.s2c.connID = 1011, 1, CONN_ID
    reply.s2c.connAESKey, reply.s2c.keepAliveInterval = KEY, 10
    if iv:
        reply.s2c.aesCBCiv = iv
    [ready] = client.receive(answer(sdk, messages.INIT_CONNECT, serial, reply), 0.0, 0)
    assert isinstance(ready, protocol.Ready)

    client.request(messages.GET_TICKER, messages.get_ticker("HK.00700"), 0.0)
    request, serial = asked(sdk, client, "Qot_GetTicker")
    assert request.c2s.security.code == "00700"
    reply = sdk.pb("Qot_GetTicker").Response(retType=0)
    reply.s2c.security.market, reply.s2c.security.code = 1, "00700"
    reply.s2c.tickerList.add(time="10:00:01", sequence=5, dir=1, price=1.5, volume=2, turnover=3.0)
    [ticks] = client.receive(answer(sdk, messages.GET_TICKER, serial, reply), 0.0, 1_795_140_002_000)
    assert isinstance(ticks, protocol.Ticks)
    assert [row[:2] for row in ticks.rows] == [("HK.00700", 5)]


def asked(sdk: SimpleNamespace, client: protocol.Connection, module: str) -> tuple[Any, int]:
    """The client's next request as the SDK decrypts and parses it, and its serial number."""
    stream = io.BytesIO(client.data_to_send())
    head = sdk.utils.parse_head(stream.read(HEADER_BYTES))
    ret, words, body = sdk.utils.decrypt_rsp_body(stream.read(), head, CONN_ID, True)
    assert ret == sdk.constant.RET_OK, words
    return sdk.pb(module).Request.FromString(body), head["serial_no"]


def answer(sdk: SimpleNamespace, proto_id: int, serial: int, reply: Any) -> bytes:
    """A reply in a frame packed, signed and encrypted by the SDK."""
    pack: Callable[..., tuple[Any, ...]] = sdk.utils.pack_pb_req
    ret, words, frame, *_ = pack(reply, proto_id, CONN_ID, serial)
    assert ret == sdk.constant.RET_OK, words
    assert isinstance(frame, bytes)
    return frame
