"""Statements that the installation signs with its evidence key: in-toto Statement v1 in a DSSE envelope."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from atp.errors import MalformedError
from atp.merkle.dsse import open_envelope, pack_envelope, seal_payload
from atp.merkle.keys import SigningKey, VerifierKey

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
_OURS = re.compile(r"urn:atp:[a-z0-9:.-]{1,100}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Subject(msgspec.Struct, frozen=True):
    """What the statement is about: a name, and digests of its bytes in lower-case hexadecimal, by algorithm."""

    name: str
    digest: dict[str, str]


class Statement(
    msgspec.Struct,
    frozen=True,
    rename={"statement_type": "_type", "predicate_type": "predicateType"},
):
    """That the predicate, whose meaning the URI `predicate_type` names, holds of the subjects."""

    subject: tuple[Subject, ...]
    predicate_type: str
    predicate: msgspec.Raw
    statement_type: str = STATEMENT_TYPE


class Sealed(NamedTuple):
    """A statement in its envelope, the public half of the key that signed, and in words whose key that is."""

    envelope: bytes
    key: VerifierKey
    whose: str


def encode_statement(statement: Statement) -> bytes:
    """The bytes that are signed. MalformedError when they could not be read back."""
    _check(statement)
    members = {
        "_type": statement.statement_type,
        "subject": statement.subject,
        "predicateType": statement.predicate_type,
        "predicate": statement.predicate,
    }
    return msgspec.json.encode(members)


def decode_statement(payload: bytes) -> Statement:
    """A statement that nobody has signed yet, or whose signature was checked. MalformedError when it is none."""
    try:
        statement = msgspec.json.decode(payload, type=Statement)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(str(error)) from None
    _check(statement)
    return statement


def is_ours(statement: Statement) -> bool:
    """Whether it is of a kind that this platform makes: a `urn:atp:` predicate."""
    return _OURS.fullmatch(statement.predicate_type) is not None


def sign_statement(statement: Statement, *keys: SigningKey) -> bytes:
    """The envelope of a statement. MalformedError when it could not be read back."""
    return seal_payload(PAYLOAD_TYPE, encode_statement(statement), *keys)


def pack_statement(statement: Statement, *, key: VerifierKey, signature: bytes) -> bytes:
    """The envelope of a statement that the key has signed, byte for byte as `sign_statement` made it."""
    return pack_envelope(PAYLOAD_TYPE, encode_statement(statement), [(key, signature)])


def check_statement(envelope: bytes, *, trusted_keys: Sequence[VerifierKey]) -> Statement:
    """The statement in an envelope that a trusted key has signed.

    MalformedError for bytes that are no such envelope or statement, TamperedError when no trusted key has signed.
    """
    return decode_statement(open_envelope(envelope, payload_type=PAYLOAD_TYPE, trusted=trusted_keys).payload)


def _check(statement: Statement) -> None:
    if statement.statement_type != STATEMENT_TYPE:
        raise _malformed(f"its _type is not {STATEMENT_TYPE}")
    if not statement.subject or not all(subject.digest for subject in statement.subject):
        raise _malformed("it has no subject, or one without a digest")
    if any(not _SHA256.fullmatch(subject.digest.get("sha256", "0" * 64)) for subject in statement.subject):
        raise _malformed("a sha256 is not 64 hexadecimal digits in lower case")
    if not statement.predicate_type or not bytes(statement.predicate).lstrip().startswith(b"{"):
        raise _malformed("its predicate has no type, or is not an object")


def _malformed(reason: str) -> MalformedError:
    return MalformedError(f"could not read the statement: {reason}")
