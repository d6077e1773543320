"""What falls is exactly what a brute-force closure says; cycles, paths, flows, objectives and drawings are told."""

import random
from collections.abc import Callable
from datetime import timedelta

import pytest

from atp.errors import MissingError
from atp.ops.estate.declare.parse import parse_estate
from atp.ops.estate.declare.values import Dataset, Estate, Service, Source
from atp.ops.estate.evidence.impact import TREE_LINES_MAX, impact, mermaid, tree
from tests.ops.estate.estates import EXAMPLE

SHIPPED = parse_estate(EXAMPLE, file="example.yaml")


def estate(needs: dict[str, tuple[str, ...]], datasets: tuple[str, ...] = ()) -> Estate:
    return Estate(
        version="atp.estate/1",
        name="graph",
        environments=("production",),
        services={name: Service(depends_on=below) for name, below in needs.items() if name not in datasets},
        datasets={
            name: Dataset(kind="files", source=Source(place="/x"), depends_on=needs.get(name, ())) for name in datasets
        },
    )


def closure(needs: dict[str, tuple[str, ...]], start: str) -> set[str]:
    """All that reaches `start`, found by trying until nothing is new."""
    fallen = {start}
    while more := {name for name, below in needs.items() if fallen & set(below)} - fallen:
        fallen |= more
    return fallen


def test_random_graphs_fall_as_a_brute_force_closure_says(rng: random.Random, count: Callable[..., int]) -> None:
    for _ in range(count(bounded=150, soak=5_000)):
        names = [f"n{number}" for number in range(rng.randint(1, 12))]
        needs = {
            name: tuple(other for other in names if other != name and rng.random() < rng.choice([0.1, 0.3]))
            for name in names
        }
        found = estate(needs, datasets=tuple(name for name in names if rng.random() < 0.3))
        for name in names:
            fall = impact(found, name)
            assert set(fall.names) == closure(needs, name)
            assert len(fall.names) == len(set(fall.names))
            together = {
                frozenset(other for other in names if other in closure(needs, one) and one in closure(needs, other))
                for one in fall.names
            }
            assert {frozenset(cycle) for cycle in fall.cycles} == {ring for ring in together if len(ring) > 1}
            steps = {one.name: one.steps for one in fall.fallen}
            assert all(one.steps == steps[one.through] + 1 for one in fall.fallen if one.through)
            drawn = tree(found, fall)
            assert all(one in drawn for one in fall.names)
            arrows = sum(below in fall.names for one in fall.names for below in found.needs(one))
            assert mermaid(found, fall).count("-->") == arrows


def test_a_cycle_is_told_and_drawn_once() -> None:
    found = estate({"a": ("b",), "b": ("c",), "c": ("a",), "d": ("a",)})
    fall = impact(found, "a")
    assert fall.cycles == (("a", "b", "c"),)
    assert set(fall.names) == {"a", "b", "c", "d"}
    assert tree(found, fall).splitlines() == [
        "a (service, medium)",
        "├─ c (service, medium)",
        "│  └─ b (service, medium)",
        "│     └─ a (service, medium) ...",
        "└─ d (service, medium)",
    ]


def test_the_example_says_what_is_cut_and_what_is_at_stake() -> None:
    fall = impact(SHIPPED, "payment-vouchers")
    assert fall.names == ("payment-vouchers", "payments", "booking-api", "website", "boarding-scanners")
    assert [one.steps for one in fall.fallen] == [0, 1, 2, 3, 3]
    assert set(fall.paths) == {"sell-a-ticket", "board-a-ferry"}
    assert len(fall.flows) == 5
    assert fall.revenue_week == timedelta(hours=115.5)
    assert fall.in_revenue_hours == ("payments", "booking-api", "website", "boarding-scanners")


def test_datasets_fall_or_are_needed_to_come_back() -> None:
    roles = {one.dataset: one.role for one in impact(SHIPPED, "booking-api").objectives}
    needed = ("bookings", "passenger-keys", "timetable", "audit-trail", "payment-vouchers")
    assert roles == dict.fromkeys(needed, "needed")
    (own,) = impact(SHIPPED, "bookings").objectives
    assert (own.role, own.rpo, own.rto) == ("falls", timedelta(minutes=15), timedelta(hours=2))


def test_what_nobody_needs_takes_nothing_along() -> None:
    fall = impact(SHIPPED, "host-configuration")
    assert fall.names == ("host-configuration",)
    assert (fall.paths, fall.flows, fall.cycles, fall.revenue_week) == ({}, (), (), None)


def test_a_name_that_is_close_is_offered() -> None:
    with pytest.raises(MissingError, match="did you mean bookings"):
        impact(SHIPPED, "bokings")


def test_a_drawing_ends_however_large_the_estate_is() -> None:
    names = [f"s{number}" for number in range(700)]
    found = estate({name: (names[0],) if number else () for number, name in enumerate(names)})
    lines = tree(found, impact(found, "s0")).splitlines()
    assert len(lines) == TREE_LINES_MAX + 1 and lines[-1] == "and more"


def test_a_long_chain_is_walked_without_recursion() -> None:
    names = [f"s{number}" for number in range(5_000)]
    found = estate({name: (names[number - 1],) if number else () for number, name in enumerate(names)})
    assert impact(found, "s0").fallen[-1].steps == 4_999
