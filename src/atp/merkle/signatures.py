"""Signature lines of signed notes (C2SP signed-note): `— <name> <base64(key id || value)>`."""

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from atp.errors import MalformedError
from atp.merkle.encodings import format_base64, parse_base64
from atp.merkle.keys import KEY_ID_BYTES, SigningKey, VerifierKey, check_key_name

_DASH = "\N{EM DASH} "


@dataclass(frozen=True, slots=True)
class Signature:
    """What one key says about a text: the key's name and id, and a value whose form depends on the key's kind."""

    name: str
    key_id: bytes
    value: bytes

    def __post_init__(self) -> None:
        check_key_name(self.name)
        assert len(self.key_id) == KEY_ID_BYTES and self.value, "a signature has an id and a value"

    @property
    def line(self) -> str:
        """The line of the note, without its line feed."""
        return f"{_DASH}{self.name} {format_base64(self.key_id + self.value)}"


def parse_signature(line: str) -> Signature:
    """The signature of a line without its line feed; raises MalformedError. Nothing is verified."""
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    blob = parse_base64(encoded)
    if not line.startswith(_DASH) or not space or blob is None or len(blob) <= KEY_ID_BYTES:
        raise MalformedError(f"could not read the signature line {line[:100]!r}: it is not '— <name> <base64>'")
    return Signature(name, blob[:KEY_ID_BYTES], blob[KEY_ID_BYTES:])


def sign_text(text: str, key: SigningKey) -> Signature:
    """The Ed25519 signature of a text, the same each time. Costs one signature."""
    return Signature(key.name, key.public().key_id, key.private.sign(text.encode()))


def is_ed25519_valid(message: bytes, *, value: bytes, key: VerifierKey) -> bool:
    """Whether `value` is the key's Ed25519 signature of the message (RFC 8032). Costs one verification."""
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(value, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def is_ecdsa_valid(message: bytes, *, value: bytes, key: VerifierKey) -> bool:
    """Whether `value` is the key's ECDSA signature, in DER, of the message's SHA-256."""
    public = load_der_public_key(key.public)
    assert isinstance(public, EllipticCurvePublicKey), "an ECDSA key was checked when it was made"
    try:
        public.verify(value, message, ECDSA(SHA256()))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True
