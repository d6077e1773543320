"""Signed notes and keys against the vectors of Go, C2SP, Sigsum, and of the Ed25519 edge cases."""

from pathlib import Path
from typing import Any

import pytest

from atp.errors import MalformedError, TamperedError
from atp.merkle.keys import COSIGNATURE, ED25519, SigningKey, VerifierKey, parse_signing_key, parse_vkey
from atp.merkle.notes import Note, open_note, parse_note
from atp.merkle.signatures import parse_signature, sign_text
from tests.vectors.foreign import read


def note_of(case: dict[str, Any]) -> bytes:
    return bytes.fromhex(case["note_hex"]) if "note_hex" in case else case["note"].encode()


def test_notes_open_as_in_go(shared: Path) -> None:
    cases = read(shared, "signed-note/golang_note_open.json")["cases"]
    assert len(cases) == 15
    for case in cases:
        trusted = [parse_vkey(vkey) for vkey in case["trusted_vkeys"]]
        if case["ok"]:
            opened = open_note(note_of(case), trusted=trusted)
            assert [signature.name for signature in opened.verified] == case["verified"]
            assert [signature.name for signature in opened.ignored] == case["unverified"]
        else:
            is_malformed = case["error"] in ("malformed note", "ambiguous key")
            with pytest.raises(MalformedError if is_malformed else TamperedError):
                open_note(note_of(case), trusted=trusted)


def test_notes_are_signed_as_in_go(shared: Path) -> None:
    vectors = read(shared, "signed-note/golang_note_keys.json")
    first, second = vectors["sign"], vectors["sign_second_key"]
    key = parse_signing_key(first["skey"])
    assert key.secret() == first["skey"]
    signed = Note(first["text"], (sign_text(first["text"], key),))
    assert signed.encode() == first["want_note"].encode()
    assert signed.with_signatures(sign_text(first["text"], key)) == signed
    other = SigningKey.from_seed(bytes.fromhex(second["seed_hex"]), name=second["name"])
    assert other.public().vkey == second["vkey"]
    assert signed.with_signatures(sign_text(first["text"], other)).encode() == second["want_note"].encode()


def test_keys_are_refused_as_in_go(shared: Path) -> None:
    vectors = read(shared, "signed-note/golang_note_keys.json")
    bad = [case["vkey"] for case in vectors["invalid_vkeys"] if "vkey" in case]
    for vkey in vectors["valid_vkeys"]:
        assert parse_vkey(vkey).vkey == vkey
        bad += [vkey[:at] + chr(ord(vkey[at]) + 1) + vkey[at + 1 :] for at in range(len(vkey))]
        bad += [vkey[start:end] for start in range(len(vkey)) for end in range(start, len(vkey) + (start > 0))]
    for vkey in bad:
        with pytest.raises(MalformedError):
            parse_vkey(vkey)


def test_what_go_does_not_sign_is_refused(shared: Path) -> None:
    for case in read(shared, "signed-note/golang_note_keys.json")["invalid_sign_inputs"]:
        key = SigningKey.from_seed(bytes(32), name="a")
        with pytest.raises(MalformedError):
            if "text" in case:
                Note(case["text"], (sign_text(case["text"], key),))
            elif "existing_sig_base64" in case:
                parse_signature(f"— a {case['existing_sig_base64']}")
            else:
                SigningKey.from_seed(bytes(32), name=case.get("signer_name") or case["existing_sig_name"])


def test_the_examples_of_the_specification_open(shared: Path) -> None:
    signed, poem = read(shared, "signed-note/c2sp_examples.json")["cases"]
    assert open_note(note_of(signed), trusted=[parse_vkey(signed["vkey"])]).text == "This is an example message.\n"
    note = parse_note(note_of(poem))
    assert note.text.count("\n") == poem["want_text_lines"]
    assert [signature.name for signature in note.signatures] == [poem["want_sig_key_name"]]


def test_keys_of_all_kinds_have_the_ids_of_the_specification(shared: Path) -> None:
    vectors = read(shared, "signed-note/vkeys_all_types.json")
    for case in vectors["valid"]:
        key = parse_vkey(case["vkey"])
        assert key.vkey == case["vkey"] and key.kind == int(case["type"], 16)
    for case in vectors["invalid"]:
        with pytest.raises(MalformedError):
            parse_vkey(case["vkey"])
    for case in vectors["upstream_quirk"]:
        with pytest.raises(MalformedError, match="its id is 31236897"):
            parse_vkey(case["vkey"])


def test_signature_lines_are_read_as_by_sigsum(shared: Path) -> None:
    vectors = read(shared, "signed-note/sigsum_signature_lines.json")
    good, other_name, *bad = vectors["cases"]
    signature = parse_signature(good["line"])
    assert (signature.name, signature.key_id.hex()) == (vectors["want_key_name"], good["key_id_hex"])
    assert signature.value.startswith(bytes.fromhex(good["sig_first_bytes_hex"]))
    assert parse_signature(other_name["line"]).name != vectors["want_key_name"]
    for case in bad:
        with pytest.raises(MalformedError):
            parse_signature(case["line"])


def test_every_low_order_key_is_refused_when_it_is_registered(shared: Path) -> None:
    cases = read(shared, "ed25519/ed25519vectors.json")
    assert len(cases) == 914
    for case in cases:
        public = bytes.fromhex(case["key"])
        is_weak = not {"low_order_A", "non_canonical_A"}.isdisjoint(case["flags"] or ())
        for kind in (ED25519, COSIGNATURE):
            if is_weak:
                with pytest.raises(MalformedError, match="low-order or non-canonical"):
                    VerifierKey("a", kind, public)
            else:
                assert VerifierKey("a", kind, public).public == public


def test_all_fourteen_low_order_encodings_are_refused(shared: Path) -> None:
    text = (shared / "vectors/ed25519/flags.txt").read_text("utf-8")
    words = [word for word in text.split() if len(word) == 64]
    assert len(set(words)) == 14
    for word in words:
        with pytest.raises(MalformedError, match="low-order"):
            VerifierKey("a", ED25519, bytes.fromhex(word))
