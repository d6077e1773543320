"""What every Repository keeps: whole objects, in bounded memory, until their day, found again when they are hidden."""

import re
import resource
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random

import pytest

from atp.errors import AtpError, ConflictError, ForbiddenError, MalformedError, MissingError
from atp.limits import LOCK_ANSWER_CHARS_MAX, REPOSITORY_CHUNK_BYTES, REPOSITORY_PIECE_BYTES
from atp.ports.repository import PROMISES, Repository, whole_second
from tests.contracts.vaults import Vault

SIZES = [0, 1, REPOSITORY_CHUNK_BYTES + 1, REPOSITORY_PIECE_BYTES, 2 * REPOSITORY_PIECE_BYTES + 7]


def put(store: Repository, name: str, data: bytes, *, keep_until: datetime | None = None) -> None:
    with store.store(name, keep_until=keep_until) as sink:
        for start in range(0, len(data), 300_000):
            sink.write(data[start : start + 300_000])


def got(store: Repository, name: str) -> bytes:
    return b"".join(store.read(name))


@pytest.mark.parametrize("size", SIZES)
def test_an_object_of_any_size_is_read_as_it_was_stored(vault: Vault, size: int, rng: Random) -> None:
    store, data = vault.open(), rng.randbytes(size)
    put(store, "bookings/1/data.000", data)
    chunks = list(vault.open().read("bookings/1/data.000"))
    assert b"".join(chunks) == data
    assert max(map(len, chunks), default=0) <= REPOSITORY_CHUNK_BYTES


def test_what_is_not_there_is_missing(vault: Vault) -> None:
    store = vault.open()
    put(store, "a/b", b"1")
    for name in ("a", "b", "a/bb", "a/b/c"):
        with pytest.raises(MissingError):
            got(store, name)
        with pytest.raises(MissingError):
            store.keep_until(name)
        with pytest.raises(MissingError):
            store.extend(name, whole_second(vault.now() + timedelta(days=1)))
    store.delete("a/bb")


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a//b", ".keep/x", "a\nb"])
def test_a_name_that_could_leave_the_place_is_refused(vault: Vault, name: str) -> None:
    store = vault.open()
    with pytest.raises(MalformedError), store.store(name):
        pass
    for attempt in (lambda: got(store, name), lambda: store.delete(name), lambda: store.keep_until(name)):
        with pytest.raises(MalformedError):
            attempt()


@pytest.mark.parametrize("size", [5, REPOSITORY_PIECE_BYTES * 2])
def test_of_a_block_that_raises_nothing_has_the_name(vault: Vault, size: int) -> None:
    store = vault.open()
    with pytest.raises(ZeroDivisionError), store.store("a/b") as sink:
        sink.write(bytes(size))
        raise ZeroDivisionError
    assert list(store.objects("")) == []
    for name in store.unfinished(""):
        store.forget(name)
    assert list(store.unfinished("")) == []
    put(store, "a/b", b"again")
    assert got(store, "a/b") == b"again"


def test_what_is_being_stored_is_unfinished(vault: Vault) -> None:
    store = vault.open()
    with store.store("a/b") as sink:
        sink.write(bytes(REPOSITORY_PIECE_BYTES + 1))
        assert list(store.unfinished("a/")) == ["a/b"]
        assert list(store.unfinished("b")) == []
        assert list(store.objects("")) == []
    assert list(store.unfinished("")) == []


@pytest.mark.parametrize("size", [5, REPOSITORY_PIECE_BYTES + 1])
def test_a_name_is_given_once(vault: Vault, size: int) -> None:
    store = vault.open()
    put(store, "a/b", b"first")
    with pytest.raises(ConflictError):
        put(store, "a/b", bytes(size))
    assert got(store, "a/b") == b"first"


def test_names_are_listed_by_how_they_begin(vault: Vault) -> None:
    store = vault.open()
    names = ["a/1/data.000", "a/1/manifest.json", "a/2/data.000", "ab/1/data.000", "b"]
    for name in names:
        put(store, name, name.encode(), keep_until=vault.soon())
    for prefix in ("", "a", "a/", "a/1/", "a/1/data.000", "ab/", "c"):
        found = {kept.name: (kept.size_bytes, kept.hidden_by) for kept in store.objects(prefix)}
        assert found == {name: (len(name), "") for name in names if name.startswith(prefix)}


@pytest.mark.parametrize("size", [7, REPOSITORY_PIECE_BYTES + 7])
def test_what_is_kept_cannot_be_deleted_before_its_day_and_can_after(vault: Vault, size: int) -> None:
    store, until = vault.open(), vault.soon()
    put(store, "a/b", bytes(size), keep_until=until)
    assert store.keep_until("a/b") == until
    with pytest.raises(ForbiddenError, match="could not delete"):
        store.delete("a/b")
    assert len(got(store, "a/b")) == size
    vault.wait_for(until)
    store.delete("a/b")
    assert list(store.objects("")) == []


def test_what_is_not_kept_is_deleted_at_once(vault: Vault) -> None:
    store = vault.open()
    put(store, "a/b", b"1")
    assert store.keep_until("a/b") is None
    store.delete("a/b")
    with pytest.raises(MissingError):
        got(store, "a/b")


def test_a_place_that_was_not_told_to_locks_nothing_unasked(vault: Vault) -> None:
    assert vault.open().locks_unasked() == ""


def test_a_day_is_moved_away_and_never_nearer(vault: Vault) -> None:
    store, until = vault.open(), vault.soon()
    put(store, "a/b", b"1")
    for later in (until, until + timedelta(seconds=1)):
        store.extend("a/b", later)
        assert vault.open().keep_until("a/b") == later
    with pytest.raises(ForbiddenError, match="could not keep"):
        store.extend("a/b", until)
    with pytest.raises(ForbiddenError):
        store.delete("a/b")
    vault.wait_for(until + timedelta(seconds=1))
    store.delete("a/b")


def test_the_promise_is_one_of_the_three_and_holds_when_it_is_challenged(vault: Vault) -> None:
    store = vault.open()
    assert store.lock in PROMISES
    attempts = store.challenge()
    assert any(one.broken for one in attempts) == (store.lock == "none"), attempts
    assert [one.tried for one in store.challenge()] == [one.tried for one in attempts], "beside what the first one left"


def test_each_attempt_on_the_lock_comes_back_with_what_the_store_answered(vault: Vault) -> None:
    attempts = vault.open().challenge()
    assert len({one.tried for one in attempts}) == len(attempts) >= 2
    for one in attempts:
        assert one.answer == " ".join(one.answer.split()) and 0 < len(one.answer) <= LOCK_ANSWER_CHARS_MAX
        refused = re.match(r"E[A-Z]+: |4\d\d [A-Z]\w+: |could not ", one.answer)
        assert bool(refused) != bool(one.broken), one


def test_every_way_to_break_the_lock_is_refused(vault: Vault) -> None:
    """With all that the process may do, behind the keeper's back."""
    store = vault.open()
    if store.lock == "none":
        pytest.skip("this place promises nothing")
    for name, size in (("a/small", 5), ("a/large", REPOSITORY_PIECE_BYTES + 5)):
        put(store, name, bytes(size), keep_until=whole_second(vault.now() + timedelta(days=1)))
        assert [what for what, attempt in vault.attacks(name).items() if attempt()] == []
        assert got(store, name) == bytes(size)


def test_an_object_that_somebody_hides_is_found_read_and_named(vault: Vault) -> None:
    for number, (what, hide) in enumerate(vault.hiding().items()):
        store, name, until = vault.open(), f"a/{number}", vault.soon()
        put(store, name, b"ours", keep_until=until)
        hide(name)
        (found,) = store.objects(name)
        assert (found.size_bytes, found.hidden_by) == (4, what)
        assert got(store, name) == b"ours"
        with pytest.raises(ConflictError):
            put(store, name, b"other")
        store.extend(name, until + timedelta(seconds=1))
        vault.wait_for(until + timedelta(seconds=1))
        store.delete(name)
        assert list(store.objects(name)) == []


@pytest.mark.slow
def test_a_gibibyte_goes_through_in_bounded_memory(vault: Vault, rng: Random) -> None:
    if vault.name == "memory":
        pytest.skip("memory is what it takes")
    store, chunk = vault.open(), rng.randbytes(1 << 20)
    before, digest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, sha256()
    with store.store("a/big") as sink:
        for number in range(1024):
            data = number.to_bytes(8) + chunk[8:]
            digest.update(data)
            sink.write(data)
    read = sha256()
    for data in store.read("a/big"):
        read.update(data)
    assert read.digest() == digest.digest()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "KiB"
    store.delete("a/big")


def test_a_place_that_is_gone_is_unavailable(vault: Vault) -> None:
    store = vault.open()
    put(store, "a/b", b"1")
    if not vault.vanish():
        pytest.skip("this place cannot go")
    for attempt in (lambda: got(store, "a/b"), lambda: list(store.objects("")), lambda: put(store, "a/c", b"")):
        with pytest.raises(AtpError, match=r"^could not .*\(hint: .*\)$") as raised:
            attempt()
        assert raised.value.code == "unavailable"


def test_a_day_is_rounded_up_to_a_second() -> None:
    assert whole_second(datetime(2026, 1, 1, 0, 0, 0, 1, UTC)) == datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert whole_second(datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2026, 1, 1, tzinfo=UTC)
