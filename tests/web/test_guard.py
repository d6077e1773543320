"""Who gets in, and what a browser cannot be talked into."""

from pathlib import Path

import httpx
import pytest

from atp.limits import FORM_BYTES_MAX, LOGIN_FAILURES_MAX
from atp.log.query import Question
from atp.web.login import FORM_COOKIE, local_path
from atp.web.site import SESSION_COOKIE
from tests.web.serving import Served, csrf_of, serving

STRANGER = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}


def _log_in(client: httpx.Client, **fields: str) -> httpx.Response:
    """Fill in the form of the sign-in page."""
    token = csrf_of(client.get("/login").text)
    return client.post("/login", data={"csrf": token, **fields}, headers={"Origin": str(client.base_url).rstrip("/")})


@pytest.fixture
def nobody(served: Served) -> httpx.Client:
    return httpx.Client(base_url=served.url, trust_env=False, verify=False)


def test_a_key_opens_a_session_in_a_cookie_that_scripts_cannot_read(served: Served, nobody: httpx.Client) -> None:
    answer = _log_in(nobody, key=f" {served.key}\n")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = next(value for value in answer.headers.get_list("set-cookie") if value.startswith(SESSION_COOKIE))
    parts = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= parts
    assert "secure" not in parts
    assert served.key not in cookie
    assert nobody.get("/").status_code == 200


def test_a_wrong_key_is_refused_and_told_to_the_operators(served: Served, nobody: httpx.Client) -> None:
    answer = _log_in(nobody, key="atp_" + "0" * 12 + "_" + "0" * 64)
    assert answer.status_code == 401
    assert "unknown or revoked" in answer.text
    assert SESSION_COOKIE not in nobody.cookies
    served.record({"actor": {"id": "x"}, "action": "after"}, tenant="operations")
    page = served.platform.ask(Question(action="request.refuse"), by=served.root, tenant="operations")
    assert any(b"POST /login" in entry for _, entry in page.events)


def test_a_link_is_not_used_up_by_looking_at_it(served: Served, nobody: httpx.Client) -> None:
    ticket = served.sessions.issue_ticket(served.root.key_id)
    for _ in range(3):
        assert nobody.get(f"/login?token={ticket}").status_code == 200
    assert _log_in(nobody, token=ticket).status_code == 303
    second = _log_in(httpx.Client(base_url=served.url, trust_env=False, verify=False), token=ticket)
    assert second.status_code == 401
    assert "used before" in second.text


def test_whoever_is_not_signed_in_is_led_to_the_form_and_back(served: Served, nobody: httpx.Client) -> None:
    answer = nobody.get("/?tenant=default&actor=a%26b")
    assert answer.status_code == 303
    form = nobody.get(answer.headers["location"]).text
    assert 'value="/?tenant=default&amp;actor=a%26b"' in form
    assert "root.key" in form
    assert "atp serve" in form
    assert served.key not in form


@pytest.mark.parametrize("path", ["/", "/new?after=0", "/logs", "/logs/default/vkey", "/events/default/0"])
def test_every_page_asks_who_is_there(nobody: httpx.Client, path: str) -> None:
    assert nobody.get(path).status_code == 303
    assert nobody.get(path, headers={"X-ATP-Live": "1"}).status_code == 401


@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:x", "/\tx", ""]
)
def test_the_way_back_leads_nowhere_else(served: Served, nobody: httpx.Client, path: str) -> None:
    assert local_path(path) == "/"
    assert _log_in(nobody, key=served.key, next=path).headers["location"] == "/"


def test_a_session_ends_at_once_when_its_key_is_revoked(served: Served) -> None:
    key_id, _ = served.issue_key()
    visitor = served.visitor(key_id)
    assert visitor.get("/").status_code == 200
    served.platform.revoke_key(key_id, by=served.root)
    assert visitor.get("/").status_code == 303


def test_signing_out_ends_the_session(served: Served) -> None:
    visitor = served.visitor()
    token = csrf_of(visitor.get("/").text)
    assert visitor.post("/logout", data={"csrf": token}).status_code == 303
    assert visitor.get("/").status_code == 303


@pytest.mark.parametrize("path", ["/logout", "/events/default/0/verify"])
@pytest.mark.parametrize("form", [{}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": "ü"}])
def test_a_form_without_its_token_is_refused(served: Served, path: str, form: dict[str, str]) -> None:
    visitor = served.visitor()
    served.record({"actor": {"id": "a"}, "action": "b"})
    assert visitor.post(path, data=form).status_code == 403
    assert visitor.get("/").status_code == 200


def test_the_sign_in_form_needs_its_token_too(served: Served, nobody: httpx.Client) -> None:
    assert nobody.post("/login", data={"key": served.key}).status_code == 403
    nobody.cookies.set(FORM_COOKIE, "")
    assert nobody.post("/login", data={"key": served.key, "csrf": ""}).status_code == 403


@pytest.mark.parametrize(
    "headers", [STRANGER, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"}, {"Sec-Fetch-Site": "same-site"}]
)
def test_a_form_that_another_site_sent_is_refused(served: Served, headers: dict[str, str]) -> None:
    visitor = served.visitor()
    token = csrf_of(visitor.get("/").text)
    answer = visitor.post("/logout", data={"csrf": token}, headers=headers)
    assert answer.status_code == 403
    assert visitor.get("/").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8600", "127.0.0.1.evil.example", "a@localhost", "localhost:x", ""]
)
@pytest.mark.parametrize("path", ["/", "/login", "/static/style.css"])
def test_a_foreign_name_is_refused(served: Served, host: str, path: str) -> None:
    assert served.visitor().get(path, headers={"Host": host}).status_code in (400, 403)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8600", "127.0.0.1:1", "[::1]:8600"])
def test_this_machine_is_no_foreign_name(served: Served, host: str) -> None:
    assert served.visitor().get("/", headers={"Host": host}).status_code == 200


def test_behind_a_proxy_the_public_name_counts_and_cookies_travel_by_https(tmp_path: Path) -> None:
    with serving(tmp_path / "data", public_url="https://audit.example") as served:
        public = {"Host": "audit.example", "Origin": "https://audit.example"}
        client = httpx.Client(base_url=served.url, trust_env=False, verify=False)
        page = client.get("/login", headers=public)
        assert "secure" in page.headers["set-cookie"].lower()
        cookies = {"Cookie": page.headers["set-cookie"].partition(";")[0]}
        form = {"csrf": csrf_of(page.text), "key": served.key}
        answer = client.post("/login", data=form, headers=public | cookies)
        assert answer.status_code == 303
        assert all(
            "secure" in value.lower() for value in answer.headers.get_list("set-cookie") if SESSION_COOKIE in value
        )
        rewritten = {"Origin": "https://audit.example"} | cookies
        assert client.post("/login", data=form, headers=rewritten).status_code == 303


@pytest.mark.parametrize("path", ["/", "/logs", "/login", "/nothing", "/events/default/999999", "/static/style.css"])
def test_every_answer_carries_the_headers_that_hold_a_browser_back(served: Served, path: str) -> None:
    headers = served.visitor().get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_a_form_that_is_too_large_is_refused(served: Served) -> None:
    answer = served.visitor().post("/logout", data={"csrf": "x" * FORM_BYTES_MAX})
    assert answer.status_code == 413


def test_too_many_failures_from_one_address_have_to_wait(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        client = httpx.Client(base_url=served.url, trust_env=False, verify=False)
        codes = [_log_in(client, key="wrong").status_code for _ in range(LOGIN_FAILURES_MAX + 1)]
        assert codes == [401] * LOGIN_FAILURES_MAX + [429]
        assert _log_in(client, key=served.key).status_code == 429
