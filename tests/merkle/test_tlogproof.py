"""Offline proofs of one entry: byte-exact files, and every lie about the entry refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.errors import MalformedError, TamperedError
from atp.merkle.checkpoints import Checkpoint, sign_checkpoint
from atp.merkle.hashes import SIZE_MAX, leaf_hash
from atp.merkle.keys import SigningKey
from atp.merkle.proofs import prove_inclusion
from atp.merkle.tlogproof import EXTRA_BYTES_MAX, TlogProof, check_tlog_proof, parse_tlog_proof
from tests.merkle.reference import ReferenceTree, numbered

LOG = SigningKey.from_seed(b"l" * 32, name="log.example")
ENTRIES = numbered(1_000)
TREE = ReferenceTree(ENTRIES)
NOTE = sign_checkpoint(Checkpoint(LOG.name, 1_000, TREE.root(0, 1_000)), LOG)
PROOF = TlogProof(300, tuple(prove_inclusion(index=300, size=1_000, read_tiles=TREE.read_tiles)), NOTE)
HASHES = st.lists(st.binary(min_size=32, max_size=32), max_size=63).map(tuple)


def check(proof: TlogProof, entry: bytes) -> int:
    leaf = leaf_hash(entry)
    return check_tlog_proof(proof, leaf_hash=leaf, origin=LOG.name, log_keys=[LOG.public()]).checkpoint.size


@given(st.integers(0, SIZE_MAX - 1), HASHES, st.binary(min_size=1, max_size=300), st.none() | st.binary(max_size=300))
def test_a_file_gives_back_the_proof(
    index: int, hashes: tuple[bytes, ...], checkpoint: bytes, extra: bytes | None
) -> None:
    proof = TlogProof(index, hashes, checkpoint, extra)
    assert parse_tlog_proof(proof.encode()) == proof


@given(st.integers(0), st.integers(0), st.binary(max_size=3))
def test_a_mutated_file_is_read_exactly_or_refused(start: int, length: int, patch: bytes) -> None:
    data = PROOF.encode()
    at = start % len(data)
    mutated = data[:at] + patch + data[at + length % 4 :]
    try:
        assert parse_tlog_proof(mutated).encode() == mutated
        check(parse_tlog_proof(mutated), ENTRIES[300])
    except (MalformedError, TamperedError):
        assert mutated != data


@given(st.binary(max_size=200) | st.binary(max_size=200).map(b"c2sp.org/tlog-proof@v1\nindex 1\n".__add__))
def test_any_file_is_read_exactly_or_refused(data: bytes) -> None:
    with suppress(MalformedError):
        assert parse_tlog_proof(data).encode() == data


def test_a_proof_holds_for_its_entry_alone() -> None:
    assert check(parse_tlog_proof(PROOF.encode()), ENTRIES[300]) == 1_000
    with pytest.raises(TamperedError, match="the proof does not hold"):
        check(PROOF, ENTRIES[301])


def test_a_proof_holds_at_its_index_alone() -> None:
    for index in (0, 299, 301, 999):
        with pytest.raises(TamperedError):
            check(TlogProof(index, PROOF.hashes, NOTE), ENTRIES[300])
    with pytest.raises(MalformedError, match="no tree has leaf 1000"):
        check(TlogProof(1_000, PROOF.hashes, NOTE), ENTRIES[300])


def test_a_proof_under_an_unsigned_root_is_refused() -> None:
    stranger = SigningKey.from_seed(b"s" * 32, name=LOG.name)
    note = sign_checkpoint(Checkpoint(LOG.name, 1_000, TREE.root(0, 1_000)), stranger)
    with pytest.raises(TamperedError, match="no trusted key has signed it"):
        check(TlogProof(300, PROOF.hashes, note), ENTRIES[300])


def test_extra_data_fills_a_line_that_others_still_read() -> None:
    data = TlogProof(1, (), b"x", b"e" * EXTRA_BYTES_MAX).encode()
    assert max(map(len, data.split(b"\n"))) + 1 == 65_535
    assert parse_tlog_proof(data).extra == b"e" * EXTRA_BYTES_MAX
    with pytest.raises(MalformedError, match="its extra data has more"):
        TlogProof(1, (), b"x", b"e" * (EXTRA_BYTES_MAX + 1))


@pytest.mark.parametrize(
    "head",
    [
        "",
        "index 1",
        "c2sp.org/tlog-proof@v2\nindex 1",
        "c2sp.org/tlog-proof@v1",
        "c2sp.org/tlog-proof@v1\nindex",
        "c2sp.org/tlog-proof@v1\nindex 01",
        "c2sp.org/tlog-proof@v1\nindex  1",
        "c2sp.org/tlog-proof@v1\nindex 9223372036854775807",
        "c2sp.org/tlog-proof@v1\nextra AA==",
        "c2sp.org/tlog-proof@v1\nextra AA==\nextra AA==\nindex 1",
        "c2sp.org/tlog-proof@v1\nindex 1\nextra AA==",
        "c2sp.org/tlog-proof@v1\nextra AB==\nindex 1",
        "c2sp.org/tlog-proof@v1\r\nindex 1",
        "c2sp.org/tlog-proof@v1\nindex 1\nAA==",
        "c2sp.org/tlog-proof@v1\nindex 1" + "\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" * 64,
        "c2sp.org/tlog-proof@v1\nextra " + "AAAA" * 20_000 + "\nindex 1",
    ],
)
def test_another_spelling_is_no_proof(head: str) -> None:
    with pytest.raises(MalformedError, match="could not read the tlog proof"):
        parse_tlog_proof(f"{head}\n\ncheckpoint\n".encode())


def test_a_proof_needs_a_checkpoint() -> None:
    for data in (b"c2sp.org/tlog-proof@v1\nindex 1\n\n", b"c2sp.org/tlog-proof@v1\nindex 1\n"):
        with pytest.raises(MalformedError):
            parse_tlog_proof(data)
