"""Durable indexes: idempotent by id, all or nothing a request, many tenants in one write."""

import pytest

from atp.errors import ConflictError, TooLargeError
from atp.log.append import Heads, Outcome, Request
from atp.log.event import read_event
from atp.merkle.hashes import leaf_hash
from tests.world import World, prepared, raw_event


@pytest.fixture
def world() -> World:
    return World()


def test_receipts_come_in_request_order_and_name_the_leaf(world: World) -> None:
    outcome = world.record(raw_event(2), raw_event(1))
    assert [(receipt.id, receipt.index) for receipt in outcome.receipts] == [("e-2", 0), ("e-1", 1)]
    entries = world.reader().durable(0, 2)
    assert [receipt.leaf_hash for receipt in outcome.receipts] == [leaf_hash(entry).hex() for entry in entries]


def test_a_retry_records_nothing_and_gets_the_same_receipt(world: World) -> None:
    first = world.record(raw_event(1), raw_event(2))
    again = world.record(raw_event(2), raw_event(3), raw_event(1))
    assert (again.accepted, again.duplicates) == (1, 2)
    assert again.receipts[0].index == first.receipts[1].index
    assert again.receipts[0].leaf_hash == first.receipts[1].leaf_hash
    assert [receipt.duplicate for receipt in again.receipts] == [True, False, True]
    assert world.events.size("acme") == 3


def test_a_duplicate_within_one_request_and_within_one_group_is_recorded_once(world: World) -> None:
    one, two = world.append(
        Request("acme", "alice", prepared(raw_event(1), raw_event(1))),
        Request("acme", "bob", prepared(raw_event(1), raw_event(2))),
    )
    assert isinstance(one, Outcome) and isinstance(two, Outcome)
    assert (one.accepted, one.duplicates, two.accepted, two.duplicates) == (1, 1, 1, 1)
    assert world.events.size("acme") == 2


def test_one_id_in_two_tenants_is_two_events(world: World) -> None:
    world.record(raw_event(1), tenant="acme")
    assert world.record(raw_event(1, actor="other"), tenant="globex").accepted == 1


def test_the_same_id_with_other_content_refuses_the_whole_request(world: World) -> None:
    world.record(raw_event(1))
    with pytest.raises(ConflictError) as refused:
        world.record(raw_event(2), raw_event(1, actor="mallory"), raw_event(3))
    assert [(fault.position, fault.field) for fault in refused.value.errors] == [(1, "id")]
    assert world.events.size("acme") == 1
    assert world.record(raw_event(2)).receipts[0].index == 1


def test_a_refused_request_takes_nothing_from_the_others_of_its_group(world: World) -> None:
    world.record(raw_event(1))
    outcomes = world.append(
        Request("acme", "a", prepared(raw_event(2))),
        Request("acme", "a", prepared(raw_event(3), raw_event(1, actor="mallory"))),
        Request("acme", "a", prepared(raw_event(4))),
    )
    assert isinstance(outcomes[1], ConflictError)
    assert [read_event(entry)[1].id for entry in world.reader().durable(0, 9)] == ["e-1", "e-2", "e-4"]


def test_parking_records_the_others_and_keeps_the_conflict_once(world: World) -> None:
    world.record(raw_event(1))
    for _ in range(2):
        outcome = world.record(raw_event(2), raw_event(1, actor="mallory"), is_parking=True)
        assert (outcome.accepted + outcome.duplicates, outcome.parked) == (1, 1)
    (parked,) = world.events.parked("acme", limit=10)
    assert b"mallory" in parked.body and "other content" in parked.reason


def test_an_event_without_id_gets_one(world: World) -> None:
    first, second = world.record(*[b'{"actor":{"id":"x"},"action":"a"}'] * 2).receipts
    assert first.id != second.id and not second.duplicate
    assert read_event(world.reader().durable(0, 1)[0])[1].id == first.id


def test_an_event_that_only_becomes_too_large_as_an_entry_is_refused(world: World) -> None:
    body = raw_event(1, data='"%s"' % ("x" * 65_400))
    with pytest.raises(TooLargeError):
        world.record(body)
    assert world.events.size("acme") == 0


def test_received_at_never_goes_back_when_the_clock_does(world: World) -> None:
    world.record(raw_event(1))
    world.clock.step(-3_600)
    world.record(raw_event(2))
    world.heads = Heads()  # a restart
    world.record(raw_event(3))
    instants = [read_event(entry)[0].received_at for entry in world.reader().durable(0, 3)]
    assert instants == sorted(instants)


def test_an_act_is_refused_when_its_resource_has_a_newer_entry(world: World) -> None:
    incident = b'{"actor":{"id":"a"},"action":"incident.update","resource":{"id":"inc-1"}}'
    assert world.record(incident, expect={"inc-1": -1}).receipts[0].index == 0
    world.record(raw_event(1, data='{"resource":{"id":"inc-1"}}'))
    assert world.record(incident, expect={"inc-1": 0}).receipts[0].index == 2
    with pytest.raises(ConflictError, match="index 2"):
        world.record(incident, expect={"inc-1": 0})


def test_of_two_racing_acts_in_one_group_one_wins(world: World) -> None:
    incident = b'{"actor":{"id":"a"},"action":"incident.update","resource":{"id":"inc-1"}}'
    outcomes = world.append(*[Request("acme", "a", prepared(incident), expect={"inc-1": -1})] * 2)
    assert isinstance(outcomes[0], Outcome) and isinstance(outcomes[1], ConflictError)
