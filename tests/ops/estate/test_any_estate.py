"""Whatever file is accepted can be reviewed, drawn and handed over; a large one in bounded time."""

import json
import time
from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from atp.cli.dossier import as_html, as_markdown
from atp.cli.inventory import forest, impact_text, inventory
from atp.cli.verdicts import review_text
from atp.errors import DeclaredError
from atp.limits import DECLARATION_NODES_MAX
from atp.ops.declaration.writing import plain
from atp.ops.estate.declare.parse import parse_estate
from atp.ops.estate.declare.values import Estate
from atp.ops.estate.evidence.copies import Subject
from atp.ops.estate.evidence.documents import impact_document, review_document
from atp.ops.estate.evidence.dossier import dossier
from atp.ops.estate.evidence.impact import impact
from atp.ops.estate.evidence.proofs import ACTIONS, Fact, fold
from atp.ops.estate.evidence.review import review
from atp.ops.estate.evidence.standing import standing_of
from tests.ops.estate.estates import EXAMPLE, NOW, SMALL
from tests.ops.estate.proving import HOUR, ROTATION, backup, verified

SHIPPED = plain(parse_estate(EXAMPLE, file="example.yaml"))
SMALL_ONE = plain(parse_estate(SMALL.encode(), file="small.yaml"))
SCALARS = st.sampled_from(
    [
        "",
        "x",
        "data",
        "web",
        "1h",
        "15min",
        "2026-01-01",
        "24:00",
        "s3://x/y",
        "/x",
        "none",
        "pass",
        0,
        -1,
        1.5,
        True,
        None,
    ]
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcxyz"), inner, max_size=3)
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path to a value within a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key, one in inner for place in places(one, (*path, key))]


def use(estate: Estate, facts: list[Fact]) -> None:
    """Run everything that is made of an estate."""
    evidence = fold(facts, now=NOW)
    found = review(estate, evidence, NOW)
    made = dossier(estate, found, evidence, NOW)
    assert as_markdown(made, tree=forest(estate)) and as_html(made, tree=forest(estate)) and inventory(estate)
    assert review_text(estate, found, "") and json.dumps(review_document(estate, found, ""))
    for name, dataset in estate.datasets.items():
        standing = standing_of(Subject(name, dataset, estate, evidence.of(name), True, NOW, is_key_here=True))
        assert standing.colour != "green" and all(one.sentence and one.next_move for one in standing.reasons)
    for name in estate.things():
        fall = impact(estate, name)
        assert impact_text(estate, fall, NOW) and json.dumps(impact_document(estate, fall, NOW))


@given(st.data())
def test_an_estate_that_is_accepted_can_be_used(data: st.DataObject) -> None:
    document = deepcopy(data.draw(st.sampled_from([SMALL_ONE, SMALL_ONE, SHIPPED])))
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from(places(document) or [("name",)]))
        holder = document
        for step in way:
            holder = holder[step]
        if data.draw(st.booleans()):
            del holder[last]
        else:
            holder[last] = data.draw(VALUES)
    try:
        estate = parse_estate(json.dumps(document).encode(), file="estate.yaml")
    except DeclaredError as error:
        assert all(fault.line >= 1 and fault.column >= 1 and fault.reason and fault.hint for fault in error.faults)
    else:
        use(estate, [backup(), verified(), *ROTATION])


@given(
    st.lists(
        st.builds(
            Fact,
            at=st.integers(-100, 5_000).map(lambda hours: NOW - hours * HOUR),
            action=st.sampled_from(ACTIONS),
            resource=st.just("data"),
            data=st.dictionaries(
                st.sampled_from(["verdict", "backup", "repository", "point_at", "scenario", "rpo_seconds", "failed"]),
                st.sampled_from(["pass", "fail", "vault", "deletion", "2026-11-20T00:00:00Z", 7, None, ["rows"]]),
            )
            | st.just({"verdict": "pass", "backup": "b", "repository": "vault", "scenario": "deletion"}),
            actor=st.text(max_size=5),
        ),
        max_size=12,
    )
)
def test_any_facts_can_be_used(facts: list[Fact]) -> None:
    use(parse_estate(SMALL.encode(), file="estate.yaml"), facts)


def test_the_largest_estate_takes_seconds_at_most() -> None:
    count = DECLARATION_NODES_MAX // 64
    one = SMALL_ONE["datasets"]["data"]
    many = {**SMALL_ONE, "datasets": {"data": one, **{f"data-{number}": one for number in range(count)}}}
    many["services"] = {**SMALL_ONE["services"], "all": {"depends_on": [f"data-{number}" for number in range(count)]}}
    started = time.perf_counter()
    estate = parse_estate(json.dumps(many).encode(), file="estate.yaml")
    found = review(estate, fold([], now=NOW), NOW)
    assert len(found.datasets) == count + 1
    assert forest(estate)
    assert time.perf_counter() - started < 30
