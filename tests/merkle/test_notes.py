"""Signed notes: whose word counts, and that any other byte is refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.errors import MalformedError, TamperedError
from atp.merkle.cosignatures import cosign, cosigned_at_unix_seconds
from atp.merkle.keys import COSIGNATURE, TREE_HEAD, SigningKey, VerifierKey
from atp.merkle.notes import NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX, Note, open_note, parse_note
from atp.merkle.signatures import Signature, parse_signature, sign_text

LOG = SigningKey.from_seed(b"l" * 32, name="log.example")
OTHER = SigningKey.from_seed(b"o" * 32, name="other.example")
WITNESS = SigningKey.from_seed(b"w" * 32, name="witness.example")
TEXT = "first line\n\nlast line\n"
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"), max_size=60).map("{}\n".format)


def note(*signatures: Signature, text: str = TEXT) -> bytes:
    return Note(text, signatures).encode()


def flipped(signature: Signature) -> Signature:
    return Signature(signature.name, signature.key_id, signature.value[:-1] + bytes([signature.value[-1] ^ 1]))


@given(TEXTS)
def test_a_signed_text_opens_as_it_was(text: str) -> None:
    opened = open_note(note(sign_text(text, LOG), text=text), trusted=[LOG.public()])
    assert opened.text == text
    assert [signature.name for signature in opened.verified] == ["log.example"]


@given(st.integers(0), st.integers(1, 255))
def test_a_note_with_one_changed_byte_does_not_open(at: int, change: int) -> None:
    data = bytearray(note(sign_text(TEXT, LOG)))
    data[at % len(data)] ^= change
    with pytest.raises((MalformedError, TamperedError)):
        open_note(bytes(data), trusted=[LOG.public()])


@given(st.binary(max_size=200) | st.tuples(TEXTS, st.text(max_size=60)).map("\n— ".join).map(str.encode))
def test_any_note_is_read_exactly_or_refused(data: bytes) -> None:
    with suppress(MalformedError):
        assert parse_note(data).encode() == data


@given(st.integers(0), st.integers(0), st.binary(max_size=3))
def test_a_mutated_note_is_read_exactly_or_refused(start: int, length: int, patch: bytes) -> None:
    data = note(sign_text(TEXT, LOG), cosign(TEXT, WITNESS, unix_seconds=7))
    at = start % len(data)
    mutated = data[:at] + patch + data[at + length % 4 :]
    try:
        assert parse_note(mutated).encode() == mutated
        assert open_note(mutated, trusted=[LOG.public(), WITNESS.public(kind=COSIGNATURE)]).text == TEXT
    except (MalformedError, TamperedError):
        assert mutated != data


def test_unknown_keys_are_ignored_whatever_they_say() -> None:
    grease = Signature("grease.example", b"1234", b"x")
    same_name = Signature("log.example", b"1234", b"x")
    same_id = Signature("grease.example", LOG.public().key_id, b"x")
    own = sign_text(TEXT, LOG)
    opened = open_note(note(grease, same_name, own, same_id, grease), trusted=[LOG.public()])
    assert opened.verified == (own,)
    assert opened.ignored == (grease, same_name, same_id)


def test_one_bad_signature_of_a_trusted_key_spoils_the_note() -> None:
    for value in (flipped(sign_text(TEXT, OTHER)), Signature("other.example", OTHER.public().key_id, b"short")):
        data = note(sign_text(TEXT, LOG), value)
        open_note(data, trusted=[LOG.public()])
        with pytest.raises(TamperedError, match=r"the signature of 'other\.example' is wrong"):
            open_note(data, trusted=[LOG.public(), OTHER.public()])


def test_a_note_that_no_trusted_key_signed_does_not_open() -> None:
    for trusted in ([], [OTHER.public()]):
        with pytest.raises(TamperedError, match="no trusted key has signed it"):
            open_note(note(sign_text(TEXT, LOG)), trusted=trusted)


def test_a_key_of_a_kind_that_is_not_verified_opens_nothing() -> None:
    key = VerifierKey("log.example", TREE_HEAD, b"any")
    with pytest.raises(TamperedError, match="no trusted key has signed it"):
        open_note(note(Signature("log.example", key.key_id, b"any")), trusted=[key])


def test_a_key_that_signs_twice_counts_once() -> None:
    first, second = (cosign(TEXT, WITNESS, unix_seconds=seconds) for seconds in (1, 2))
    opened = open_note(note(first, second, first), trusted=[WITNESS.public(kind=COSIGNATURE)])
    assert (opened.verified, opened.ignored) == ((first,), ())


def test_a_new_signature_replaces_that_of_the_same_key() -> None:
    old, new = (cosign(TEXT, WITNESS, unix_seconds=seconds) for seconds in (1, 2))
    own = sign_text(TEXT, LOG)
    assert Note(TEXT, (old, own)).with_signatures(new) == Note(TEXT, (own, new))


def test_a_note_has_at_most_100_signatures() -> None:
    lines = [Signature(f"k{number}", b"1234", b"x") for number in range(NOTE_SIGNATURES_MAX)]
    data = note(*lines)
    assert len(parse_note(data).signatures) == NOTE_SIGNATURES_MAX
    for too_many in (data + b"\xe2\x80\x94 k MTIzNHg=\n", data + b"\xe2\x80\x94 k MTIzNHg=\n" * 2):
        with pytest.raises(MalformedError, match="more than 100 signatures"):
            parse_note(too_many)
    with pytest.raises(MalformedError, match="0 signatures"):
        Note(TEXT, ())


def test_a_note_has_at_most_a_million_bytes() -> None:
    text = "x" * (NOTE_BYTES_MAX - 200) + "\n"
    parse_note(note(sign_text(text, LOG), text=text))
    with pytest.raises(MalformedError, match="more than 1000000"):
        parse_note(note(sign_text(text * 2, LOG), text=text * 2))


@pytest.mark.parametrize("text", ["", "no line feed", "tab\t\n", "return\r\n", "zero\x00\n"])
def test_a_text_that_is_no_note_is_not_signed(text: str) -> None:
    with pytest.raises(MalformedError):
        Note(text, (sign_text(text, LOG),))


def test_a_text_without_utf8_is_not_encoded() -> None:
    with pytest.raises(MalformedError, match="not UTF-8"):
        Note("\ud800\n", (sign_text("x", LOG),)).encode()


@given(st.integers(0, 2**64 - 1))
def test_a_cosignature_keeps_its_time(seconds: int) -> None:
    opened = open_note(note(cosign(TEXT, WITNESS, unix_seconds=seconds)), trusted=[WITNESS.public(kind=COSIGNATURE)])
    assert cosigned_at_unix_seconds(opened.verified[0]) == seconds


def test_a_cosignature_cannot_be_moved_in_time_or_to_another_text() -> None:
    honest = cosign(TEXT, WITNESS, unix_seconds=1_000)
    later = Signature(honest.name, honest.key_id, (1_001).to_bytes(8, "big") + honest.value[8:])
    for data in (note(later), note(honest, text="another\n"), note(Signature(*_head(honest), honest.value + b"x"))):
        with pytest.raises(TamperedError, match="is wrong"):
            open_note(data, trusted=[WITNESS.public(kind=COSIGNATURE)])


def test_a_plain_signature_has_no_time() -> None:
    with pytest.raises(MalformedError, match="it is no cosignature"):
        cosigned_at_unix_seconds(sign_text(TEXT, LOG))


@given(st.text(max_size=60) | st.text(max_size=60).map("— ".__add__))
def test_any_signature_line_is_read_exactly_or_refused(line: str) -> None:
    with suppress(MalformedError):
        assert parse_signature(line).line == line


def _head(signature: Signature) -> tuple[str, bytes]:
    return signature.name, signature.key_id
