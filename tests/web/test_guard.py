"""Who may ask, and under which name: over real HTTP, against the verb itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from hk_tick_collector.web.guard import HEADERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .conftest import Web

TOKEN: Final = "correct-horse-battery"
HTML: Final = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, serve_in: Callable[..., Any]) -> Iterator[Web]:
    """A page that needs no token; the tests leave it as it was."""
    with serve_in(tmp_path_factory.mktemp("own"), "WEB_HOSTS=ticks.internal\n") as web:
        yield web


@pytest.fixture
def locked(serve: Callable[..., Web]) -> Web:
    """A page with a token."""
    return serve(f"WEB_TOKEN={TOKEN}\n")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9110", "", "127.0.0.1.evil.example"])
def test_a_foreign_host_sees_nothing(own: Web, host: str) -> None:
    """DNS rebinding: another site's page, in the operator's own browser, gets no figure."""
    for path in ("/", "/now/events", "/static/page.js", "/alive"):
        answer = own.get(path, {"Host": host})
        assert answer.code == 421
        assert "WEB_HOSTS" in answer.text


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9110", "[::1]", "ticks.internal"])
def test_own_names_are_answered(own: Web, host: str) -> None:
    """Addresses, localhost, and those of WEB_HOSTS."""
    assert own.get("/alive", {"Host": host}).code == 200


@pytest.mark.parametrize("path", ["/", "/static/page.css", "/nowhere", "/alive"])
def test_every_answer_has_the_headers_of_security(own: Web, path: str) -> None:
    """No inline script or style, nothing from elsewhere, no frame around it."""
    answer = own.get(path)
    assert {name: answer.headers.get(name.lower()) for name in HEADERS} == HEADERS
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "server" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_it_only_reads(own: Web, method: str) -> None:
    """There is nothing to change."""
    assert own.get("/", method=method).code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/static/../guard.py",
        "/static/..%2fguard.py",
        "/static/%2e%2e/%2e%2e/__init__.py",
        "/static//etc/passwd",
        "/static/../../../../../../../../etc/passwd",
        "/../../etc/passwd",
        "/static/\\..\\guard.py",
        "/static/%00",
        "/static/",
        "/symbol%2f..%2f..",
    ],
)
def test_a_path_leads_nowhere_but_to_the_page(own: Web, path: str) -> None:
    """Whatever dots and slashes it has."""
    answer = own.get(path)
    assert answer.code in (400, 404)
    assert "root:" not in answer.text
    assert "import annotations" not in answer.text


def test_without_the_token_there_is_only_the_form(locked: Web) -> None:
    """A browser is sent to it, a program gets 401; neither sees a figure."""
    answer = locked.get("/", HTML)
    assert (answer.code, answer.headers["location"], answer.text) == (303, "/login", "")
    for path in ("/", "/now/events", "/alive"):
        assert locked.get(path).code == 401
    assert 'type="password"' in locked.get("/login").text
    assert locked.get("/static/page.css").code == 200


def test_the_token_opens_the_page_for_programs_and_for_browsers(locked: Web) -> None:
    """As a bearer token, and as a session that the form gives."""
    assert locked.get("/", {"Authorization": f"Bearer {TOKEN}"}).code == 200
    answer = locked.get("/login", method="POST", body=f"token={TOKEN}")
    assert (answer.code, answer.headers["location"]) == (303, "/")
    cookie, _, attributes = answer.headers["set-cookie"].partition(";")
    assert {"httponly", "samesite=strict"} <= {each.strip().lower() for each in attributes.split(";")}
    assert TOKEN not in cookie
    assert locked.get("/", {"Cookie": cookie}).code == 200
    assert locked.get("/", {"Cookie": cookie[:-1] + "0"}).code in (200, 401)
    assert locked.get("/", {"Cookie": "hktc_session=1.2"}).code == 401


def test_a_cookie_of_another_program_does_not_end_the_session(locked: Web) -> None:
    """A browser sends the cookies of all ports of a host, and does not care whether another program can read them."""
    session = locked.get("/login", method="POST", body=f"token={TOKEN}").headers["set-cookie"].partition(";")[0]
    for other in ('prefs={"a":1}', "name=John Smith", "x=\u00e9", "weird@name=1", "flag", 'q="open', "=x"):
        for cookies in (f"{other}; {session}", f"{session}; {other}"):
            assert locked.get("/alive", {"Cookie": cookies}).code == 200
        assert locked.get("/alive", {"Cookie": other}).code == 401


def test_wrong_tokens_are_slowed_down_and_sessions_go_on(locked: Web) -> None:
    """After five wrong ones even the right one must wait; who has a session does not notice."""
    session = locked.get("/login", method="POST", body=f"token={TOKEN}").headers["set-cookie"].partition(";")[0]
    answers = [locked.get("/", {"Authorization": f"Bearer wrong-{number:015}"}) for number in range(5)]
    assert {answer.code for answer in answers} == {401}
    late = locked.get("/", {"Authorization": f"Bearer {TOKEN}"})
    assert late.code == 429
    assert 0 < int(late.headers["retry-after"]) <= 13
    form = locked.get("/login", method="POST", body=f"token={TOKEN}")
    assert (form.code, "set-cookie" in form.headers) == (429, False)
    assert locked.get("/", {"Cookie": session}).code == 200


@pytest.mark.parametrize("body", ["", "token=", "token", "token=%ff%fe", "a=1&b=2&c=3&d=4&e=5&f=6", "x" * 10_000])
def test_a_form_that_is_none_is_a_wrong_token(locked: Web, body: str) -> None:
    """No error, and no session."""
    answer = locked.get("/login", method="POST", body=body)
    assert (answer.code, "set-cookie" in answer.headers) == (401, False)
