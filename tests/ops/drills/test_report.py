"""Report and event cannot differ: the one is drawn from the other alone."""

import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from xml.etree import ElementTree

import msgspec
import pytest

from atp.ops.drills.evidence.history import Drill, fold
from atp.ops.drills.evidence.report import as_html, as_markdown
from tests.ops.drills.world import World, data_of, told

SVG = re.compile(r"<svg.*?</svg>", re.DOTALL)


@pytest.fixture
def drills(world: World) -> list[Drill]:
    """A green drill and a red one, as their events tell them; the red one a day later."""
    world.beat()
    world.back_up()
    world.drill()
    world.changes = [("at_least: 100", "at_least: 1000")]
    world.drill()
    one, other = world.history().drills
    later = msgspec.structs.replace(other.done, lost_at=other.done.lost_at + timedelta(days=1))
    return [one, replace(other, done=later)]


def test_every_figure_of_an_event_is_in_both_reports(drills: list[Drill]) -> None:
    pages = (as_markdown("Archive", drills, {}), as_html("Archive", drills, {}))
    done = drills[0].done
    assert done.statement is not None
    figures = [f"{done.rto_seconds:,.3f} s", f"{done.rpo_seconds:,.3f} s", done.backup or "", done.manifest_sha256]
    figures += [f"{leg.name} {leg.seconds:.3f} s" for leg in done.legs]
    for page in pages:
        for figure in [*figures, done.statement.sha256, "alice"]:
            assert figure in page
        assert page.count("insufficient") + page.count("pass") >= len(done.objectives)
        assert "not measured" in page, "the red drill has no RTO"


def test_a_report_follows_its_events_and_nothing_else(world: World) -> None:
    world.beat()
    world.back_up()
    world.drill()
    [event] = world.done_events()
    before = as_html("Archive", fold([told(event)]).drills, {})
    assert as_html("Archive", fold([told(event)]).drills, {}) == before
    changed = {**data_of(event), "rto_seconds": 4321.5}
    after = as_html("Archive", fold([replace(told(event), data=changed)]).drills, {})
    assert after != before and "4,321.500 s" in after


def test_the_page_loads_nothing_and_follows_the_dark_mode(drills: list[Drill]) -> None:
    page = as_html("A <b>small</b> & old archive", drills, {"catalogue": (3,)})
    assert "default-src 'none'" in page and "prefers-color-scheme: dark" in page
    assert not re.search(r"\b(src|href)=|url\(|@import|<script|https?://", page)
    assert "A &lt;b&gt;small&lt;/b&gt; &amp; old archive" in page and "catalogue/3 is missing" in page
    assert _Tags.balanced(page)


def test_the_charts_are_well_formed_and_have_a_mark_for_each_drill(drills: list[Drill]) -> None:
    charts = SVG.findall(as_html("Archive", drills, {}))
    assert len(charts) == 2
    for chart in charts:
        root = ElementTree.fromstring(chart)
        marks = root.findall("g")
        assert len(marks) == 2
        assert [len(mark.findall("circle")) for mark in marks] == [1, 0], "what was not measured is a cross"
        assert len([line for line in root.findall("line") if line.get("class") == "wanted"]) == 2
        width, height = map(float, root.attrib["viewBox"].split()[2:])
        for circle in root.iter("circle"):
            assert 0 < float(circle.attrib["cx"]) < width and 0 < float(circle.attrib["cy"]) < height


def test_an_event_that_stands_twice_counts_once_and_nonsense_proves_nothing(world: World) -> None:
    world.back_up()
    world.drill()
    [event] = world.done_events()
    delivered = replace(told(event), index=7)
    found = fold([delivered, told(event), replace(told(event), id="x", data={"verdict": "pass"})])
    assert [drill.index for drill in found.drills] == [7] and found.unreadable == 1
    assert found.twice == {}
    assert fold([told(event), replace(told(event), id="of another machine")]).twice == {"catalogue": (1,)}


class _Tags(HTMLParser):  # what the standard library asks to inherit
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    @classmethod
    def balanced(cls, page: str) -> bool:
        tags = cls()
        tags.feed(page)
        return not tags.open

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "line", "circle", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag
