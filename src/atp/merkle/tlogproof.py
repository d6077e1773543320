"""Offline proof of one entry (c2sp.org/tlog-proof@v1): where it stands, the hashes to the root, the signed checkpoint.

The entry itself is not inside: who checks a proof hashes the bytes that he was handed. `extra` is for the reader's
convenience and proven by nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from atp.errors import MalformedError
from atp.merkle.checkpoints import OpenedCheckpoint, open_checkpoint
from atp.merkle.encodings import format_base64, parse_base64, parse_decimal
from atp.merkle.hashes import HASH_BYTES, SIZE_MAX
from atp.merkle.keys import VerifierKey
from atp.merkle.notes import NOTE_BYTES_MAX
from atp.merkle.proofs import check_inclusion

HEADER = "c2sp.org/tlog-proof@v1"
PROOF_HASHES_MAX = 63
EXTRA_BYTES_MAX = 49_146
"""The reference parser refuses lines over 64 KiB, and an `extra` of this length makes one of 65,535 bytes."""


@dataclass(frozen=True, slots=True)
class TlogProof:
    """That the entry at `index` is in the log whose signed checkpoint stands in the proof, byte for byte.

    Making one raises MalformedError if it has no file form.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.index < SIZE_MAX:
            raise _malformed(f"its index is not within 0 and {SIZE_MAX - 1}")
        if len(self.hashes) > PROOF_HASHES_MAX or any(len(element) != HASH_BYTES for element in self.hashes):
            raise _malformed(f"it has more than {PROOF_HASHES_MAX} hashes, or one that is not of {HASH_BYTES} bytes")
        if self.extra is not None and len(self.extra) > EXTRA_BYTES_MAX:
            raise _malformed(f"its extra data has more than {EXTRA_BYTES_MAX} bytes")
        if not 0 < len(self.checkpoint) <= NOTE_BYTES_MAX:
            raise _malformed(f"its checkpoint is empty, or has more than {NOTE_BYTES_MAX} bytes")

    def encode(self) -> bytes:
        """The bytes of the `.tlog-proof` file."""
        extra = [] if self.extra is None else [f"extra {format_base64(self.extra)}"]
        lines = [HEADER, *extra, f"index {self.index}", *map(format_base64, self.hashes), "", ""]
        return "\n".join(lines).encode() + self.checkpoint


def parse_tlog_proof(data: bytes) -> TlogProof:
    """The proof of a `.tlog-proof` file; raises MalformedError. Nothing is verified: see `check_tlog_proof`."""
    head, blank, checkpoint = data.partition(b"\n\n")
    if not blank or not head.isascii():
        raise _malformed("it has no lines of ASCII that an empty one ends")
    header, *lines = head.decode("ascii").split("\n")
    if header != HEADER:
        raise _malformed(f"it does not begin with {HEADER}")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = parse_base64(lines.pop(0).removeprefix("extra "))
        if extra is None:
            raise _malformed("its extra data is not base64")
    field, _, decimal = lines.pop(0).partition(" ") if lines else ("", "", "")
    index = parse_decimal(decimal, most=SIZE_MAX - 1)
    if field != "index" or index is None:
        raise _malformed("it has no line 'index <decimal>' where it belongs")
    hashes = tuple(parse_base64(line) or b"" for line in lines)
    return TlogProof(index, hashes, checkpoint, extra)


def check_tlog_proof(
    proof: TlogProof,
    *,
    leaf_hash: bytes,
    origin: str,
    log_keys: Sequence[VerifierKey],
    witness_keys: Sequence[VerifierKey] = (),
) -> OpenedCheckpoint:
    """The checkpoint under which the log holds this leaf at the proof's index.

    Raises as `open_checkpoint` and `check_inclusion`. Size and root come from the verified text alone. Which witnesses
    must have signed is for the caller to decide, from the note that is returned.
    """
    opened = open_checkpoint(proof.checkpoint, origin=origin, log_keys=log_keys, witness_keys=witness_keys)
    size, root = opened.checkpoint.size, opened.checkpoint.root
    check_inclusion(leaf_hash=leaf_hash, index=proof.index, size=size, proof=proof.hashes, root=root)
    return opened


def _malformed(reason: str) -> MalformedError:
    return MalformedError(f"could not read the tlog proof: {reason}")
