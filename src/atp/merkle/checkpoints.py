"""Checkpoints (C2SP tlog-checkpoint v1): the signed statement of a log's size and root, its one mutable file.

The text is `<origin>`, `<size>` and `<base64(root)>`, one a line, then extension lines. We never write those: witnesses
refuse them, and not all cosignatures cover them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from atp.errors import MalformedError, TamperedError
from atp.merkle.encodings import format_base64, parse_base64, parse_decimal
from atp.merkle.hashes import EMPTY_ROOT, HASH_BYTES, SIZE_MAX
from atp.merkle.keys import SigningKey, VerifierKey
from atp.merkle.notes import Note, OpenedNote, open_note
from atp.merkle.signatures import sign_text


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself: under this origin, the tree of `size` leaves has this root.

    Making one raises MalformedError if no log can say so.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not all(_is_line(line) for line in (self.origin, *self.extensions)):
            raise _malformed("its origin or an extension is empty, or has control characters")
        if not 0 <= self.size <= SIZE_MAX or len(self.root) != HASH_BYTES:
            raise _malformed(f"its size is not within 0 and {SIZE_MAX}, or its root has not {HASH_BYTES} bytes")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise _malformed("its size is 0, but its root is not that of the empty tree")

    @property
    def text(self) -> str:
        """The text that is signed."""
        lines = (self.origin, str(self.size), format_base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint of a note's text; raises MalformedError. Take nothing from it before its note was opened."""
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop():
        raise _malformed("it has not three lines, each ended by a line feed")
    origin, decimal, encoded, *extensions = lines
    size, root = parse_decimal(decimal, most=SIZE_MAX), parse_base64(encoded)
    if size is None or root is None:
        raise _malformed("its second line is not a size, or its third is not base64")
    return Checkpoint(origin, size, root, tuple(extensions))


def sign_checkpoint(checkpoint: Checkpoint, *keys: SigningKey) -> bytes:
    """The signed note. Who signs must have stored the checkpoint durably first, as the only one of its size."""
    return Note(checkpoint.text, tuple(sign_text(checkpoint.text, key) for key in keys)).encode()


@dataclass(frozen=True, slots=True)
class OpenedCheckpoint:
    """A checkpoint that its log has signed, and the note it came from: who else signed it."""

    checkpoint: Checkpoint
    note: OpenedNote


def open_checkpoint(
    data: bytes, *, origin: str, log_keys: Sequence[VerifierKey], witness_keys: Sequence[VerifierKey] = ()
) -> OpenedCheckpoint:
    """The checkpoint of a signed note that one of the log's keys has signed under this origin.

    A witness alone does not open it. Raises MalformedError for bytes that are no checkpoint, TamperedError if the
    origin is another one, the log did not sign, or a trusted key's signature is wrong.
    """
    note = open_note(data, trusted=(*log_keys, *witness_keys))
    signers = {(signature.name, signature.key_id) for signature in note.verified}
    if not any((key.name, key.key_id) in signers for key in log_keys):
        raise TamperedError(f"could not open the checkpoint of {origin!r}: the log did not sign it")
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.origin != origin:
        raise TamperedError(f"could not open the checkpoint of {origin!r}: it is of {checkpoint.origin[:100]!r}")
    return OpenedCheckpoint(checkpoint, note)


def _is_line(text: str) -> bool:
    return bool(text) and not any(char < " " for char in text)


def _malformed(reason: str) -> MalformedError:
    return MalformedError(f"could not read the checkpoint: {reason}")
