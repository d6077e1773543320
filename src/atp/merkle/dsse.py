"""DSSE v1, the Dead Simple Signing Envelope: bytes signed together with their type, so that neither passes for another.

What is signed is the pre-authentication encoding, `"DSSEv1" SP LEN(type) SP type SP LEN(payload) SP payload`, lengths
counted in bytes and written in decimal. The envelope is JSON: `payload` and `sig` in base64, `keyid` a hint that
decides nothing.
"""

import json
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from atp.errors import MalformedError, TamperedError
from atp.merkle.encodings import format_base64
from atp.merkle.keys import ED25519, SigningKey, VerifierKey
from atp.merkle.signatures import is_ed25519_valid

ENVELOPE_BYTES_MAX = 1_000_000
ENVELOPE_SIGNATURES_MAX = 16


@dataclass(frozen=True, slots=True)
class OpenedEnvelope:
    """A payload that trusted keys have signed, and which they are."""

    payload: bytes
    signers: tuple[VerifierKey, ...]


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed (PAE)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_payload(payload_type: str, payload: bytes, key: SigningKey) -> bytes:
    """The Ed25519 signature of a payload and its type, the same each time. Costs one signature."""
    return key.private.sign(pre_authentication(payload_type, payload))


def is_payload_signed(payload_type: str, payload: bytes, *, value: bytes, key: VerifierKey) -> bool:
    """Whether `value` is the key's signature of a payload and its type. Costs one verification."""
    return key.kind == ED25519 and is_ed25519_valid(pre_authentication(payload_type, payload), value=value, key=key)


def seal_payload(payload_type: str, payload: bytes, *keys: SigningKey) -> bytes:
    """The envelope, signed by each key; `keyid` is the hexadecimal id in the key's vkey."""
    return pack_envelope(
        payload_type, payload, [(key.public(), sign_payload(payload_type, payload, key)) for key in keys]
    )


def pack_envelope(payload_type: str, payload: bytes, signed: Sequence[tuple[VerifierKey, bytes]]) -> bytes:
    """The envelope around signatures that exist; nothing is verified. The same arguments give the same bytes."""
    signatures = [{"keyid": key.key_id.hex(), "sig": format_base64(value)} for key, value in signed]
    document = {"payload": format_base64(payload), "payloadType": payload_type, "signatures": signatures}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def read_signatures(data: bytes) -> list[bytes]:
    """The signatures of an envelope, nothing verified. MalformedError for bytes that are none."""
    return _parse(data)[2]


def open_envelope(data: bytes, *, payload_type: str, trusted: Sequence[VerifierKey]) -> OpenedEnvelope:
    """The payload of an envelope of this type that a trusted key has signed; read nothing from it before.

    MalformedError for bytes that are no such envelope, TamperedError when no trusted key has signed it. A signature
    that does not verify counts for nothing, as the specification says. Costs one verification a signature and
    trusted key.
    """
    found_type, payload, signatures = _parse(data)
    if found_type != payload_type:
        raise _malformed(f"its payload is {found_type[:100]!r}, and not {payload_type!r}")
    message = pre_authentication(payload_type, payload)
    signers = [
        key
        for key in trusted
        if key.kind == ED25519 and any(is_ed25519_valid(message, value=value, key=key) for value in signatures)
    ]
    if not signers:
        raise TamperedError("could not open the envelope: no trusted key has signed it", hint="compare the vkey")
    return OpenedEnvelope(payload, tuple(dict.fromkeys(signers)))


def _parse(data: bytes) -> tuple[str, bytes, list[bytes]]:
    """Type, payload and signatures, nothing verified."""
    if len(data) > ENVELOPE_BYTES_MAX:
        raise _malformed(f"it has {len(data)} bytes, more than {ENVELOPE_BYTES_MAX}")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise _malformed("it is not JSON") from None
    signatures = document.get("signatures") if isinstance(document, dict) else None
    if not isinstance(signatures, list) or not 0 < len(signatures) <= ENVELOPE_SIGNATURES_MAX:
        raise _malformed(f"it has not 1 to {ENVELOPE_SIGNATURES_MAX} signatures")
    if not all(isinstance(signature, dict) for signature in signatures):
        raise _malformed("a signature is not an object")
    kind = document.get("payloadType")
    if not isinstance(kind, str):
        raise _malformed("it has no payloadType")
    return kind, _bytes(document, "payload"), [_bytes(signature, "sig") for signature in signatures]


def _bytes(part: dict[str, Any], name: str) -> bytes:
    """A member in base64, of the standard or the URL-safe alphabet: the specification allows both."""
    text = part.get(name)
    try:
        if isinstance(text, str):
            return b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:
        pass
    raise _malformed(f"its {name} is not base64")


def _malformed(reason: str) -> MalformedError:
    return MalformedError(f"could not read the envelope: {reason}")
