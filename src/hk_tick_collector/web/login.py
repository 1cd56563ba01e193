"""The form for WEB_TOKEN: a browser gets a session for the right one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect
from starlette.responses import RedirectResponse
from starlette.routing import Route

from .guard import LOGIN, SESSION, address_of
from .tokens import SESSION_S

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from .pages import Pages
    from .tokens import Attempts, Token

_LONGEST: Final = 2048  # of the form


def routes(pages: Pages, token: Token, attempts: Attempts) -> list[Route]:
    """The form, and its answer."""

    async def form(request: Request) -> Response:
        return pages.page(request, "login.html", wrong=False, wait_s=0)

    async def enter(request: Request) -> Response:
        given = await _given(request)
        address, now_s = address_of(request.scope), time.monotonic()
        if (wait_s := attempts.wait_s(address, now_s)) > 0:
            answer = pages.page(request, "login.html", code=429, wrong=True, wait_s=int(wait_s) + 1)
            answer.headers["Retry-After"] = str(int(wait_s) + 1)
            return answer
        if not token.is_right(given):
            attempts.failed(address, now_s)
            return pages.page(request, "login.html", code=401, wrong=True, wait_s=0)
        answer_right = RedirectResponse("/", 303)
        session = token.session(time.time())
        secure = request.url.scheme == "https"
        answer_right.set_cookie(SESSION, session, SESSION_S, httponly=True, samesite="strict", secure=secure)
        return answer_right

    return [Route(LOGIN, form, methods=["GET"]), Route(LOGIN, enter, methods=["POST"])]


async def _given(request: Request) -> str:
    """The token of the form; empty if the form is too long, not one, or not complete."""
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > _LONGEST:
                return ""
    except ClientDisconnect:
        return ""
    found = parse_qs(body.decode("utf-8", "replace"), max_num_fields=4, separator="&") if body.count(b"&") < 4 else {}
    return found.get("token", [""])[0]
