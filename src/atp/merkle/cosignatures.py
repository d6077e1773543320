"""Cosignatures (C2SP tlog-cosignature v1, Ed25519): a witness says when it saw a checkpoint as the largest of its log.

The value of a cosignature is the time, u64 big-endian Unix seconds, before an Ed25519 signature of the text behind a
head that repeats the time. The signed bytes do not name the witness, so no two names may share a key.
"""

from atp.errors import MalformedError
from atp.merkle.keys import COSIGNATURE, SigningKey, VerifierKey
from atp.merkle.signatures import Signature, is_ed25519_valid

_TIME_BYTES = 8
_VALUE_BYTES = _TIME_BYTES + 64
UNIX_SECONDS_MAX = 2**64 - 1


def cosign(text: str, key: SigningKey, *, unix_seconds: int) -> Signature:
    """The key's cosignature of a checkpoint's text at that time. The caller has verified that the log is consistent."""
    assert 0 <= unix_seconds <= UNIX_SECONDS_MAX, "a time fits a u64"
    value = unix_seconds.to_bytes(_TIME_BYTES, "big") + key.private.sign(_signed_bytes(text.encode(), unix_seconds))
    return Signature(key.name, key.public(kind=COSIGNATURE).key_id, value)


def is_cosignature_valid(message: bytes, *, value: bytes, key: VerifierKey) -> bool:
    """Whether `value` is the key's cosignature of the text, at whichever time it says."""
    if len(value) != _VALUE_BYTES:
        return False
    signed = _signed_bytes(message, int.from_bytes(value[:_TIME_BYTES], "big"))
    return is_ed25519_valid(signed, value=value[_TIME_BYTES:], key=key)


def cosigned_at_unix_seconds(signature: Signature) -> int:
    """The time that a cosignature states; true only if the signature was verified. Raises MalformedError."""
    if len(signature.value) != _VALUE_BYTES:
        raise MalformedError(f"could not read the time of the signature of {signature.name!r}: it is no cosignature")
    return int.from_bytes(signature.value[:_TIME_BYTES], "big")


def _signed_bytes(message: bytes, unix_seconds: int) -> bytes:
    return b"cosignature/v1\ntime %d\n%b" % (unix_seconds, message)
