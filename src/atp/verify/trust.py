"""Whom a verification trusts: the keys that it was given, or for want of them the keys that lie in the place."""

from collections.abc import Sequence
from dataclasses import dataclass

from atp.errors import MalformedError, TamperedError
from atp.merkle.checkpoints import Checkpoint, OpenedCheckpoint, open_checkpoint, parse_checkpoint
from atp.merkle.keys import COSIGNATURE, VerifierKey, parse_vkey
from atp.merkle.notes import parse_note

VKEY_FILE_BYTES_MAX = 100_000
FOUND = "under the key found in the {place}: whoever could change the log could change it too"
REMEMBERED = "under the key that you saw this log use before"


@dataclass(frozen=True, slots=True)
class Trust:
    """The log's keys, any one of which suffices, the witnesses' keys, and a sentence that says where they are from."""

    log_keys: tuple[VerifierKey, ...]
    witness_keys: tuple[VerifierKey, ...]
    sentence: str

    def open(self, note: bytes, *, origin: str) -> OpenedCheckpoint:
        """The checkpoint of this origin in a note; MalformedError or TamperedError when it is not that."""
        return open_checkpoint(note, origin=origin, log_keys=self.log_keys, witness_keys=self.witness_keys)


def parse_vkeys(text: bytes) -> tuple[VerifierKey, ...]:
    """The keys of a vkey file, one a line; blank lines and lines that begin with # are not keys. MalformedError."""
    try:
        lines = [line.strip(" \t\r") for line in text.decode().split("\n")]
    except UnicodeDecodeError:
        raise MalformedError("could not read the vkey file: it is not UTF-8") from None
    keys = tuple(dict.fromkeys(parse_vkey(line) for line in lines if line and not line.startswith("#")))
    if not keys:
        raise MalformedError("could not read the vkey file: it holds no key")
    return keys


def choose_trust(
    given: Sequence[VerifierKey], *, found: Sequence[VerifierKey], origin: str, place: str, is_alone: bool
) -> Trust:
    """The given keys where they concern this log, else the found ones, said aloud.

    Given keys concern a log that has their name, and the only log of a place whatever its name. TamperedError when no
    key is left.
    """
    witnesses = tuple(key for key in given if key.kind == COSIGNATURE)
    mine = [key for key in given if key.kind != COSIGNATURE]
    named = tuple(key for key in mine if key.name == origin)
    if named or (mine and is_alone):
        keys = named or tuple(mine)
        return Trust(keys, witnesses, "under the given key " + ", ".join(_name(key) for key in keys))
    if not found:
        raise TamperedError("no key of the log is given or found", hint="give one with --vkey FILE")
    names = ", ".join(_name(key) for key in found)
    return Trust(tuple(found), witnesses, f"{FOUND.format(place=place)} ({names})")


def trust_remembered(keys: Sequence[VerifierKey]) -> Trust:
    """The keys that this person saw the log use before, said aloud."""
    return Trust(tuple(keys), (), f"{REMEMBERED}: " + ", ".join(_name(key) for key in keys))


def claimed_checkpoint(note: bytes) -> Checkpoint:
    """What a note says, before anybody verified it: for finding the log that it is about. MalformedError."""
    return parse_checkpoint(parse_note(note).text)


def _name(key: VerifierKey) -> str:
    return f"{key.name}+{key.key_id.hex()}"
