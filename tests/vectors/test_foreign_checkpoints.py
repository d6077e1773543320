"""Checkpoints, cosignatures and tlog proofs against those of Go, Pixel, Rekor, Sigsum, Sunlight and others."""

import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from atp.errors import MalformedError, TamperedError
from atp.merkle.checkpoints import open_checkpoint, parse_checkpoint
from atp.merkle.cosignatures import cosign, cosigned_at_unix_seconds
from atp.merkle.hashes import leaf_hash
from atp.merkle.keys import COSIGNATURE, ED25519, SigningKey, VerifierKey, parse_signing_key, parse_vkey
from atp.merkle.notes import Note, open_note, parse_note
from atp.merkle.signatures import Signature, parse_signature, sign_text
from atp.merkle.tlogproof import TlogProof, check_tlog_proof, parse_tlog_proof
from tests.vectors.foreign import hashes, read

REFUSED = (MalformedError, TamperedError)


def test_checkpoint_texts_are_read_at_least_as_strictly_as_elsewhere(shared: Path) -> None:
    for case in read(shared, "checkpoint/formats_checkpoint.json")["unmarshal"]:
        # The other parser takes roots of any length; with one of 32 bytes the verdicts have to agree.
        text = re.sub(r"\n(YmFuYW5hcw==|dGhl\w+==)", "\n" + "A" * 43 + "=", case["in"])
        if case.get("strict_ok", case["ok"]):
            extensions = "".join(f"{line}\n" for line in parse_checkpoint(text).extensions)
            assert extensions == case.get("rest", "")
        for refused in {case["in"]} | ({text} if not case.get("strict_ok", case["ok"]) else set()):
            with pytest.raises(MalformedError):
                parse_checkpoint(refused)


def key_of(case: dict[str, Any]) -> VerifierKey:
    if "vkey" in case:
        return parse_vkey(case["vkey"])
    return SigningKey.from_seed(bytes.fromhex(case["ed25519_seed_hex"]), name=case["origin"]).public()


def test_real_checkpoints_open_and_no_changed_one_does(shared: Path) -> None:
    cases = read(shared, "checkpoint/signed_checkpoints.json")["cases"]
    assert len(cases) == 7
    for case in cases:
        data, key = case["note"].encode(), key_of(case)
        opened = open_checkpoint(data, origin=case["origin"], log_keys=[key])
        assert opened.note.text == opened.checkpoint.text
        assert [signature.name for signature in opened.note.verified] == [key.name]
        end = data.index(b"\n", data.index(b"\n\n") + 2)
        for at in range(end + 1):
            changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            with pytest.raises(REFUSED):
                open_checkpoint(changed, origin=case["origin"], log_keys=[key])


def test_a_checkpoint_is_signed_byte_for_byte_as_elsewhere(shared: Path) -> None:
    for case in read(shared, "checkpoint/signed_checkpoints.json")["cases"]:
        note = parse_note(case["note"].encode())
        if "skey" in case:
            assert sign_text(note.text, parse_signing_key(case["skey"])) == note.signatures[0]
        if "ed25519_seed_hex" in case:
            key = SigningKey.from_seed(bytes.fromhex(case["ed25519_seed_hex"]), name=case["origin"])
            assert sign_text(note.text, key) == note.signatures[0]


def test_real_cosignatures_verify_and_tell_their_time(shared: Path) -> None:
    for case in read(shared, "cosignature/cosignature_v1.json")["cases"][:3]:
        opened = open_note(case["note"].encode(), trusted=[parse_vkey(case["vkey"])])
        assert [cosigned_at_unix_seconds(signature) for signature in opened.verified] == [case["timestamp"]]


def test_a_cosignature_is_made_byte_for_byte_as_by_sigsum(shared: Path) -> None:
    case = read(shared, "cosignature/cosignature_v1.json")["cases"][3]
    key = SigningKey.from_seed(bytes.fromhex(case["ed25519_seed_hex"]), name=case["witness_name"])
    text = case["note_text"]
    assert cosign(text, key, unix_seconds=case["timestamp"]).line == case["line"]
    for line in case["near_misses_to_ignore"]:
        with pytest.raises(TamperedError):
            open_note(Note(text, (parse_signature(line),)).encode(), trusted=[key.public(kind=COSIGNATURE)])


def test_the_time_of_a_cosignature_is_read_from_its_bytes(shared: Path) -> None:
    timed, plain = (
        Signature("a", blob[:4], blob[4:])
        for blob in hashes(
            [case["blob_base64"] for case in read(shared, "cosignature/cosignature_v1.json")["cases"][4:]]
        )
    )
    assert cosigned_at_unix_seconds(timed) == 1_727_964_367
    with pytest.raises(MalformedError):
        cosigned_at_unix_seconds(plain)


def test_tlog_proofs_are_written_and_refused_as_elsewhere(shared: Path) -> None:
    vectors = read(shared, "tlog-proof/formats_tlog_proof.json")
    for case in vectors["marshal"]:
        extra = case["extra_ascii"].encode() if "extra_ascii" in case else None
        proof = TlogProof(case["index"], tuple(hashes(case["hashes"])), case["checkpoint"].encode(), extra)
        assert proof.encode() == case["want"].encode()
        assert parse_tlog_proof(case["want"].encode()) == proof
    for case in vectors["unmarshal_errors"]:
        with pytest.raises(MalformedError):
            parse_tlog_proof(case["in"].encode())


def rekor_key(case: dict[str, Any]) -> VerifierKey:
    """A Rekor log signs under the host of its address."""
    (key,) = case["log_public_key"]
    public = load_der_public_key(b64decode(key["spki_or_raw_base64"]))
    assert isinstance(public, Ed25519PublicKey)
    return VerifierKey(key["baseUrl"].removeprefix("https://"), ED25519, public.public_bytes_raw())


def check_rekor(case: dict[str, Any]) -> None:
    key = rekor_key(case)
    proof = TlogProof(
        int(case["log_index"]), tuple(hashes(case["inclusion_hashes"])), (case["checkpoint"] or "").encode()
    )
    proof = parse_tlog_proof(proof.encode())
    leaf = leaf_hash(b64decode(case["leaf_base64"]))
    opened = check_tlog_proof(proof, leaf_hash=leaf, origin=key.name, log_keys=[key]).checkpoint
    assert (opened.size, opened.root) == (int(case["tree_size"]), b64decode(case["root_hash"]))


def test_entries_of_rekor_are_proven_and_the_bad_ones_are_not(shared: Path) -> None:
    cases = read(shared, "rekor-v2/bundles_tlog_part.json")["cases"]
    assert len(cases) == 13 and sum(case["must_fail"] for case in cases) == 6
    for case in cases:
        if case["must_fail"]:
            with pytest.raises(REFUSED):
                check_rekor(case)
        else:
            check_rekor(case)
