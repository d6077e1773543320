"""The pages of the estate in a real browser: on a phone, in the dark, by keyboard, while they refresh themselves."""

import re
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.web.recovering import backup, recovering
from tests.web.serving import Served
from tests.web.test_browser import CONTRAST, PHONE, visiting

pytestmark = pytest.mark.whole

PAGES = [
    "/estate",
    "/datasets",
    "/datasets/catalogue",
    "/datasets/letters",
    "/datasets/pictures",
    "/drills/catalogue/2",
    "/drills/catalogue/5",
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with recovering(tmp_path_factory.mktemp("estate")) as running:
        yield running


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_and_fits_a_phone(browser: Browser, served: Served, path: str, scheme: Any) -> None:
    with visiting(browser, served, color_scheme=scheme, **PHONE) as page:
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.evaluate(CONTRAST) == []


def test_one_comes_from_the_map_to_the_proof_without_scripts(browser: Browser, served: Served) -> None:
    with visiting(browser, served, java_script_enabled=False) as page:
        page.goto("/estate")
        page.get_by_role("row", name="catalogue sqlite").get_by_role("link", name="catalogue").click()
        page.get_by_role("link", name="catalogue/5").click()
        evidence = page.get_by_role("region", name="Evidence")
        evidence.get_by_role("link", name=re.compile("entry [0-9]+")).click()
        page.get_by_role("button", name="Verify").click()
        expect(page.get_by_role("status")).to_contain_text("Verified")


def test_every_control_has_a_name_and_every_page_its_landmarks(browser: Browser, served: Served) -> None:
    with visiting(browser, served) as page:
        for path in PAGES:
            page.goto(path)
            assert page.locator("h1").count() == 1
            for role in ("button", "link", "img"):
                controls = page.get_by_role(role)  # type: ignore[arg-type]
                named = page.get_by_role(role, name=re.compile(r"\S"))  # type: ignore[arg-type]
                assert controls.count() == named.count(), (path, role)


def test_the_map_can_be_scrolled_by_keyboard(browser: Browser, served: Served) -> None:
    with visiting(browser, served, **PHONE) as page:
        page.goto("/estate")
        page.get_by_role("group", name="Map of the estate").focus()
        page.keyboard.press("ArrowRight")
        deadline = time.monotonic() + 5
        while not page.evaluate("document.querySelector('.wide').scrollLeft"):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_backup_that_comes_is_shown_by_itself(browser: Browser, served: Served) -> None:
    with visiting(browser, served) as page:
        page.clock.install()
        page.goto("/datasets/pictures")
        expect(page.get_by_role("heading", level=1)).to_contain_text("unknown")
        expect(page.get_by_text("There is no copy")).to_be_visible()
        served.record(backup("pictures", ago=timedelta(minutes=1), repository="cellar"), tenant="operations")
        deadline = time.monotonic() + 20
        while page.get_by_text("There is no copy").count():  # one look serves all for a second
            assert time.monotonic() < deadline
            page.clock.run_for(5_100)
