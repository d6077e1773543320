"""An offline proof and a signed statement, checked from their specifications alone: nothing of the platform is used.

RFC 9162 section 2.1.3.2 (inclusion), c2sp.org/tlog-proof, c2sp.org/tlog-checkpoint, c2sp.org/signed-note, DSSE v1.
"""

import json
from base64 import b64decode
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def prove(proof: str, entry: bytes, vkey: str) -> int:
    """The index at which the log of this key has the entry. AssertionError or InvalidSignature when it has not."""
    head, checkpoint = proof.split("\n\n", 1)
    kind, *lines = head.split("\n")
    assert kind == "c2sp.org/tlog-proof@v1"
    (index,) = [int(line.removeprefix("index ")) for line in lines if line.startswith("index ")]
    hashes = [b64decode(line) for line in lines if not line.startswith(("index ", "extra "))]
    size, root = _signed(checkpoint, vkey)
    assert _root(sha256(b"\0" + entry).digest(), hashes, index=index, size=size) == root
    return index


def _root(leaf: bytes, hashes: list[bytes], *, index: int, size: int) -> bytes:
    assert index < size
    at, last, found = index, size - 1, leaf
    for element in hashes:
        assert last
        if at & 1 or at == last:
            found = sha256(b"\1" + element + found).digest()
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = sha256(b"\1" + found + element).digest()
        at, last = at >> 1, last >> 1
    assert last == 0
    return found


def _signed(checkpoint: str, vkey: str) -> tuple[int, bytes]:
    text, signatures = checkpoint.rsplit("\n\n", 1)
    name, key_id, key = _key(vkey)
    origin, size, root = text.split("\n")[:3]
    assert origin == name
    values = [line.split(" ")[2] for line in signatures.strip().split("\n") if line.startswith(f"— {name} ")]
    (value,) = [raw[4:] for raw in map(b64decode, values) if raw[:4] == key_id]
    key.verify(value, f"{text}\n".encode())
    return int(size), b64decode(root)


def open_statement(envelope: bytes, vkey: str) -> Any:
    """What the key has signed."""
    document = json.loads(envelope)
    payload, kind = b64decode(document["payload"]), document["payloadType"]
    _, key_id, key = _key(vkey)
    (value,) = [one["sig"] for one in document["signatures"] if one["keyid"] == key_id.hex()]
    key.verify(b64decode(value), b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload))
    return json.loads(payload)


def _key(vkey: str) -> tuple[str, bytes, Ed25519PublicKey]:
    name, key_id, packed = vkey.strip().split("+", 2)
    raw = b64decode(packed)
    assert raw[0] == 1 and sha256(name.encode() + b"\n" + raw).digest()[:4].hex() == key_id
    return name, bytes.fromhex(key_id), Ed25519PublicKey.from_public_bytes(raw[1:])
