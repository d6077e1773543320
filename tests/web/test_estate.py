"""The pages of the estate: what they say, to whom, and what they say when there is nothing yet."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.ops.estate.declare.parse import parse_estate
from atp.ops.estate.declare.values import Estate, Service
from atp.web.graph import HEIGHT, WIDTH, graph_of
from tests.ops.estate.estates import EXAMPLE
from tests.web.recovering import ESTATE, recovering
from tests.web.serving import Served, serving

PAGES = ["/estate", "/datasets", "/datasets/catalogue", "/drills/catalogue/5", "/drills/catalogue/5/estate"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with recovering(tmp_path_factory.mktemp("estate")) as running:
        yield running


@pytest.fixture(scope="module")
def root(served: Served) -> Iterator[httpx.Client]:
    with served.visitor() as client:
        yield client


def test_the_map_shows_each_thing_with_its_state_in_words(root: httpx.Client) -> None:
    page = root.get("/estate").text
    for text in ("A small archive", "proven, sqlite", "broken, files", "unknown, files", "service, critical"):
        assert text in page
    assert page.count('<path class="edge"') == 3
    assert "atp backup verify letters" in page


def test_the_worst_dataset_comes_first_with_its_reason(root: httpx.Client) -> None:
    page = root.get("/datasets").text
    assert page.index('"/datasets/letters"') < page.index('"/datasets/pictures"') < page.index('"/datasets/catalogue"')
    assert "the last drill of deletion" in page and "it was never backed up" in page


def test_a_dataset_shows_its_drills_and_their_evidence(root: httpx.Client) -> None:
    page = root.get("/datasets/catalogue").text
    assert page.count('role="img"') == 2, "a chart of RTO and one of RPO"
    assert "catalogue/4" in page, "which nothing was told of"
    index = page.partition('href="/events/operations/')[2].partition('"')[0]
    event = root.get(f"/events/operations/{index}").text
    assert "drill.done" in event


def test_a_drill_is_a_report_and_what_senders_wrote_does_nothing(root: httpx.Client) -> None:
    page = root.get("/drills/catalogue/2").text
    assert "corrupted" in page and "rows of &lt;letter&gt;" in page
    statement = root.get("/drills/catalogue/2/statement")
    assert "/drills/catalogue/2/statement" in page and sha256(statement.content).hexdigest() in page
    assert root.get("/drills/catalogue/4").status_code == 404
    assert root.get("/drills/none/1").status_code == 404
    assert root.get("/datasets/none").status_code == 404


def test_a_drill_tells_what_was_held_against_the_trail_and_what_the_lock_answered(root: httpx.Client) -> None:
    page = root.get("/drills/catalogue/5").text
    for text in ("the manifest is the one in the trail, so are 3 objects that follow", "drills (uid 1001) on archive"):
        assert text in page
    assert "confidential" in page and "keeper answers for it" in page
    assert "remove the version" in page and "403 AccessDenied: &lt;b&gt;locked&lt;/b&gt;" in page


def test_a_drill_tells_who_reviewed_it_what_was_found_and_what_has_to_follow(root: httpx.Client) -> None:
    page = root.get("/drills/catalogue/5").text
    assert page.index("keeper (sent by root), who ran it") < page.index("rows &lt;compared&gt; with the ledger")
    assert "a second &lt;disk&gt;, by May" in page and "by auditor (sent by root)" in page
    listed = root.get("/datasets/catalogue").text
    assert (
        listed.count('#reviews">by auditor (sent by root)</a>') == 1
        and listed.count('<span class="muted">no</span>') == 3
    )


def test_the_estate_file_of_a_drill_comes_whole_out_of_the_trail(root: httpx.Client) -> None:
    assert "/drills/catalogue/5/estate" in root.get("/drills/catalogue/5").text
    assert root.get("/drills/catalogue/5/estate").text == ESTATE
    assert "its text is not in the trail" in root.get("/drills/catalogue/3").text
    assert root.get("/drills/catalogue/3/estate").status_code == 404


def test_a_drill_of_an_older_program_is_shown_with_what_it_says(root: httpx.Client) -> None:
    page = root.get("/drills/catalogue/3").text
    assert "it does not say" in page and "as keeper on archive" in page and "answers for it" not in page
    assert "atp drill review catalogue/3" in page and 'id="lock"' not in page


def test_from_a_dataset_the_last_drill_its_statement_and_the_lock_are_one_step_away(root: httpx.Client) -> None:
    assert 'href="/drills/catalogue/5"' in root.get("/datasets").text
    page = root.get("/datasets/catalogue").text
    assert 'href="/drills/catalogue/5"' in page and 'href="/drills/catalogue/5/statement"' in page
    assert "tried: it held" in page


@pytest.mark.parametrize("path", PAGES)
def test_who_may_not_read_the_operators_log_sees_no_estate(served: Served, path: str) -> None:
    key_id, _ = served.issue_key("default")
    with served.visitor(key_id) as client:
        page = client.get(path)
        assert page.status_code == 404 and "catalogue" not in page.text.replace(path, "")
        assert 'href="/estate"' not in client.get("/").text
    with httpx.Client(base_url=served.url, trust_env=False) as nobody:
        assert nobody.get(path).status_code == 303


def test_who_looked_is_in_the_trail_and_a_page_that_asks_by_itself_is_not(served: Served, root: httpx.Client) -> None:
    def told() -> int:
        headers = {"Authorization": f"Bearer {served.key}"}
        query = "/v1/tenants/operations/events?action=estate.read"
        return len(httpx.get(served.url + query, headers=headers).json()["events"])

    root.get("/estate")
    before = told()
    root.get("/estate", headers={"X-ATP-Live": "1"})
    assert told() == before <= 1


@pytest.mark.parametrize("path", PAGES[:3])
def test_without_an_estate_the_next_commands_are_shown(tmp_path: Path, path: str) -> None:
    with serving(tmp_path / "data") as served, served.visitor() as root:
        page = root.get(path)
    assert page.status_code == 200
    assert "atp estate schema --example" in page.text and "--estate estate.yaml" in page.text


def test_a_file_that_was_never_good_is_told_with_line_and_field(tmp_path: Path) -> None:
    wrong = EXAMPLE.decode().replace("rpo: 15min", "rpo: 15 min", 1)
    with recovering(tmp_path, estate=wrong, is_told=False) as served, served.visitor() as root:
        page = root.get("/estate").text
    line = wrong[: wrong.index("rpo: 15 min")].count("\n") + 1
    assert f"line {line}, column" in page and "datasets.bookings.rpo" in page


def test_the_page_of_erasable_keys_says_that_nothing_locks_them(tmp_path: Path) -> None:
    with recovering(tmp_path, estate=EXAMPLE.decode(), is_told=False) as served, served.visitor() as root:
        keys, other = (root.get(f"/datasets/{name}").text for name in ("passenger-keys", "bookings"))
    assert "30d, then gone; never locked: it holds keys whose destruction erases data" in keys
    assert "never locked" not in other


def test_the_drawing_has_every_thing_once_and_nothing_overlaps() -> None:
    estate = parse_estate(EXAMPLE, file="example.yaml")
    check_drawing(estate)
    drawn = graph_of(estate)
    assert drawn is not None
    tops = {node.name: node.y for node in drawn.nodes}
    assert tops["website"] < tops["booking-api"] < tops["payments"] < tops["payment-vouchers"]


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=30))
def test_any_estate_can_be_drawn_cycles_too(arrows: list[tuple[int, int]]) -> None:
    needs = {f"s{at}": tuple({f"s{to}" for start, to in arrows if start == at != to}) for at in range(12)}
    services = {name: Service(depends_on=needed) for name, needed in needs.items()}
    estate = Estate(version="atp.estate/1", name="Any", environments=("production",), services=services)
    check_drawing(estate)


def check_drawing(estate: Estate) -> None:
    drawn = graph_of(estate)
    assert drawn is not None
    assert sorted(node.name for node in drawn.nodes) == sorted(estate.things())
    assert len(drawn.edges) == sum(len(estate.needs(name)) for name in estate.things())
    for one in drawn.nodes:
        assert one.x >= 0 and one.y >= 0 and one.x + WIDTH <= drawn.width and one.y + HEIGHT <= drawn.height
        for other in drawn.nodes:
            assert one is other or abs(one.x - other.x) >= WIDTH or abs(one.y - other.y) >= HEIGHT


def test_an_estate_too_large_to_draw_has_its_table_alone() -> None:
    services = {f"s{at}": Service() for at in range(81)}
    estate = Estate(version="atp.estate/1", name="Large", environments=("production",), services=services)
    assert graph_of(estate) is None
