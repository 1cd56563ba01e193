from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Security(_message.Message):
    __slots__ = ("market", "code")
    MARKET_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    market: int
    code: str
    def __init__(self, market: _Optional[int] = ..., code: _Optional[str] = ...) -> None: ...

class ProgramStatus(_message.Message):
    __slots__ = ("type", "strExtDesc")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    STREXTDESC_FIELD_NUMBER: _ClassVar[int]
    type: int
    strExtDesc: str
    def __init__(self, type: _Optional[int] = ..., strExtDesc: _Optional[str] = ...) -> None: ...

class Ticker(_message.Message):
    __slots__ = ("time", "sequence", "dir", "price", "volume", "turnover", "recvTime", "type", "typeSign", "pushDataType", "timestamp", "hpVolume")
    TIME_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DIR_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    TURNOVER_FIELD_NUMBER: _ClassVar[int]
    RECVTIME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TYPESIGN_FIELD_NUMBER: _ClassVar[int]
    PUSHDATATYPE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    HPVOLUME_FIELD_NUMBER: _ClassVar[int]
    time: str
    sequence: int
    dir: int
    price: float
    volume: int
    turnover: float
    recvTime: float
    type: int
    typeSign: int
    pushDataType: int
    timestamp: float
    hpVolume: float
    def __init__(self, time: _Optional[str] = ..., sequence: _Optional[int] = ..., dir: _Optional[int] = ..., price: _Optional[float] = ..., volume: _Optional[int] = ..., turnover: _Optional[float] = ..., recvTime: _Optional[float] = ..., type: _Optional[int] = ..., typeSign: _Optional[int] = ..., pushDataType: _Optional[int] = ..., timestamp: _Optional[float] = ..., hpVolume: _Optional[float] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("retType", "retMsg", "errCode")
    RETTYPE_FIELD_NUMBER: _ClassVar[int]
    RETMSG_FIELD_NUMBER: _ClassVar[int]
    ERRCODE_FIELD_NUMBER: _ClassVar[int]
    retType: int
    retMsg: str
    errCode: int
    def __init__(self, retType: _Optional[int] = ..., retMsg: _Optional[str] = ..., errCode: _Optional[int] = ...) -> None: ...

class InitConnectRequest(_message.Message):
    __slots__ = ("c2s",)
    class C2S(_message.Message):
        __slots__ = ("clientVer", "clientID", "recvNotify", "packetEncAlgo", "pushProtoFmt", "programmingLanguage")
        CLIENTVER_FIELD_NUMBER: _ClassVar[int]
        CLIENTID_FIELD_NUMBER: _ClassVar[int]
        RECVNOTIFY_FIELD_NUMBER: _ClassVar[int]
        PACKETENCALGO_FIELD_NUMBER: _ClassVar[int]
        PUSHPROTOFMT_FIELD_NUMBER: _ClassVar[int]
        PROGRAMMINGLANGUAGE_FIELD_NUMBER: _ClassVar[int]
        clientVer: int
        clientID: str
        recvNotify: bool
        packetEncAlgo: int
        pushProtoFmt: int
        programmingLanguage: str
        def __init__(self, clientVer: _Optional[int] = ..., clientID: _Optional[str] = ..., recvNotify: _Optional[bool] = ..., packetEncAlgo: _Optional[int] = ..., pushProtoFmt: _Optional[int] = ..., programmingLanguage: _Optional[str] = ...) -> None: ...
    C2S_FIELD_NUMBER: _ClassVar[int]
    c2s: InitConnectRequest.C2S
    def __init__(self, c2s: _Optional[_Union[InitConnectRequest.C2S, _Mapping]] = ...) -> None: ...

class InitConnectResponse(_message.Message):
    __slots__ = ("retType", "retMsg", "errCode", "s2c")
    class S2C(_message.Message):
        __slots__ = ("serverVer", "loginUserID", "connID", "connAESKey", "keepAliveInterval", "aesCBCiv", "userAttribution")
        SERVERVER_FIELD_NUMBER: _ClassVar[int]
        LOGINUSERID_FIELD_NUMBER: _ClassVar[int]
        CONNID_FIELD_NUMBER: _ClassVar[int]
        CONNAESKEY_FIELD_NUMBER: _ClassVar[int]
        KEEPALIVEINTERVAL_FIELD_NUMBER: _ClassVar[int]
        AESCBCIV_FIELD_NUMBER: _ClassVar[int]
        USERATTRIBUTION_FIELD_NUMBER: _ClassVar[int]
        serverVer: int
        loginUserID: int
        connID: int
        connAESKey: str
        keepAliveInterval: int
        aesCBCiv: str
        userAttribution: int
        def __init__(self, serverVer: _Optional[int] = ..., loginUserID: _Optional[int] = ..., connID: _Optional[int] = ..., connAESKey: _Optional[str] = ..., keepAliveInterval: _Optional[int] = ..., aesCBCiv: _Optional[str] = ..., userAttribution: _Optional[int] = ...) -> None: ...
    RETTYPE_FIELD_NUMBER: _ClassVar[int]
    RETMSG_FIELD_NUMBER: _ClassVar[int]
    ERRCODE_FIELD_NUMBER: _ClassVar[int]
    S2C_FIELD_NUMBER: _ClassVar[int]
    retType: int
    retMsg: str
    errCode: int
    s2c: InitConnectResponse.S2C
    def __init__(self, retType: _Optional[int] = ..., retMsg: _Optional[str] = ..., errCode: _Optional[int] = ..., s2c: _Optional[_Union[InitConnectResponse.S2C, _Mapping]] = ...) -> None: ...

class GetGlobalStateRequest(_message.Message):
    __slots__ = ("c2s",)
    class C2S(_message.Message):
        __slots__ = ("userID",)
        USERID_FIELD_NUMBER: _ClassVar[int]
        userID: int
        def __init__(self, userID: _Optional[int] = ...) -> None: ...
    C2S_FIELD_NUMBER: _ClassVar[int]
    c2s: GetGlobalStateRequest.C2S
    def __init__(self, c2s: _Optional[_Union[GetGlobalStateRequest.C2S, _Mapping]] = ...) -> None: ...

class GetGlobalStateResponse(_message.Message):
    __slots__ = ("retType", "retMsg", "errCode", "s2c")
    class S2C(_message.Message):
        __slots__ = ("marketHK", "marketUS", "marketSH", "marketSZ", "marketHKFuture", "qotLogined", "trdLogined", "serverVer", "serverBuildNo", "time", "localTime", "programStatus", "qotSvrIpAddr", "trdSvrIpAddr", "marketUSFuture", "connID")
        MARKETHK_FIELD_NUMBER: _ClassVar[int]
        MARKETUS_FIELD_NUMBER: _ClassVar[int]
        MARKETSH_FIELD_NUMBER: _ClassVar[int]
        MARKETSZ_FIELD_NUMBER: _ClassVar[int]
        MARKETHKFUTURE_FIELD_NUMBER: _ClassVar[int]
        QOTLOGINED_FIELD_NUMBER: _ClassVar[int]
        TRDLOGINED_FIELD_NUMBER: _ClassVar[int]
        SERVERVER_FIELD_NUMBER: _ClassVar[int]
        SERVERBUILDNO_FIELD_NUMBER: _ClassVar[int]
        TIME_FIELD_NUMBER: _ClassVar[int]
        LOCALTIME_FIELD_NUMBER: _ClassVar[int]
        PROGRAMSTATUS_FIELD_NUMBER: _ClassVar[int]
        QOTSVRIPADDR_FIELD_NUMBER: _ClassVar[int]
        TRDSVRIPADDR_FIELD_NUMBER: _ClassVar[int]
        MARKETUSFUTURE_FIELD_NUMBER: _ClassVar[int]
        CONNID_FIELD_NUMBER: _ClassVar[int]
        marketHK: int
        marketUS: int
        marketSH: int
        marketSZ: int
        marketHKFuture: int
        qotLogined: bool
        trdLogined: bool
        serverVer: int
        serverBuildNo: int
        time: int
        localTime: float
        programStatus: ProgramStatus
        qotSvrIpAddr: str
        trdSvrIpAddr: str
        marketUSFuture: int
        connID: int
        def __init__(self, marketHK: _Optional[int] = ..., marketUS: _Optional[int] = ..., marketSH: _Optional[int] = ..., marketSZ: _Optional[int] = ..., marketHKFuture: _Optional[int] = ..., qotLogined: _Optional[bool] = ..., trdLogined: _Optional[bool] = ..., serverVer: _Optional[int] = ..., serverBuildNo: _Optional[int] = ..., time: _Optional[int] = ..., localTime: _Optional[float] = ..., programStatus: _Optional[_Union[ProgramStatus, _Mapping]] = ..., qotSvrIpAddr: _Optional[str] = ..., trdSvrIpAddr: _Optional[str] = ..., marketUSFuture: _Optional[int] = ..., connID: _Optional[int] = ...) -> None: ...
    RETTYPE_FIELD_NUMBER: _ClassVar[int]
    RETMSG_FIELD_NUMBER: _ClassVar[int]
    ERRCODE_FIELD_NUMBER: _ClassVar[int]
    S2C_FIELD_NUMBER: _ClassVar[int]
    retType: int
    retMsg: str
    errCode: int
    s2c: GetGlobalStateResponse.S2C
    def __init__(self, retType: _Optional[int] = ..., retMsg: _Optional[str] = ..., errCode: _Optional[int] = ..., s2c: _Optional[_Union[GetGlobalStateResponse.S2C, _Mapping]] = ...) -> None: ...

class NotifyResponse(_message.Message):
    __slots__ = ("retType", "retMsg", "errCode", "s2c")
    class GtwEvent(_message.Message):
        __slots__ = ("eventType", "desc")
        EVENTTYPE_FIELD_NUMBER: _ClassVar[int]
        DESC_FIELD_NUMBER: _ClassVar[int]
        eventType: int
        desc: str
        def __init__(self, eventType: _Optional[int] = ..., desc: _Optional[str] = ...) -> None: ...
    class ProgramStatusChange(_message.Message):
        __slots__ = ("programStatus",)
        PROGRAMSTATUS_FIELD_NUMBER: _ClassVar[int]
        programStatus: ProgramStatus
        def __init__(self, programStatus: _Optional[_Union[ProgramStatus, _Mapping]] = ...) -> None: ...
    class ConnectStatus(_message.Message):
        __slots__ = ("qotLogined", "trdLogined")
        QOTLOGINED_FIELD_NUMBER: _ClassVar[int]
        TRDLOGINED_FIELD_NUMBER: _ClassVar[int]
        qotLogined: bool
        trdLogined: bool
        def __init__(self, qotLogined: _Optional[bool] = ..., trdLogined: _Optional[bool] = ...) -> None: ...
    class QotRight(_message.Message):
        __slots__ = ("hkQotRight", "usQotRight", "cnQotRight")
        HKQOTRIGHT_FIELD_NUMBER: _ClassVar[int]
        USQOTRIGHT_FIELD_NUMBER: _ClassVar[int]
        CNQOTRIGHT_FIELD_NUMBER: _ClassVar[int]
        hkQotRight: int
        usQotRight: int
        cnQotRight: int
        def __init__(self, hkQotRight: _Optional[int] = ..., usQotRight: _Optional[int] = ..., cnQotRight: _Optional[int] = ...) -> None: ...
    class APIQuota(_message.Message):
        __slots__ = ("subQuota", "historyKLQuota")
        SUBQUOTA_FIELD_NUMBER: _ClassVar[int]
        HISTORYKLQUOTA_FIELD_NUMBER: _ClassVar[int]
        subQuota: int
        historyKLQuota: int
        def __init__(self, subQuota: _Optional[int] = ..., historyKLQuota: _Optional[int] = ...) -> None: ...
    class UsedQuota(_message.Message):
        __slots__ = ("usedSubQuota", "usedKLineQuota")
        USEDSUBQUOTA_FIELD_NUMBER: _ClassVar[int]
        USEDKLINEQUOTA_FIELD_NUMBER: _ClassVar[int]
        usedSubQuota: int
        usedKLineQuota: int
        def __init__(self, usedSubQuota: _Optional[int] = ..., usedKLineQuota: _Optional[int] = ...) -> None: ...
    class S2C(_message.Message):
        __slots__ = ("type", "event", "programStatus", "connectStatus", "qotRight", "apiQuota", "usedQuota")
        TYPE_FIELD_NUMBER: _ClassVar[int]
        EVENT_FIELD_NUMBER: _ClassVar[int]
        PROGRAMSTATUS_FIELD_NUMBER: _ClassVar[int]
        CONNECTSTATUS_FIELD_NUMBER: _ClassVar[int]
        QOTRIGHT_FIELD_NUMBER: _ClassVar[int]
        APIQUOTA_FIELD_NUMBER: _ClassVar[int]
        USEDQUOTA_FIELD_NUMBER: _ClassVar[int]
        type: int
        event: NotifyResponse.GtwEvent
        programStatus: NotifyResponse.ProgramStatusChange
        connectStatus: NotifyResponse.ConnectStatus
        qotRight: NotifyResponse.QotRight
        apiQuota: NotifyResponse.APIQuota
        usedQuota: NotifyResponse.UsedQuota
        def __init__(self, type: _Optional[int] = ..., event: _Optional[_Union[NotifyResponse.GtwEvent, _Mapping]] = ..., programStatus: _Optional[_Union[NotifyResponse.ProgramStatusChange, _Mapping]] = ..., connectStatus: _Optional[_Union[NotifyResponse.ConnectStatus, _Mapping]] = ..., qotRight: _Optional[_Union[NotifyResponse.QotRight, _Mapping]] = ..., apiQuota: _Optional[_Union[NotifyResponse.APIQuota, _Mapping]] = ..., usedQuota: _Optional[_Union[NotifyResponse.UsedQuota, _Mapping]] = ...) -> None: ...
    RETTYPE_FIELD_NUMBER: _ClassVar[int]
    RETMSG_FIELD_NUMBER: _ClassVar[int]
    ERRCODE_FIELD_NUMBER: _ClassVar[int]
    S2C_FIELD_NUMBER: _ClassVar[int]
    retType: int
    retMsg: str
    errCode: int
    s2c: NotifyResponse.S2C
    def __init__(self, retType: _Optional[int] = ..., retMsg: _Optional[str] = ..., errCode: _Optional[int] = ..., s2c: _Optional[_Union[NotifyResponse.S2C, _Mapping]] = ...) -> None: ...

class KeepAliveRequest(_message.Message):
    __slots__ = ("c2s",)
    class C2S(_message.Message):
        __slots__ = ("time",)
        TIME_FIELD_NUMBER: _ClassVar[int]
        time: int
        def __init__(self, time: _Optional[int] = ...) -> None: ...
    C2S_FIELD_NUMBER: _ClassVar[int]
    c2s: KeepAliveRequest.C2S
    def __init__(self, c2s: _Optional[_Union[KeepAliveRequest.C2S, _Mapping]] = ...) -> None: ...

class KeepAliveResponse(_message.Message):
    __slots__ = ("retType", "retMsg", "errCode", "s2c")
    class S2C(_message.Message):
        __slots__ = ("time",)
        TIME_FIELD_NUMBER: _ClassVar[int]
        time: int
        def __init__(self, time: _Optional[int] = ...) -> None: ...
    RETTYPE_FIELD_NUMBER: _ClassVar[int]
    RETMSG_FIELD_NUMBER: _ClassVar[int]
    ERRCODE_FIELD_NUMBER: _ClassVar[int]
    S2C_FIELD_NUMBER: _ClassVar[int]
    retType: int
    retMsg: str
    errCode: int
    s2c: KeepAliveResponse.S2C
    def __init__(self, retType: _Optional[int] = ..., retMsg: _Optional[str] = ..., errCode: _Optional[int] = ..., s2c: _Optional[_Union[KeepAliveResponse.S2C, _Mapping]] = ...) -> None: ...

class SubRequest(_message.Message):
    __slots__ = ("c2s",)
    class C2S(_message.Message):
        __slots__ = ("securityList", "subTypeList", "isSubOrUnSub", "isRegOrUnRegPush", "regPushRehabTypeList", "isFirstPush", "isUnsubAll")
        SECURITYLIST_FIELD_NUMBER: _ClassVar[int]
        SUBTYPELIST_FIELD_NUMBER: _ClassVar[int]
        ISSUBORUNSUB_FIELD_NUMBER: _ClassVar[int]
        ISREGORUNREGPUSH_FIELD_NUMBER: _ClassVar[int]
        REGPUSHREHABTYPELIST_FIELD_NUMBER: _ClassVar[int]
        ISFIRSTPUSH_FIELD_NUMBER: _ClassVar[int]
        ISUNSUBALL_FIELD_NUMBER: _ClassVar[int]
        securityList: _containers.RepeatedCompositeFieldContainer[Security]
        subTypeList: _containers.RepeatedScalarFieldContainer[int]
        isSubOrUnSub: bool
        isRegOrUnRegPush: bool
        regPushRehabTypeList: _containers.RepeatedScalarFieldContainer[int]
        isFirstPush: bool
        isUnsubAll: bool
        def __init__(self, securityList: _Optional[_Iterable[_Union[Security, _Mapping]]] = ..., subTypeList: _Optional[_Iterable[int]] = ..., isSubOrUnSub: _Optional[bool] = ..., isRegOrUnRegPush: _Optional[bool] = ..., regPushRehabTypeList: _Optional[_Iterable[int]] = ..., isFirstPush: _Optional[bool] = ..., isUnsubAll: _Optional[bool] = ...) -> None: ...
    C2S_FIELD_NUMBER: _ClassVar[int]
    c2s: SubRequest.C2S
    def __init__(self, c2s: _Optional[_Union[SubRequest.C2S, _Mapping]] = ...) -> None: ...

class SubResponse(_message.Message):
    __slots__ = ("retType", "retMsg", "errCode", "s2c")
    class S2C(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    RETTYPE_FIELD_NUMBER: _ClassVar[int]
    RETMSG_FIELD_NUMBER: _ClassVar[int]
    ERRCODE_FIELD_NUMBER: _ClassVar[int]
    S2C_FIELD_NUMBER: _ClassVar[int]
    retType: int
    retMsg: str
    errCode: int
    s2c: SubResponse.S2C
    def __init__(self, retType: _Optional[int] = ..., retMsg: _Optional[str] = ..., errCode: _Optional[int] = ..., s2c: _Optional[_Union[SubResponse.S2C, _Mapping]] = ...) -> None: ...

class GetSubInfoRequest(_message.Message):
    __slots__ = ("c2s",)
    class C2S(_message.Message):
        __slots__ = ("isReqAllConn",)
        ISREQALLCONN_FIELD_NUMBER: _ClassVar[int]
        isReqAllConn: bool
        def __init__(self, isReqAllConn: _Optional[bool] = ...) -> None: ...
    C2S_FIELD_NUMBER: _ClassVar[int]
    c2s: GetSubInfoRequest.C2S
    def __init__(self, c2s: _Optional[_Union[GetSubInfoRequest.C2S, _Mapping]] = ...) -> None: ...

class GetSubInfoResponse(_message.Message):
    __slots__ = ("retType", "retMsg", "errCode", "s2c")
    class SubInfo(_message.Message):
        __slots__ = ("subType", "securityList")
        SUBTYPE_FIELD_NUMBER: _ClassVar[int]
        SECURITYLIST_FIELD_NUMBER: _ClassVar[int]
        subType: int
        securityList: _containers.RepeatedCompositeFieldContainer[Security]
        def __init__(self, subType: _Optional[int] = ..., securityList: _Optional[_Iterable[_Union[Security, _Mapping]]] = ...) -> None: ...
    class ConnSubInfo(_message.Message):
        __slots__ = ("subInfoList", "usedQuota", "isOwnConnData")
        SUBINFOLIST_FIELD_NUMBER: _ClassVar[int]
        USEDQUOTA_FIELD_NUMBER: _ClassVar[int]
        ISOWNCONNDATA_FIELD_NUMBER: _ClassVar[int]
        subInfoList: _containers.RepeatedCompositeFieldContainer[GetSubInfoResponse.SubInfo]
        usedQuota: int
        isOwnConnData: bool
        def __init__(self, subInfoList: _Optional[_Iterable[_Union[GetSubInfoResponse.SubInfo, _Mapping]]] = ..., usedQuota: _Optional[int] = ..., isOwnConnData: _Optional[bool] = ...) -> None: ...
    class S2C(_message.Message):
        __slots__ = ("connSubInfoList", "totalUsedQuota", "remainQuota")
        CONNSUBINFOLIST_FIELD_NUMBER: _ClassVar[int]
        TOTALUSEDQUOTA_FIELD_NUMBER: _ClassVar[int]
        REMAINQUOTA_FIELD_NUMBER: _ClassVar[int]
        connSubInfoList: _containers.RepeatedCompositeFieldContainer[GetSubInfoResponse.ConnSubInfo]
        totalUsedQuota: int
        remainQuota: int
        def __init__(self, connSubInfoList: _Optional[_Iterable[_Union[GetSubInfoResponse.ConnSubInfo, _Mapping]]] = ..., totalUsedQuota: _Optional[int] = ..., remainQuota: _Optional[int] = ...) -> None: ...
    RETTYPE_FIELD_NUMBER: _ClassVar[int]
    RETMSG_FIELD_NUMBER: _ClassVar[int]
    ERRCODE_FIELD_NUMBER: _ClassVar[int]
    S2C_FIELD_NUMBER: _ClassVar[int]
    retType: int
    retMsg: str
    errCode: int
    s2c: GetSubInfoResponse.S2C
    def __init__(self, retType: _Optional[int] = ..., retMsg: _Optional[str] = ..., errCode: _Optional[int] = ..., s2c: _Optional[_Union[GetSubInfoResponse.S2C, _Mapping]] = ...) -> None: ...

class GetBasicQotRequest(_message.Message):
    __slots__ = ("c2s",)
    class C2S(_message.Message):
        __slots__ = ("securityList",)
        SECURITYLIST_FIELD_NUMBER: _ClassVar[int]
        securityList: _containers.RepeatedCompositeFieldContainer[Security]
        def __init__(self, securityList: _Optional[_Iterable[_Union[Security, _Mapping]]] = ...) -> None: ...
    C2S_FIELD_NUMBER: _ClassVar[int]
    c2s: GetBasicQotRequest.C2S
    def __init__(self, c2s: _Optional[_Union[GetBasicQotRequest.C2S, _Mapping]] = ...) -> None: ...

class GetBasicQotResponse(_message.Message):
    __slots__ = ("retType", "retMsg", "errCode", "s2c")
    class BasicQot(_message.Message):
        __slots__ = ("security", "isSuspended", "listTime", "priceSpread", "updateTime", "highPrice", "openPrice", "lowPrice", "curPrice", "lastClosePrice", "volume", "turnover", "turnoverRate", "amplitude", "updateTimestamp", "secStatus", "name", "hpVolume")
        SECURITY_FIELD_NUMBER: _ClassVar[int]
        ISSUSPENDED_FIELD_NUMBER: _ClassVar[int]
        LISTTIME_FIELD_NUMBER: _ClassVar[int]
        PRICESPREAD_FIELD_NUMBER: _ClassVar[int]
        UPDATETIME_FIELD_NUMBER: _ClassVar[int]
        HIGHPRICE_FIELD_NUMBER: _ClassVar[int]
        OPENPRICE_FIELD_NUMBER: _ClassVar[int]
        LOWPRICE_FIELD_NUMBER: _ClassVar[int]
        CURPRICE_FIELD_NUMBER: _ClassVar[int]
        LASTCLOSEPRICE_FIELD_NUMBER: _ClassVar[int]
        VOLUME_FIELD_NUMBER: _ClassVar[int]
        TURNOVER_FIELD_NUMBER: _ClassVar[int]
        TURNOVERRATE_FIELD_NUMBER: _ClassVar[int]
        AMPLITUDE_FIELD_NUMBER: _ClassVar[int]
        UPDATETIMESTAMP_FIELD_NUMBER: _ClassVar[int]
        SECSTATUS_FIELD_NUMBER: _ClassVar[int]
        NAME_FIELD_NUMBER: _ClassVar[int]
        HPVOLUME_FIELD_NUMBER: _ClassVar[int]
        security: Security
        isSuspended: bool
        listTime: str
        priceSpread: float
        updateTime: str
        highPrice: float
        openPrice: float
        lowPrice: float
        curPrice: float
        lastClosePrice: float
        volume: int
        turnover: float
        turnoverRate: float
        amplitude: float
        updateTimestamp: float
        secStatus: int
        name: str
        hpVolume: float
        def __init__(self, security: _Optional[_Union[Security, _Mapping]] = ..., isSuspended: _Optional[bool] = ..., listTime: _Optional[str] = ..., priceSpread: _Optional[float] = ..., updateTime: _Optional[str] = ..., highPrice: _Optional[float] = ..., openPrice: _Optional[float] = ..., lowPrice: _Optional[float] = ..., curPrice: _Optional[float] = ..., lastClosePrice: _Optional[float] = ..., volume: _Optional[int] = ..., turnover: _Optional[float] = ..., turnoverRate: _Optional[float] = ..., amplitude: _Optional[float] = ..., updateTimestamp: _Optional[float] = ..., secStatus: _Optional[int] = ..., name: _Optional[str] = ..., hpVolume: _Optional[float] = ...) -> None: ...
    class S2C(_message.Message):
        __slots__ = ("basicQotList",)
        BASICQOTLIST_FIELD_NUMBER: _ClassVar[int]
        basicQotList: _containers.RepeatedCompositeFieldContainer[GetBasicQotResponse.BasicQot]
        def __init__(self, basicQotList: _Optional[_Iterable[_Union[GetBasicQotResponse.BasicQot, _Mapping]]] = ...) -> None: ...
    RETTYPE_FIELD_NUMBER: _ClassVar[int]
    RETMSG_FIELD_NUMBER: _ClassVar[int]
    ERRCODE_FIELD_NUMBER: _ClassVar[int]
    S2C_FIELD_NUMBER: _ClassVar[int]
    retType: int
    retMsg: str
    errCode: int
    s2c: GetBasicQotResponse.S2C
    def __init__(self, retType: _Optional[int] = ..., retMsg: _Optional[str] = ..., errCode: _Optional[int] = ..., s2c: _Optional[_Union[GetBasicQotResponse.S2C, _Mapping]] = ...) -> None: ...

class GetTickerRequest(_message.Message):
    __slots__ = ("c2s",)
    class C2S(_message.Message):
        __slots__ = ("security", "maxRetNum")
        SECURITY_FIELD_NUMBER: _ClassVar[int]
        MAXRETNUM_FIELD_NUMBER: _ClassVar[int]
        security: Security
        maxRetNum: int
        def __init__(self, security: _Optional[_Union[Security, _Mapping]] = ..., maxRetNum: _Optional[int] = ...) -> None: ...
    C2S_FIELD_NUMBER: _ClassVar[int]
    c2s: GetTickerRequest.C2S
    def __init__(self, c2s: _Optional[_Union[GetTickerRequest.C2S, _Mapping]] = ...) -> None: ...

class TickerPush(_message.Message):
    __slots__ = ("retType", "s2c")
    class S2C(_message.Message):
        __slots__ = ("security", "tickerList")
        SECURITY_FIELD_NUMBER: _ClassVar[int]
        TICKERLIST_FIELD_NUMBER: _ClassVar[int]
        security: bytes
        tickerList: _containers.RepeatedCompositeFieldContainer[Ticker]
        def __init__(self, security: _Optional[bytes] = ..., tickerList: _Optional[_Iterable[_Union[Ticker, _Mapping]]] = ...) -> None: ...
    RETTYPE_FIELD_NUMBER: _ClassVar[int]
    S2C_FIELD_NUMBER: _ClassVar[int]
    retType: int
    s2c: TickerPush.S2C
    def __init__(self, retType: _Optional[int] = ..., s2c: _Optional[_Union[TickerPush.S2C, _Mapping]] = ...) -> None: ...

class TickerResponse(_message.Message):
    __slots__ = ("retType", "retMsg", "errCode", "s2c")
    class S2C(_message.Message):
        __slots__ = ("security", "tickerList", "name")
        SECURITY_FIELD_NUMBER: _ClassVar[int]
        TICKERLIST_FIELD_NUMBER: _ClassVar[int]
        NAME_FIELD_NUMBER: _ClassVar[int]
        security: Security
        tickerList: _containers.RepeatedCompositeFieldContainer[Ticker]
        name: str
        def __init__(self, security: _Optional[_Union[Security, _Mapping]] = ..., tickerList: _Optional[_Iterable[_Union[Ticker, _Mapping]]] = ..., name: _Optional[str] = ...) -> None: ...
    RETTYPE_FIELD_NUMBER: _ClassVar[int]
    RETMSG_FIELD_NUMBER: _ClassVar[int]
    ERRCODE_FIELD_NUMBER: _ClassVar[int]
    S2C_FIELD_NUMBER: _ClassVar[int]
    retType: int
    retMsg: str
    errCode: int
    s2c: TickerResponse.S2C
    def __init__(self, retType: _Optional[int] = ..., retMsg: _Optional[str] = ..., errCode: _Optional[int] = ..., s2c: _Optional[_Union[TickerResponse.S2C, _Mapping]] = ...) -> None: ...

class GetStaticInfoRequest(_message.Message):
    __slots__ = ("c2s",)
    class C2S(_message.Message):
        __slots__ = ("market", "secType", "securityList")
        MARKET_FIELD_NUMBER: _ClassVar[int]
        SECTYPE_FIELD_NUMBER: _ClassVar[int]
        SECURITYLIST_FIELD_NUMBER: _ClassVar[int]
        market: int
        secType: int
        securityList: _containers.RepeatedCompositeFieldContainer[Security]
        def __init__(self, market: _Optional[int] = ..., secType: _Optional[int] = ..., securityList: _Optional[_Iterable[_Union[Security, _Mapping]]] = ...) -> None: ...
    C2S_FIELD_NUMBER: _ClassVar[int]
    c2s: GetStaticInfoRequest.C2S
    def __init__(self, c2s: _Optional[_Union[GetStaticInfoRequest.C2S, _Mapping]] = ...) -> None: ...

class GetStaticInfoResponse(_message.Message):
    __slots__ = ("retType", "retMsg", "errCode", "s2c")
    class SecurityStaticBasic(_message.Message):
        __slots__ = ("security", "id", "lotSize", "secType", "name", "listTime", "delisting", "listTimestamp", "exchType")
        SECURITY_FIELD_NUMBER: _ClassVar[int]
        ID_FIELD_NUMBER: _ClassVar[int]
        LOTSIZE_FIELD_NUMBER: _ClassVar[int]
        SECTYPE_FIELD_NUMBER: _ClassVar[int]
        NAME_FIELD_NUMBER: _ClassVar[int]
        LISTTIME_FIELD_NUMBER: _ClassVar[int]
        DELISTING_FIELD_NUMBER: _ClassVar[int]
        LISTTIMESTAMP_FIELD_NUMBER: _ClassVar[int]
        EXCHTYPE_FIELD_NUMBER: _ClassVar[int]
        security: Security
        id: int
        lotSize: int
        secType: int
        name: str
        listTime: str
        delisting: bool
        listTimestamp: float
        exchType: int
        def __init__(self, security: _Optional[_Union[Security, _Mapping]] = ..., id: _Optional[int] = ..., lotSize: _Optional[int] = ..., secType: _Optional[int] = ..., name: _Optional[str] = ..., listTime: _Optional[str] = ..., delisting: _Optional[bool] = ..., listTimestamp: _Optional[float] = ..., exchType: _Optional[int] = ...) -> None: ...
    class SecurityStaticInfo(_message.Message):
        __slots__ = ("basic",)
        BASIC_FIELD_NUMBER: _ClassVar[int]
        basic: GetStaticInfoResponse.SecurityStaticBasic
        def __init__(self, basic: _Optional[_Union[GetStaticInfoResponse.SecurityStaticBasic, _Mapping]] = ...) -> None: ...
    class S2C(_message.Message):
        __slots__ = ("staticInfoList",)
        STATICINFOLIST_FIELD_NUMBER: _ClassVar[int]
        staticInfoList: _containers.RepeatedCompositeFieldContainer[GetStaticInfoResponse.SecurityStaticInfo]
        def __init__(self, staticInfoList: _Optional[_Iterable[_Union[GetStaticInfoResponse.SecurityStaticInfo, _Mapping]]] = ...) -> None: ...
    RETTYPE_FIELD_NUMBER: _ClassVar[int]
    RETMSG_FIELD_NUMBER: _ClassVar[int]
    ERRCODE_FIELD_NUMBER: _ClassVar[int]
    S2C_FIELD_NUMBER: _ClassVar[int]
    retType: int
    retMsg: str
    errCode: int
    s2c: GetStaticInfoResponse.S2C
    def __init__(self, retType: _Optional[int] = ..., retMsg: _Optional[str] = ..., errCode: _Optional[int] = ..., s2c: _Optional[_Union[GetStaticInfoResponse.S2C, _Mapping]] = ...) -> None: ...

class GetSecuritySnapshotRequest(_message.Message):
    __slots__ = ("c2s",)
    class C2S(_message.Message):
        __slots__ = ("securityList",)
        SECURITYLIST_FIELD_NUMBER: _ClassVar[int]
        securityList: _containers.RepeatedCompositeFieldContainer[Security]
        def __init__(self, securityList: _Optional[_Iterable[_Union[Security, _Mapping]]] = ...) -> None: ...
    C2S_FIELD_NUMBER: _ClassVar[int]
    c2s: GetSecuritySnapshotRequest.C2S
    def __init__(self, c2s: _Optional[_Union[GetSecuritySnapshotRequest.C2S, _Mapping]] = ...) -> None: ...

class GetSecuritySnapshotResponse(_message.Message):
    __slots__ = ("retType", "retMsg", "errCode", "s2c")
    class SnapshotBasicData(_message.Message):
        __slots__ = ("security", "type", "isSuspend", "listTime", "lotSize", "priceSpread", "updateTime", "highPrice", "openPrice", "lowPrice", "lastClosePrice", "curPrice", "volume", "turnover", "turnoverRate", "updateTimestamp", "secStatus", "name", "hpVolume")
        SECURITY_FIELD_NUMBER: _ClassVar[int]
        TYPE_FIELD_NUMBER: _ClassVar[int]
        ISSUSPEND_FIELD_NUMBER: _ClassVar[int]
        LISTTIME_FIELD_NUMBER: _ClassVar[int]
        LOTSIZE_FIELD_NUMBER: _ClassVar[int]
        PRICESPREAD_FIELD_NUMBER: _ClassVar[int]
        UPDATETIME_FIELD_NUMBER: _ClassVar[int]
        HIGHPRICE_FIELD_NUMBER: _ClassVar[int]
        OPENPRICE_FIELD_NUMBER: _ClassVar[int]
        LOWPRICE_FIELD_NUMBER: _ClassVar[int]
        LASTCLOSEPRICE_FIELD_NUMBER: _ClassVar[int]
        CURPRICE_FIELD_NUMBER: _ClassVar[int]
        VOLUME_FIELD_NUMBER: _ClassVar[int]
        TURNOVER_FIELD_NUMBER: _ClassVar[int]
        TURNOVERRATE_FIELD_NUMBER: _ClassVar[int]
        UPDATETIMESTAMP_FIELD_NUMBER: _ClassVar[int]
        SECSTATUS_FIELD_NUMBER: _ClassVar[int]
        NAME_FIELD_NUMBER: _ClassVar[int]
        HPVOLUME_FIELD_NUMBER: _ClassVar[int]
        security: Security
        type: int
        isSuspend: bool
        listTime: str
        lotSize: int
        priceSpread: float
        updateTime: str
        highPrice: float
        openPrice: float
        lowPrice: float
        lastClosePrice: float
        curPrice: float
        volume: int
        turnover: float
        turnoverRate: float
        updateTimestamp: float
        secStatus: int
        name: str
        hpVolume: float
        def __init__(self, security: _Optional[_Union[Security, _Mapping]] = ..., type: _Optional[int] = ..., isSuspend: _Optional[bool] = ..., listTime: _Optional[str] = ..., lotSize: _Optional[int] = ..., priceSpread: _Optional[float] = ..., updateTime: _Optional[str] = ..., highPrice: _Optional[float] = ..., openPrice: _Optional[float] = ..., lowPrice: _Optional[float] = ..., lastClosePrice: _Optional[float] = ..., curPrice: _Optional[float] = ..., volume: _Optional[int] = ..., turnover: _Optional[float] = ..., turnoverRate: _Optional[float] = ..., updateTimestamp: _Optional[float] = ..., secStatus: _Optional[int] = ..., name: _Optional[str] = ..., hpVolume: _Optional[float] = ...) -> None: ...
    class Snapshot(_message.Message):
        __slots__ = ("basic",)
        BASIC_FIELD_NUMBER: _ClassVar[int]
        basic: GetSecuritySnapshotResponse.SnapshotBasicData
        def __init__(self, basic: _Optional[_Union[GetSecuritySnapshotResponse.SnapshotBasicData, _Mapping]] = ...) -> None: ...
    class S2C(_message.Message):
        __slots__ = ("snapshotList",)
        SNAPSHOTLIST_FIELD_NUMBER: _ClassVar[int]
        snapshotList: _containers.RepeatedCompositeFieldContainer[GetSecuritySnapshotResponse.Snapshot]
        def __init__(self, snapshotList: _Optional[_Iterable[_Union[GetSecuritySnapshotResponse.Snapshot, _Mapping]]] = ...) -> None: ...
    RETTYPE_FIELD_NUMBER: _ClassVar[int]
    RETMSG_FIELD_NUMBER: _ClassVar[int]
    ERRCODE_FIELD_NUMBER: _ClassVar[int]
    S2C_FIELD_NUMBER: _ClassVar[int]
    retType: int
    retMsg: str
    errCode: int
    s2c: GetSecuritySnapshotResponse.S2C
    def __init__(self, retType: _Optional[int] = ..., retMsg: _Optional[str] = ..., errCode: _Optional[int] = ..., s2c: _Optional[_Union[GetSecuritySnapshotResponse.S2C, _Mapping]] = ...) -> None: ...

class RequestTradeDateRequest(_message.Message):
    __slots__ = ("c2s",)
    class C2S(_message.Message):
        __slots__ = ("market", "beginTime", "endTime", "security")
        MARKET_FIELD_NUMBER: _ClassVar[int]
        BEGINTIME_FIELD_NUMBER: _ClassVar[int]
        ENDTIME_FIELD_NUMBER: _ClassVar[int]
        SECURITY_FIELD_NUMBER: _ClassVar[int]
        market: int
        beginTime: str
        endTime: str
        security: Security
        def __init__(self, market: _Optional[int] = ..., beginTime: _Optional[str] = ..., endTime: _Optional[str] = ..., security: _Optional[_Union[Security, _Mapping]] = ...) -> None: ...
    C2S_FIELD_NUMBER: _ClassVar[int]
    c2s: RequestTradeDateRequest.C2S
    def __init__(self, c2s: _Optional[_Union[RequestTradeDateRequest.C2S, _Mapping]] = ...) -> None: ...

class RequestTradeDateResponse(_message.Message):
    __slots__ = ("retType", "retMsg", "errCode", "s2c")
    class TradeDate(_message.Message):
        __slots__ = ("time", "timestamp", "tradeDateType")
        TIME_FIELD_NUMBER: _ClassVar[int]
        TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
        TRADEDATETYPE_FIELD_NUMBER: _ClassVar[int]
        time: str
        timestamp: float
        tradeDateType: int
        def __init__(self, time: _Optional[str] = ..., timestamp: _Optional[float] = ..., tradeDateType: _Optional[int] = ...) -> None: ...
    class S2C(_message.Message):
        __slots__ = ("tradeDateList",)
        TRADEDATELIST_FIELD_NUMBER: _ClassVar[int]
        tradeDateList: _containers.RepeatedCompositeFieldContainer[RequestTradeDateResponse.TradeDate]
        def __init__(self, tradeDateList: _Optional[_Iterable[_Union[RequestTradeDateResponse.TradeDate, _Mapping]]] = ...) -> None: ...
    RETTYPE_FIELD_NUMBER: _ClassVar[int]
    RETMSG_FIELD_NUMBER: _ClassVar[int]
    ERRCODE_FIELD_NUMBER: _ClassVar[int]
    S2C_FIELD_NUMBER: _ClassVar[int]
    retType: int
    retMsg: str
    errCode: int
    s2c: RequestTradeDateResponse.S2C
    def __init__(self, retType: _Optional[int] = ..., retMsg: _Optional[str] = ..., errCode: _Optional[int] = ..., s2c: _Optional[_Union[RequestTradeDateResponse.S2C, _Mapping]] = ...) -> None: ...
