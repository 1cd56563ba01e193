"""OpenD's notices about itself: the bodies of Notify pushes, by the names that a scenario uses."""

from __future__ import annotations

from typing import Final

from hk_tick_collector.opend import opend_pb2 as pb

_GATEWAY, _PROGRAM, _CONNECTION, _RIGHT = 1, 2, 3, 4  # Notify.NotifyType
_US_AND_CN: Final = 1  # Qot_Common rights for markets that are not simulated

_EVENTS: Final = {  # Notify.GtwEventType
    "config-load-failed": 1,
    "api-server-failed": 2,
    "needs-update": 3,
    "login-failed": 4,
    "disclaimer-not-agreed": 5,
    "network-config-missing": 6,
    "kicked-out": 7,
    "password-changed": 8,
    "login-banned": 9,
    "needs-captcha": 10,
    "needs-sms-code": 11,
}
_PROGRAM_STATES: Final = {  # Common.ProgramStatusType
    "loaded": 1,
    "logging_in": 2,
    "needs_captcha": 3,
    "needs_sms_code": 4,
    "login_failed": 5,
    "needs_update": 6,
    "preparing": 7,
    "data_missing": 8,
    "disclaimer_not_agreed": 9,
    "ready": 10,
    "forced_logout": 11,
}
_RIGHTS: Final = {"bmp": 1, "level1": 2, "level2": 3, "none": 5}  # Qot_Common.QotRight

PROGRAMS: Final = tuple(word for word in _PROGRAM_STATES if word != "ready")
RIGHTS: Final = tuple(_RIGHTS)
RIGHTS_WITHOUT_PUSHES: Final = frozenset({"bmp", "none"})
NOTICES: Final = (*_EVENTS, "quote-link-lost", "quote-link-up", *(f"quote-right-{right}" for right in _RIGHTS))


def notice(kind: str) -> bytes:
    """The body of one of NOTICES."""
    if kind in _EVENTS:
        event = pb.NotifyResponse.GtwEvent(eventType=_EVENTS[kind], desc=kind.replace("-", " "))
        return _body(pb.NotifyResponse.S2C(type=_GATEWAY, event=event))
    if kind.startswith("quote-link-"):
        up = kind == "quote-link-up"
        status = pb.NotifyResponse.ConnectStatus(qotLogined=up, trdLogined=True)
        return _body(pb.NotifyResponse.S2C(type=_CONNECTION, connectStatus=status))
    right = _RIGHTS[kind.removeprefix("quote-right-")]
    rights = pb.NotifyResponse.QotRight(hkQotRight=right, usQotRight=_US_AND_CN, cnQotRight=_US_AND_CN)
    return _body(pb.NotifyResponse.S2C(type=_RIGHT, qotRight=rights))


def program_notice(state: int) -> bytes:
    """The body that reports a change of OpenD's own state."""
    change = pb.NotifyResponse.ProgramStatusChange(programStatus=pb.ProgramStatus(type=state))
    return _body(pb.NotifyResponse.S2C(type=_PROGRAM, programStatus=change))


def program_number(word: str) -> int:
    """The Common.ProgramStatusType of one of PROGRAMS."""
    return _PROGRAM_STATES[word]


def _body(s2c: pb.NotifyResponse.S2C) -> bytes:
    return pb.NotifyResponse(retType=0, retMsg="", errCode=0, s2c=s2c).SerializeToString()
