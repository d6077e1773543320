"""Keys of signed notes (C2SP signed-note): who may sign, in the texts that people copy and paste.

A verifier key, or vkey, is `<name>+<key id>+<base64(kind || public key)>`. The private form is the one of Go's
golang.org/x/mod/sumdb/note: `PRIVATE+KEY+<name>+<key id>+<base64(01 || seed)>`.
"""

from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from atp.errors import MalformedError
from atp.merkle.encodings import format_base64, parse_base64

ED25519 = 0x01
ECDSA = 0x02
COSIGNATURE = 0x04
TREE_HEAD = 0x05
ML_DSA = 0x06
"""The kinds of keys that C2SP assigns. A key of the last two can be named, but nothing that it signed is verified."""

KEY_ID_BYTES = 4
ED25519_KEY_BYTES = 32
KEY_NAME_CHARS_MAX = 1_000
VKEY_CHARS_MAX = 4_000
_PRIVATE = "PRIVATE+KEY+"
_PUBLIC_BYTES = {ED25519: ED25519_KEY_BYTES, COSIGNATURE: ED25519_KEY_BYTES, ML_DSA: 1312}

# RFC 8032 section 5.1: the field, and the y coordinates of the eight points whose order divides 8.
_FIELD = 2**255 - 19
_ORDER_8_Y = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
_LOW_ORDER_Y = frozenset({0, 1, _FIELD - 1, _ORDER_8_Y, _FIELD - _ORDER_8_Y})


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key that is trusted under a name. Making one raises MalformedError if no one should trust such a key."""

    name: str
    kind: int
    public: bytes = field(repr=False)

    def __post_init__(self) -> None:
        check_key_name(self.name)
        reason = _fault(self.kind, self.public)
        if reason:
            raise MalformedError(f"could not trust the key of {self.name!r}: {reason}")

    @property
    def key_id(self) -> bytes:
        """The four bytes that name the key in a signature line."""
        if self.kind == ECDSA:  # older than the rule: its id ignores the name
            return sha256(self.public).digest()[:KEY_ID_BYTES]
        # RFC 6962 knows a log by the digest of its key.
        public = sha256(self.public).digest() if self.kind == TREE_HEAD else self.public
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + public).digest()[:KEY_ID_BYTES]

    @property
    def vkey(self) -> str:
        """The text to hand out; `parse_vkey` reads it."""
        return f"{self.name}+{self.key_id.hex()}+{format_base64(bytes([self.kind]) + self.public)}"


def parse_vkey(text: str) -> VerifierKey:
    """The key that a vkey names; raises MalformedError if its id is not its own, or if no one should trust it."""
    name, key_id, kind, public = _split(text)
    key = VerifierKey(name, kind, public)
    if key.key_id.hex() != key_id:
        raise MalformedError(f"could not read the key of {name!r}: its id is {key.key_id.hex()}, not {key_id[:8]!r}")
    return key


@dataclass(frozen=True, slots=True, eq=False)
class SigningKey:
    """An Ed25519 key that signs under a name, with the secret kept out of `repr`."""

    name: str
    private: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def from_seed(cls, seed: bytes, *, name: str) -> "SigningKey":
        """The key of a 32-byte secret seed (RFC 8032 section 5.1.5); the caller draws it at random, once."""
        check_key_name(name)
        if len(seed) != ED25519_KEY_BYTES:
            raise MalformedError(f"could not make the key of {name!r}: its seed has not {ED25519_KEY_BYTES} bytes")
        return cls(name, Ed25519PrivateKey.from_private_bytes(seed))

    def public(self, *, kind: int = ED25519) -> VerifierKey:
        """What verifies its signatures, or with kind=COSIGNATURE its cosignatures."""
        return VerifierKey(self.name, kind, self.private.public_key().public_bytes_raw())

    def secret(self) -> str:
        """The private form, for a key file; `parse_signing_key` reads it."""
        seed = self.private.private_bytes_raw()
        return f"{_PRIVATE}{self.name}+{self.public().key_id.hex()}+{format_base64(bytes([ED25519]) + seed)}"


def parse_signing_key(text: str) -> SigningKey:
    """The key of a private form; raises MalformedError, never with the secret in its sentence."""
    if not text.startswith(_PRIVATE):
        raise MalformedError("could not read the private key: it does not begin with PRIVATE+KEY+")
    name, key_id, kind, seed = _split(text.removeprefix(_PRIVATE))
    if kind != ED25519:
        raise MalformedError(f"could not read the private key of {name!r}: it is not an Ed25519 key")
    key = SigningKey.from_seed(seed, name=name)
    if key.public().key_id.hex() != key_id:
        raise MalformedError(f"could not read the private key of {name!r}: its id does not belong to it")
    return key


def check_key_name(name: str) -> None:
    """Refuses what cannot stand in a signature line: no name, Unicode space, '+', or control characters."""
    if not 0 < len(name) <= KEY_NAME_CHARS_MAX or "+" in name or any(char.isspace() or char < " " for char in name):
        raise MalformedError(f"could not use the key name {name[:100]!r}: it is empty, too long, or has a space or '+'")
    if not _is_utf8(name):
        raise MalformedError("could not use the key name: it is not UTF-8")


def _split(text: str) -> tuple[str, str, int, bytes]:
    """Name, id, kind and key. The id is hexadecimal text; a base64 tail may itself contain '+'."""
    parts = text.split("+", 2) if len(text) <= VKEY_CHARS_MAX else []
    data = parse_base64(parts[2]) if len(parts) == 3 else None
    if not data:
        raise MalformedError("could not read the key: it is not <name>+<key id>+<base64>")
    return parts[0], parts[1], data[0], data[1:]


def _fault(kind: int, public: bytes) -> str | None:
    """Why a public key must not be trusted, if so."""
    bytes_due = _PUBLIC_BYTES.get(kind, len(public))
    if len(public) != bytes_due:
        return f"it has {len(public)} bytes instead of {bytes_due}"
    if kind in (ED25519, COSIGNATURE):
        return "it is a low-order or non-canonical point" if _is_weak(public) else None
    if kind == ECDSA:
        return None if _is_ecdsa(public) else "it is not an ECDSA key in DER"
    return None if kind in (TREE_HEAD, ML_DSA) else f"its kind {kind:#04x} is unknown"


def _is_weak(public: bytes) -> bool:
    """Whether an Ed25519 key is none that RFC 8032 makes: any message verifies under some signature of such a key."""
    y = int.from_bytes(public, "little") % 2**255
    return y >= _FIELD or y in _LOW_ORDER_Y


def _is_ecdsa(public: bytes) -> bool:
    try:
        return isinstance(load_der_public_key(public), EllipticCurvePublicKey)
    except (ValueError, UnsupportedAlgorithm):
        return False


def _is_utf8(text: str) -> bool:
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False
