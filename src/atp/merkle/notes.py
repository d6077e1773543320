"""Signed notes (C2SP signed-note v1): a text, an empty line, and one or more signature lines.

The rules of opening one:
 * The text ends with a line feed, and the last empty line ends the text: a text may have empty lines itself.
 * All is UTF-8 without control characters other than the line feed.
 * A signature of a key that is not trusted is ignored, whatever its value.
 * A signature of a trusted key that does not verify makes the whole note invalid.
 * So does a note that no trusted key has signed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from atp.errors import MalformedError, TamperedError
from atp.merkle.cosignatures import is_cosignature_valid
from atp.merkle.keys import COSIGNATURE, ECDSA, ED25519, VerifierKey
from atp.merkle.signatures import Signature, is_ecdsa_valid, is_ed25519_valid, parse_signature

NOTE_BYTES_MAX = 1_000_000
NOTE_SIGNATURES_MAX = 100
"""The bounds of golang.org/x/mod/sumdb/note, so that both read the same notes; C2SP asks for 16 signatures."""

_VERIFIERS = {ED25519: is_ed25519_valid, ECDSA: is_ecdsa_valid, COSIGNATURE: is_cosignature_valid}


@dataclass(frozen=True, slots=True)
class Note:
    """A text and the signatures that stand below it, none of them verified. Making one raises MalformedError."""

    text: str
    signatures: tuple[Signature, ...]

    def __post_init__(self) -> None:
        if not self.text.endswith("\n") or any(char < " " and char != "\n" for char in self.text):
            raise _malformed("its text does not end with a line feed, or has control characters")
        if not 0 < len(self.signatures) <= NOTE_SIGNATURES_MAX:
            raise _malformed(f"it has {len(self.signatures)} signatures instead of 1 to {NOTE_SIGNATURES_MAX}")

    def encode(self) -> bytes:
        """The bytes of the note; raises MalformedError if the text has no UTF-8 form."""
        lines = "".join(f"{signature.line}\n" for signature in self.signatures)
        try:
            return f"{self.text}\n{lines}".encode()
        except UnicodeEncodeError:
            raise _malformed("its text is not UTF-8") from None

    def with_signatures(self, *signatures: Signature) -> "Note":
        """The note with more signatures at its end; each replaces an older one by the same key."""
        signers = {_signer(signature) for signature in signatures}
        others = (signature for signature in self.signatures if _signer(signature) not in signers)
        return Note(self.text, (*others, *signatures))


@dataclass(frozen=True, slots=True)
class OpenedNote:
    """A text that at least one trusted key has signed: at most one signature a trusted key, and those ignored."""

    text: str
    verified: tuple[Signature, ...]
    ignored: tuple[Signature, ...]


def parse_note(data: bytes) -> Note:
    """The text and signatures of a note; raises MalformedError. Nothing is verified: see `open_note`."""
    if len(data) > NOTE_BYTES_MAX:
        raise _malformed(f"it has {len(data)} bytes, more than {NOTE_BYTES_MAX}")
    try:
        text, blank, lines = data.decode().rpartition("\n\n")
    except UnicodeDecodeError:
        raise _malformed("it is not UTF-8") from None
    if not blank or not lines.endswith("\n"):
        raise _malformed("it has no signature lines, or the last one does not end with a line feed")
    signed = lines.removesuffix("\n").split("\n", NOTE_SIGNATURES_MAX)
    if len(signed) > NOTE_SIGNATURES_MAX:
        raise _malformed(f"it has more than {NOTE_SIGNATURES_MAX} signatures")
    return Note(text + "\n", tuple(parse_signature(line) for line in signed))


def open_note(data: bytes, *, trusted: Sequence[VerifierKey]) -> OpenedNote:
    """The text of a note that a trusted key has signed.

    Raises MalformedError for bytes that are no note, or if a key that signed it is trusted twice; TamperedError if a
    trusted key's signature is wrong, or if there is none. Costs one verification a trusted key.
    """
    note = parse_note(data)
    message = note.text.encode()
    verified, ignored = dict[VerifierKey, Signature](), list[Signature]()
    for signature in note.signatures:
        key = _trusted_key(signature, trusted)
        if key is None:
            ignored.append(signature)
        elif key not in verified:
            if not _VERIFIERS[key.kind](message, value=signature.value, key=key):
                raise TamperedError(f"could not open the note: the signature of {key.name!r} is wrong")
            verified[key] = signature
    if not verified:
        raise TamperedError("could not open the note: no trusted key has signed it", hint="compare the vkey")
    return OpenedNote(note.text, tuple(verified.values()), tuple(dict.fromkeys(ignored)))


def _trusted_key(signature: Signature, trusted: Sequence[VerifierKey]) -> VerifierKey | None:
    """The trusted key that claims to have made a signature, if it is of a kind that can be verified."""
    keys = [key for key in trusted if (key.name, key.key_id) == _signer(signature) and key.kind in _VERIFIERS]
    if len(keys) > 1:
        raise MalformedError(f"could not open the note: the key of {signature.name!r} is trusted twice")
    return keys[0] if keys else None


def _signer(signature: Signature) -> tuple[str, bytes]:
    return signature.name, signature.key_id


def _malformed(reason: str) -> MalformedError:
    return MalformedError(f"could not read the note: {reason}")
