from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Ticks(_message.Message):
    __slots__ = ("source", "day", "symbols", "words", "symbol", "seq", "ts_ms", "price", "volume", "turnover", "direction", "tick_type", "push_type", "recv_ts_ms", "opend_recv_ts_ms", "type_sign", "no_opend_recv")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DAY_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    TS_MS_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    TURNOVER_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    TICK_TYPE_FIELD_NUMBER: _ClassVar[int]
    PUSH_TYPE_FIELD_NUMBER: _ClassVar[int]
    RECV_TS_MS_FIELD_NUMBER: _ClassVar[int]
    OPEND_RECV_TS_MS_FIELD_NUMBER: _ClassVar[int]
    TYPE_SIGN_FIELD_NUMBER: _ClassVar[int]
    NO_OPEND_RECV_FIELD_NUMBER: _ClassVar[int]
    source: str
    day: str
    symbols: _containers.RepeatedScalarFieldContainer[str]
    words: _containers.RepeatedScalarFieldContainer[str]
    symbol: _containers.RepeatedScalarFieldContainer[int]
    seq: _containers.RepeatedScalarFieldContainer[int]
    ts_ms: _containers.RepeatedScalarFieldContainer[int]
    price: _containers.RepeatedScalarFieldContainer[float]
    volume: _containers.RepeatedScalarFieldContainer[int]
    turnover: _containers.RepeatedScalarFieldContainer[float]
    direction: _containers.RepeatedScalarFieldContainer[int]
    tick_type: _containers.RepeatedScalarFieldContainer[int]
    push_type: _containers.RepeatedScalarFieldContainer[int]
    recv_ts_ms: _containers.RepeatedScalarFieldContainer[int]
    opend_recv_ts_ms: _containers.RepeatedScalarFieldContainer[int]
    type_sign: _containers.RepeatedScalarFieldContainer[int]
    no_opend_recv: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, source: _Optional[str] = ..., day: _Optional[str] = ..., symbols: _Optional[_Iterable[str]] = ..., words: _Optional[_Iterable[str]] = ..., symbol: _Optional[_Iterable[int]] = ..., seq: _Optional[_Iterable[int]] = ..., ts_ms: _Optional[_Iterable[int]] = ..., price: _Optional[_Iterable[float]] = ..., volume: _Optional[_Iterable[int]] = ..., turnover: _Optional[_Iterable[float]] = ..., direction: _Optional[_Iterable[int]] = ..., tick_type: _Optional[_Iterable[int]] = ..., push_type: _Optional[_Iterable[int]] = ..., recv_ts_ms: _Optional[_Iterable[int]] = ..., opend_recv_ts_ms: _Optional[_Iterable[int]] = ..., type_sign: _Optional[_Iterable[int]] = ..., no_opend_recv: _Optional[_Iterable[int]] = ...) -> None: ...

class Sums(_message.Message):
    __slots__ = ("source", "day", "at_ms", "sealed", "symbols", "rows", "seq_sum", "totals", "answered_before")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DAY_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    SEQ_SUM_FIELD_NUMBER: _ClassVar[int]
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    source: str
    day: str
    at_ms: int
    sealed: bool
    symbols: _containers.RepeatedScalarFieldContainer[str]
    rows: _containers.RepeatedScalarFieldContainer[int]
    seq_sum: _containers.RepeatedScalarFieldContainer[int]
    totals: Totals
    answered_before: int
    def __init__(self, source: _Optional[str] = ..., day: _Optional[str] = ..., at_ms: _Optional[int] = ..., sealed: _Optional[bool] = ..., symbols: _Optional[_Iterable[str]] = ..., rows: _Optional[_Iterable[int]] = ..., seq_sum: _Optional[_Iterable[int]] = ..., totals: _Optional[_Union[Totals, _Mapping]] = ..., answered_before: _Optional[int] = ...) -> None: ...

class Totals(_message.Message):
    __slots__ = ("symbols", "words", "at_ms", "volume", "turnover", "odd_lot_volume", "odd_lot_turnover", "late_volume", "late_turnover", "official_volume", "official_turnover", "explained", "no_answer")
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    TURNOVER_FIELD_NUMBER: _ClassVar[int]
    ODD_LOT_VOLUME_FIELD_NUMBER: _ClassVar[int]
    ODD_LOT_TURNOVER_FIELD_NUMBER: _ClassVar[int]
    LATE_VOLUME_FIELD_NUMBER: _ClassVar[int]
    LATE_TURNOVER_FIELD_NUMBER: _ClassVar[int]
    OFFICIAL_VOLUME_FIELD_NUMBER: _ClassVar[int]
    OFFICIAL_TURNOVER_FIELD_NUMBER: _ClassVar[int]
    EXPLAINED_FIELD_NUMBER: _ClassVar[int]
    NO_ANSWER_FIELD_NUMBER: _ClassVar[int]
    symbols: _containers.RepeatedScalarFieldContainer[str]
    words: _containers.RepeatedScalarFieldContainer[str]
    at_ms: _containers.RepeatedScalarFieldContainer[int]
    volume: _containers.RepeatedScalarFieldContainer[int]
    turnover: _containers.RepeatedScalarFieldContainer[float]
    odd_lot_volume: _containers.RepeatedScalarFieldContainer[int]
    odd_lot_turnover: _containers.RepeatedScalarFieldContainer[float]
    late_volume: _containers.RepeatedScalarFieldContainer[int]
    late_turnover: _containers.RepeatedScalarFieldContainer[float]
    official_volume: _containers.RepeatedScalarFieldContainer[int]
    official_turnover: _containers.RepeatedScalarFieldContainer[float]
    explained: _containers.RepeatedScalarFieldContainer[int]
    no_answer: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, symbols: _Optional[_Iterable[str]] = ..., words: _Optional[_Iterable[str]] = ..., at_ms: _Optional[_Iterable[int]] = ..., volume: _Optional[_Iterable[int]] = ..., turnover: _Optional[_Iterable[float]] = ..., odd_lot_volume: _Optional[_Iterable[int]] = ..., odd_lot_turnover: _Optional[_Iterable[float]] = ..., late_volume: _Optional[_Iterable[int]] = ..., late_turnover: _Optional[_Iterable[float]] = ..., official_volume: _Optional[_Iterable[int]] = ..., official_turnover: _Optional[_Iterable[float]] = ..., explained: _Optional[_Iterable[int]] = ..., no_answer: _Optional[_Iterable[int]] = ...) -> None: ...

class Again(_message.Message):
    __slots__ = ("source", "day", "symbols")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DAY_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    source: str
    day: str
    symbols: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, source: _Optional[str] = ..., day: _Optional[str] = ..., symbols: _Optional[_Iterable[str]] = ...) -> None: ...
