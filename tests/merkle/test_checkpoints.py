"""Checkpoints: strict text, and that only the log's own word opens one."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.errors import MalformedError, TamperedError
from atp.merkle.checkpoints import Checkpoint, open_checkpoint, parse_checkpoint, sign_checkpoint
from atp.merkle.cosignatures import cosign
from atp.merkle.hashes import EMPTY_ROOT, SIZE_MAX
from atp.merkle.keys import COSIGNATURE, SigningKey
from atp.merkle.notes import Note, parse_note

LOG = SigningKey.from_seed(b"l" * 32, name="log.example/tenant-7")
WITNESS = SigningKey.from_seed(b"w" * 32, name="witness.example")
ROOT = bytes(range(32))
CHECKPOINT = Checkpoint("log.example/tenant-7", 70_000, ROOT)
LINES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@given(LINES, st.integers(1, SIZE_MAX), st.binary(min_size=32, max_size=32), st.lists(LINES, max_size=3).map(tuple))
def test_a_text_gives_back_the_checkpoint(origin: str, size: int, root: bytes, extensions: tuple[str, ...]) -> None:
    checkpoint = Checkpoint(origin, size, root, extensions)
    assert parse_checkpoint(checkpoint.text) == checkpoint


@given(st.text(max_size=80) | st.lists(LINES, max_size=4).map(lambda lines: "".join(f"{line}\n" for line in lines)))
def test_any_text_is_read_exactly_or_refused(text: str) -> None:
    with suppress(MalformedError):
        assert parse_checkpoint(text).text == text


@given(st.integers(0), st.integers(0), st.text(max_size=2))
def test_a_mutated_text_is_read_exactly_or_refused(start: int, length: int, patch: str) -> None:
    text = CHECKPOINT.text
    at = start % len(text)
    mutated = text[:at] + patch + text[at + length % 4 :]
    try:
        assert parse_checkpoint(mutated).text == mutated
    except MalformedError:
        assert mutated != text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n\n",
        "log\n1\n",
        "log\n1\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "\n1\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "log\n01\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "log\n+1\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "log\n9223372036854775808\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "log\n0\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "log\n1\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=\n",
        "log\n1\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==\n",
        "log\n1\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n",
        "log\n1\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\next\n\n",
        "log\n1\r\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
    ],
)
def test_another_spelling_is_no_checkpoint(text: str) -> None:
    with pytest.raises(MalformedError, match="could not read the checkpoint"):
        parse_checkpoint(text)


def test_an_empty_log_has_the_empty_root() -> None:
    assert parse_checkpoint(Checkpoint("log", 0, EMPTY_ROOT).text).size == 0


def test_a_signed_checkpoint_opens_and_is_the_same_each_time() -> None:
    data = sign_checkpoint(CHECKPOINT, LOG)
    assert data == sign_checkpoint(CHECKPOINT, LOG)
    assert open_checkpoint(data, origin=LOG.name, log_keys=[LOG.public()]).checkpoint == CHECKPOINT


def test_a_checkpoint_of_another_origin_does_not_open() -> None:
    data = sign_checkpoint(CHECKPOINT, LOG)
    with pytest.raises(TamperedError, match=r"it is of 'log\.example/tenant-7'"):
        open_checkpoint(data, origin="log.example/tenant-8", log_keys=[LOG.public()])


def test_a_witness_alone_does_not_open_a_checkpoint() -> None:
    witness = WITNESS.public(kind=COSIGNATURE)
    cosignature = cosign(CHECKPOINT.text, WITNESS, unix_seconds=7)
    alone = Note(CHECKPOINT.text, (cosignature,)).encode()
    with pytest.raises(TamperedError, match="the log did not sign it"):
        open_checkpoint(alone, origin=LOG.name, log_keys=[LOG.public()], witness_keys=[witness])
    both = parse_note(sign_checkpoint(CHECKPOINT, LOG)).with_signatures(cosignature).encode()
    opened = open_checkpoint(both, origin=LOG.name, log_keys=[LOG.public()], witness_keys=[witness])
    assert [signature.name for signature in opened.note.verified] == [LOG.name, WITNESS.name]


def test_a_note_that_is_no_checkpoint_does_not_open() -> None:
    data = Note("hello\n", parse_note(sign_checkpoint(CHECKPOINT, LOG)).signatures).encode()
    with pytest.raises(TamperedError):
        open_checkpoint(data, origin=LOG.name, log_keys=[LOG.public()])
