"""The dossier in a real browser: nothing is fetched, every text can be read, and no page is wider than its screen."""

from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser

from atp.cli.dossier import as_html
from atp.cli.inventory import forest
from atp.ops.estate.declare.parse import parse_estate
from atp.ops.estate.evidence.dossier import dossier
from atp.ops.estate.evidence.proofs import fold
from atp.ops.estate.evidence.review import review
from tests.ops.estate.estates import EXAMPLE, NOW
from tests.ops.estate.proving import ROTATION, backup, drilled, verified

pytestmark = pytest.mark.whole
CONTRAST = (Path(__file__).parents[2] / "web" / "contrast.js").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_can_be_read(browser: Browser, tmp_path: Path, scheme: Literal["light", "dark"], width: int) -> None:
    estate = parse_estate(EXAMPLE, file="example.yaml")
    facts = [fact._replace(resource="bookings") for fact in (backup(), verified(), *ROTATION)]
    facts.append(drilled(verdict="fail")._replace(resource="timetable"))
    evidence = fold(facts, now=NOW)
    made = dossier(estate, review(estate, evidence, NOW), evidence, NOW)
    (tmp_path / "dossier.html").write_text(as_html(made, tree=forest(estate)))
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    asked = list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"file://{tmp_path}/dossier.html")
    assert len(asked) == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []
    assert page.locator("h2").count() == len(made.sections) + 1
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(CONTRAST) == []
    page.close()
