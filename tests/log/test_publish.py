"""Integrate, publish, read and prove: judged by the mathematics that any foreign verifier uses."""

import random
from collections.abc import Callable

import pytest

from atp.errors import ConflictError, MissingError, TamperedError
from atp.log.bundles import unpack_bundle
from atp.log.integrate import integrate_once, load_edge
from atp.log.prove import prove, prove_growth
from atp.log.publish import publish_once, show_again
from atp.log.reader import bundle_key, log_key, read_checkpoint
from atp.merkle.checkpoints import open_checkpoint
from atp.merkle.edge import Edge
from atp.merkle.entries import decode_entries
from atp.merkle.frontier import Frontier
from atp.merkle.hashes import leaf_hash
from atp.merkle.proofs import check_consistency
from atp.merkle.tiles import EntryBundle, Tile, tiles_at
from atp.merkle.tlogproof import check_tlog_proof, parse_tlog_proof
from tests.world import World, raw_events


@pytest.fixture
def world() -> World:
    return World()


def test_an_empty_log_has_a_checkpoint_of_size_zero(world: World) -> None:
    checkpoint = open_checkpoint(
        world.publish(), origin="example.org/acme", log_keys=[world.trusted["acme"]]
    ).checkpoint
    assert checkpoint.size == 0


def test_every_published_root_is_the_root_of_the_entries(world: World, rng: random.Random) -> None:
    recorded = 0
    while recorded < 1_500:
        step = rng.choice((1, 2, 63, 64, 65, 255, 256, 257))
        world.record(*raw_events(range(recorded, recorded + step)))
        recorded += step
        checkpoint = read_checkpoint(world.publish())
        leaves = [leaf_hash(entry) for entry in world.reader().entries(0, recorded)]
        assert (checkpoint.size, checkpoint.root) == (recorded, Frontier().extended(leaves).root)
        if rng.random() < 0.5:
            world.events.trim({"acme": recorded - recorded % 256})


def test_every_tile_and_bundle_at_every_size_is_what_the_tree_says(world: World) -> None:
    world.record(*raw_events(range(600)))
    world.publish()
    world.events.trim({"acme": 512})
    reader = world.reader()
    entries = reader.entries(0, 600)
    leaves = [leaf_hash(entry) for entry in entries]
    for size in (1, 255, 256, 257, 511, 512, 513, 600):
        _, full = Edge().extended(leaves[:size])
        for tile in tiles_at(size):
            (data,) = reader.tiles([tile])
            assert len(data) == tile.bytes_total
            assert full.get(tile, data) == data
            if tile.level == 0:
                first = tile.index * 256
                assert data == b"".join(leaves[first : first + tile.width])
                assert decode_entries(reader.bundle(tile.index, tile.width)) == entries[first : first + tile.width]


def test_only_full_tiles_become_objects_and_bundles_unpack_to_the_plain_format(world: World) -> None:
    world.record(*raw_events(range(600)))
    world.publish()
    keys = {key for key in world.objects.keys("logs/acme/") if "tile" in key}
    assert keys == {log_key("acme", Tile(0, n).path) for n in (0, 1)} | {bundle_key("acme", n) for n in (0, 1)}
    plain = unpack_bundle(world.objects.get(bundle_key("acme", 1)))
    assert plain == world.reader().bundle(1, 256)
    assert bundle_key("acme", 1) == log_key("acme", EntryBundle(1).path) + ".zst"


def test_every_entry_is_proven_under_the_log_key(world: World, rng: random.Random) -> None:
    world.record(*raw_events(range(700)))
    world.publish()
    for index in (0, 255, 256, 699, *rng.sample(range(700), 20)):
        proof = parse_tlog_proof(prove(index, reader=world.reader()).encode())
        entry = world.reader().entry(index)
        check_tlog_proof(proof, leaf_hash=leaf_hash(entry), origin="example.org/acme", log_keys=[world.trusted["acme"]])
        with pytest.raises(TamperedError):
            check_tlog_proof(
                proof, leaf_hash=leaf_hash(entry + b" "), origin="example.org/acme", log_keys=[world.trusted["acme"]]
            )


def test_what_is_not_published_is_not_proven(world: World) -> None:
    world.record(*raw_events(range(3)))
    world.publish()
    world.record(*raw_events(range(3, 5)))
    with pytest.raises(MissingError, match="3 published entries"):
        prove(3, reader=world.reader())
    with pytest.raises(MissingError):
        world.reader().entry(3)
    assert len(world.reader().entries(0, 9)) == 3


def test_each_checkpoint_is_consistent_with_each_earlier_one(world: World) -> None:
    roots: dict[int, bytes] = {}
    for size in (1, 2, 3, 100, 256, 300, 513):
        world.record(*raw_events(range(max(roots, default=0), size)))
        roots[size] = read_checkpoint(world.publish()).root
        for old_size, old_root in roots.items():
            proof = prove_growth(old_size=old_size, reader=world.reader())
            check_consistency(old_size=old_size, size=size, old_root=old_root, proof=proof, root=roots[size])


def test_a_repeated_step_changes_nothing(world: World) -> None:
    world.record(*raw_events(range(300)))
    edge = load_edge(world.reader(), event_store=world.events)
    once = integrate_once(edge, tenant="acme", event_store=world.events, object_store=world.objects)
    assert integrate_once(edge, tenant="acme", event_store=world.events, object_store=world.objects) == once
    assert integrate_once(once, tenant="acme", event_store=world.events, object_store=world.objects) is once
    note = world.publish()
    assert world.publish() == note


def test_an_edge_that_does_not_lead_to_the_signed_root_stops_the_log(world: World) -> None:
    world.record(*raw_events(range(300)))
    world.publish()
    tile = bytearray(world.objects.get(log_key("acme", "tile/0/000")))
    tile[17] ^= 1
    other = World(events=world.events)
    for key in world.objects.keys("logs/acme/tile/"):
        other.objects.put({key: bytes(tile) if key.endswith("0/000") else world.objects.get(key)})
    with pytest.raises(TamperedError, match="signed root of size 300"):
        load_edge(other.reader(), event_store=world.events)


def test_a_rolled_back_order_is_never_signed_on(world: World) -> None:
    world.record(*raw_events(range(2)))
    newer = world.publish()
    older = World()
    older.record(*raw_events(range(1)))
    older.publish()
    with pytest.raises(TamperedError, match="rolled back"):
        show_again("acme", event_store=older.events, object_store=older.objects, shown=newer)


def test_a_second_writer_loses_the_swap(world: World) -> None:
    """Two processes on one order can both sign; only one can commit, so only one note is ever shown."""

    class Racing:
        """The order as the slower process sees it: the checkpoint is swapped between its read and its swap."""

        def __init__(self, act: Callable[[], object]) -> None:
            self._act = act

        def __getattr__(self, name: str) -> object:
            if name == "swap_checkpoints":
                self._act()
            return getattr(world.events, name)

    world.record(*raw_events(range(2)))
    edge = load_edge(world.reader(), event_store=world.events)
    slow = integrate_once(edge, tenant="acme", event_store=world.events, object_store=world.objects)
    with pytest.raises(ConflictError):
        publish_once(
            {"acme": slow},
            origins={"acme": "example.org/acme"},
            event_store=Racing(world.publish),  # type: ignore[arg-type]
            object_store=world.objects,
            key_store=world.keys,
        )


def test_the_public_copy_is_shown_again_after_a_crash_between_swap_and_copy(world: World) -> None:
    world.record(*raw_events(range(2)))
    note = world.publish()
    world.objects.replace(log_key("acme", "checkpoint"), b"an older note")
    show_again("acme", event_store=world.events, object_store=world.objects, shown=None)
    assert world.objects.get(log_key("acme", "checkpoint")) == note
