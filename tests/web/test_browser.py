"""The pages in a real browser: by mouse and by keyboard, on a phone, in the dark, without scripts."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from atp.merkle.keys import parse_vkey
from atp.verify.options import Options
from atp.verify.place import check_place
from atp.web.site import SESSION_COOKIE
from tests.services.loopback import free_port, running
from tests.web.serving import Served

pytestmark = pytest.mark.whole

ALICE = {"actor": {"id": "alice"}, "action": "invoice.approve", "resource": {"id": "inv-7"}, "outcome": "success"}
EVIL = {
    "actor": {"id": "<script>window.owned=1</script>", "name": "\u202egnp.exe"},
    "action": 'x" onmouseover="window.owned=1',
    "resource": {"id": '<img src=x onerror="window.owned=1">'},
    "outcome": "denied",
    "data": {"a": "</code></pre><script>window.owned=1</script>", "b": 12345678901234567890},
}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
CONTRAST = Path(__file__).with_name("contrast.js").read_text()


class Watch:
    """What a page said and asked for while it was open."""

    def __init__(self, page: Page) -> None:
        self.complaints: list[str] = []
        self.addresses: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.addresses.append(request.url))


@contextmanager
def visiting(browser: Browser, served: Served, *, is_known: bool = True, **options: Any) -> Iterator[Page]:
    """A page of a new browser context, signed in as root if `is_known`; ends with the check that all was quiet."""
    context = browser.new_context(base_url=served.url, **options)
    if is_known:
        session = served.sessions.open(served.root.key_id)
        context.add_cookies([{"name": SESSION_COOKIE, "value": session, "url": served.url, "sameSite": "Strict"}])
    page = context.new_page()
    watch = Watch(page)
    yield page
    assert watch.complaints == []
    assert [address for address in watch.addresses if not address.startswith(served.url)] == []
    context.close()


@pytest.fixture(scope="module")
def tenant(served: Served) -> str:
    """A tenant with sixty events, the newest of them hostile."""
    name = served.tenant("acme")
    served.record(*[ALICE] * 59, EVIL, tenant=name)
    return name


def test_the_one_time_link_signs_in_by_itself(browser: Browser, served: Served) -> None:
    ticket = served.sessions.issue_ticket(served.root.key_id)
    with visiting(browser, served, is_known=False) as page:
        page.goto(f"/login?token={ticket}")
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        assert page.url == f"{served.url}/"
        assert page.evaluate("document.cookie") == ""


def test_the_link_that_the_server_prints_signs_in(browser: Browser, tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("atp"), "serve", "--data", tmp_path / "data"]
    log = tmp_path / "log"
    listen = f"127.0.0.1:{free_port()}"
    with running([*command, "--listen", listen], is_ready=lambda: "token=" in log.read_text(), log=log):
        link = re.search(r"http://\S+/login\?token=\w+", log.read_text())
        assert link is not None
        page = browser.new_page()
        page.goto(link[0])
        expect(page.get_by_text("default has no events yet")).to_be_visible()
        page.close()


def test_a_pasted_key_signs_in_and_leads_on(browser: Browser, served: Served, tenant: str) -> None:
    with visiting(browser, served, is_known=False) as page:
        page.goto(f"/?tenant={tenant}&actor=alice")
        page.get_by_label("API key").fill(served.key)
        page.keyboard.press("Enter")
        expect(page.get_by_role("link", name="Remove actor: alice")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("API key")).to_be_focused()


def test_everything_works_without_scripts(browser: Browser, served: Served, tenant: str) -> None:
    ticket = served.sessions.issue_ticket(served.root.key_id)
    with visiting(browser, served, is_known=False, java_script_enabled=False) as page:
        page.goto(f"/login?token={ticket}")
        page.get_by_role("button", name="Sign in with this link").click()
        page.get_by_label("Tenant").select_option(tenant)
        page.get_by_label("Search").fill("INVOICE approve")
        page.get_by_role("button", name="Search").click()
        assert page.locator("tr[data-index]").count() == 50
        page.get_by_role("link", name="Older").click()
        assert page.locator("tr[data-index]").count() == 9
        page.locator("a.open").first.click()
        page.get_by_role("button", name="Verify").click()
        expect(page.get_by_role("status")).to_contain_text("Verified")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("API key")).to_be_visible()


def test_a_click_on_a_value_filters_by_it(browser: Browser, served: Served, tenant: str) -> None:
    with visiting(browser, served) as page:
        page.goto(f"/?tenant={tenant}")
        page.get_by_role("link", name="invoice.approve").first.click()
        expect(page.get_by_role("textbox", name="Action")).to_have_value("invoice.approve")
        page.get_by_label("Outcome").select_option("denied")
        page.get_by_role("button", name="Apply").click()
        expect(page.get_by_text("No event is like that")).to_be_visible()
        page.get_by_role("link", name="Remove action: invoice.approve").click()
        assert page.locator("tr[data-index]").count() == 1


def test_a_hostile_event_is_shown_and_does_nothing(browser: Browser, served: Served, tenant: str) -> None:
    with visiting(browser, served) as page:
        page.goto(f"/?tenant={tenant}&outcome=denied")
        row = page.locator("tr[data-index]").first
        expect(row).to_contain_text("<script>window.owned=1</script>")
        row.hover()
        page.locator("a.open").first.click()
        expect(page.locator(".json")).to_contain_text("12345678901234567890")
        expect(page.locator(".facts")).to_contain_text("U+202Egnp.exe")
        assert page.evaluate("window.owned") is None
        assert page.locator("main script, main img").count() == 0


def test_what_is_downloaded_verifies_offline(browser: Browser, served: Served, tenant: str, tmp_path: Path) -> None:
    with visiting(browser, served) as page:
        page.goto(f"/events/{tenant}/7")
        page.get_by_role("button", name="Verify").click()
        expect(page.get_by_role("img", name="holds")).to_have_count(3)
        for name in ("Entry", "Proof", "Key of the log"):
            with page.expect_download() as download:
                page.get_by_role("link", name=name, exact=True).click()
            download.value.save_as(tmp_path / download.value.suggested_filename)
        command = page.locator(".copyable code").inner_text().split()
    proof, entry, vkey = (tmp_path / command[position] for position in (2, 4, 6))
    trusted = (parse_vkey(vkey.read_text().strip()),)
    report = check_place(str(proof), Options(trusted=trusted, entry=entry.read_bytes()))
    assert not report.is_tampered, report.as_text()
    changed = check_place(str(proof), Options(trusted=trusted, entry=entry.read_bytes() + b" "))
    assert changed.is_tampered


def test_new_events_appear_while_nobody_is_reading(browser: Browser, served: Served) -> None:
    name = served.tenant("live")
    with visiting(browser, served) as page:
        page.clock.install()
        page.goto(f"/?tenant={name}")
        expect(page.get_by_text("live has no events yet")).to_be_visible()
        served.record(ALICE, tenant=name)
        page.clock.run_for(5_100)
        expect(page.locator("tr[data-index]")).to_have_count(1)
        expect(page.get_by_role("status")).to_have_text("1 new event")
        page.locator("a.open").first.focus()
        served.record(ALICE, ALICE, tenant=name)
        page.clock.run_for(5_100)
        expect(page.get_by_role("status")).to_have_text("2 new events")
        assert page.locator("tr[data-index]").count() == 1
        page.get_by_role("link", name="2 new events").click()
        assert page.locator("tr[data-index]").count() == 3


def test_a_page_whose_session_ended_asks_to_sign_in(browser: Browser, served: Served) -> None:
    context = browser.new_context(base_url=served.url)
    session = served.sessions.open(served.root.key_id)
    context.add_cookies([{"name": SESSION_COOKIE, "value": session, "url": served.url}])
    page = context.new_page()
    page.clock.install()
    page.goto("/logs")
    served.sessions.close(session)
    page.clock.run_for(5_100)
    expect(page.get_by_label("API key")).to_be_visible()
    context.close()


def test_keys_move_and_open(browser: Browser, served: Served, tenant: str) -> None:
    with visiting(browser, served) as page:
        page.goto(f"/?tenant={tenant}")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("/")
        expect(page.get_by_label("Search")).to_be_focused()
        page.keyboard.type("j/k")
        expect(page.get_by_label("Search")).to_have_value("j/k")
        page.locator("body").evaluate("document.activeElement.blur()")
        for key in "jjjk":
            page.keyboard.press(key)
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/events/{tenant}/58")


def test_commands_are_copied(browser: Browser, served: Served, tenant: str) -> None:
    with visiting(browser, served, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.goto(f"/events/{tenant}/7")
        page.get_by_role("button", name="Copy").first.click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()").startswith(f"atp verify {tenant}-7.tlog-proof")


@pytest.mark.parametrize(
    "path", ["/login", "/", "/?tenant=acme&actor=alice&text=invoice", "/events/acme/59", "/logs", "/none"]
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_and_fits_a_phone(
    browser: Browser, served: Served, tenant: str, path: str, scheme: Any
) -> None:
    context = browser.new_context(base_url=served.url, color_scheme=scheme, **PHONE)
    session = served.sessions.open(served.root.key_id)
    context.add_cookies([{"name": SESSION_COOKIE, "value": session, "url": served.url}])
    page = context.new_page()
    page.goto(path)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate(CONTRAST) == []
    context.close()


def test_a_faint_text_would_be_noticed(browser: Browser, served: Served) -> None:
    with visiting(browser, served) as page:
        page.goto("/logs")
        page.evaluate("document.querySelector('h1').style.color = '#a0a0a0'")
        assert [text for _, text in page.evaluate(CONTRAST)] == ["Logs"]


def test_every_control_has_a_name_and_every_page_its_landmarks(browser: Browser, served: Served, tenant: str) -> None:
    with visiting(browser, served) as page:
        for path in (f"/?tenant={tenant}&actor=alice", f"/events/{tenant}/59", "/logs"):
            page.goto(path)
            for role in ("banner", "main", "navigation"):
                assert page.get_by_role(role).count() >= 1  # type: ignore[arg-type]
            assert page.locator("h1").count() == 1
            for role in ("textbox", "searchbox", "combobox", "button", "link"):
                controls = page.get_by_role(role)  # type: ignore[arg-type]
                named = page.get_by_role(role, name=re.compile(r"\S"))  # type: ignore[arg-type]
                assert controls.count() == named.count(), (path, role)
