"""Proof verifiers and provers against the vectors of transparency-dev/merkle and of the IETF subtree draft."""

from base64 import b64decode
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from atp.errors import MalformedError, TamperedError
from atp.merkle.frontier import Frontier
from atp.merkle.hashes import EMPTY_ROOT, complete_root, leaf_hash, node_hash
from atp.merkle.proofs import (
    check_consistency,
    check_inclusion,
    check_subtree,
    check_subtree_inclusion,
    is_subtree,
    prove_subtree,
    prove_subtree_inclusion,
)
from tests.merkle.reference import ReferenceTree
from tests.vectors.foreign import hashes, read


def misjudged(cases: list[dict[str, Any]], check: Callable[[dict[str, Any]], None]) -> list[str]:
    """The cases whose verdict is not the vectors' one."""
    return [case["file"] for case in cases if is_refused(check, case) != case["wantErr"]]


def is_refused(check: Callable[[dict[str, Any]], None], case: dict[str, Any]) -> bool:
    try:
        check(case)
    except (MalformedError, TamperedError):
        return True
    return False


def test_inclusion_proofs_are_judged_as_elsewhere(shared: Path) -> None:
    cases = read(shared, "rfc6962/inclusion.json")["cases"]
    assert len(cases) == 98
    wrong = misjudged(
        cases,
        lambda case: check_inclusion(
            leaf_hash=b64decode(case["leafHash"]),
            index=case["leafIdx"],
            size=case["treeSize"],
            proof=hashes(case["proof"]),
            root=b64decode(case["root"]),
        ),
    )
    assert wrong == []


def test_consistency_proofs_are_judged_as_elsewhere(shared: Path) -> None:
    cases = read(shared, "rfc6962/consistency.json")["cases"]
    assert len(cases) == 98
    wrong = misjudged(
        cases,
        lambda case: check_consistency(
            old_size=case["size1"],
            size=case["size2"],
            old_root=b64decode(case["root1"]),
            proof=hashes(case["proof"]),
            root=b64decode(case["root2"]),
        ),
    )
    assert wrong == []


def test_subtree_inclusion_proofs_are_judged_as_elsewhere(shared: Path) -> None:
    cases = read(shared, "rfc6962/subtreeinclusion.json")["cases"]
    assert len(cases) == 204
    wrong = misjudged(
        cases,
        lambda case: check_subtree_inclusion(
            leaf_hash=b64decode(case["leafHash"]),
            index=case["leafIdx"],
            start=case["start"],
            end=case["end"],
            proof=hashes(case["proof"]),
            subtree_root=b64decode(case["root"]),
        ),
    )
    assert wrong == []


def test_subtree_consistency_proofs_are_judged_as_elsewhere(shared: Path) -> None:
    cases = read(shared, "rfc6962/subtreeconsistency.json")["cases"]
    assert len(cases) == 118
    wrong = misjudged(
        cases,
        lambda case: check_subtree(
            start=case["start"],
            end=case["end"],
            size=case["size"],
            subtree_root=b64decode(case["root1"]),
            proof=hashes(case["proof"]),
            root=b64decode(case["root2"]),
        ),
    )
    assert wrong == []


def test_the_reference_tree_is_the_same(shared: Path) -> None:
    vectors = read(shared, "rfc6962/reference_tree.json")
    leaves = [leaf_hash(bytes.fromhex(entry)) for entry in vectors["leaf_inputs_hex"]]
    for size, root in enumerate(vectors["root_hash_hex_by_size"]):
        assert Frontier().extended(leaves[:size]).root.hex() == root
    for level, nodes in enumerate(vectors["node_hashes_hex_by_level"]):
        packed = [b"".join(leaves[at << level : at + 1 << level]) for at in range(len(nodes))]
        assert [complete_root(part).hex() for part in packed] == nodes
    compute: dict[str, Callable[[dict[str, str]], bytes]] = {
        "empty_root": lambda _: EMPTY_ROOT,
        "leaf": lambda case: leaf_hash(case["data_ascii"].encode()),
        "node": lambda case: node_hash(left=case["left_ascii"].encode(), right=case["right_ascii"].encode()),
    }
    for case in vectors["primitives"]["cases"]:
        assert compute[case["op"]](case).hex() == case["want"]


def rolling(shared: Path, name: str) -> str:
    vectors = read(shared, "rfc6962/rolling_subtree_vectors.json")["vectors"]
    return str(next(vector["sha256"] for vector in vectors if vector["name"] == name))


def subtrees(end_max: int) -> Iterator[tuple[int, int]]:
    bounds = ((start, end) for end in range(end_max + 1) for start in range(end + 1))
    return ((start, end) for start, end in bounds if is_subtree(start=start, end=end))


def digest(lines: Iterator[str]) -> str:
    running = sha256()
    for line in lines:
        running.update(line.encode())
    return running.hexdigest()


@pytest.fixture(scope="module")
def tree() -> ReferenceTree:
    return ReferenceTree([bytes([number]) for number in range(130)])


def words(proof: list[bytes]) -> str:
    return "".join(f" {element.hex()}" for element in proof)


def test_every_subtree_hash_of_the_draft(shared: Path, tree: ReferenceTree) -> None:
    def root(start: int, end: int) -> str:
        return Frontier().extended(tree.leaves[start:end]).root.hex()

    lines = (f"[{start}, {end}) {root(start, end)}\n" for start, end in subtrees(130))
    assert digest(lines) == rolling(shared, "subtree_hash")


def test_every_subtree_inclusion_proof_of_the_draft(shared: Path, tree: ReferenceTree) -> None:
    def proof(index: int, start: int, end: int) -> str:
        return words(prove_subtree_inclusion(index=index, start=start, end=end, read_tiles=tree.read_tiles))

    lines = (f"{i} [{a}, {b}){proof(i, a, b)}\n" for a, b in subtrees(130) for i in range(a, b))
    assert digest(lines) == rolling(shared, "subtree_inclusion_proof")


@pytest.mark.slow
def test_every_subtree_consistency_proof_of_the_draft(shared: Path, tree: ReferenceTree) -> None:
    def proof(start: int, end: int, size: int) -> str:
        return words(prove_subtree(start=start, end=end, size=size, read_tiles=tree.read_tiles))

    lines = (f"[{a}, {b}) {size}{proof(a, b, size)}\n" for size in range(131) for a, b in subtrees(size))
    assert digest(lines) == rolling(shared, "subtree_consistency_proof")
