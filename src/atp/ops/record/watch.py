"""What this machine saw of a log before, held against what a server shows now: nobody here takes its word for it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from atp.client import Client, log_path
from atp.errors import MissingError, RefusedError, TamperedError, UnavailableError
from atp.merkle.checkpoints import Checkpoint, open_checkpoint
from atp.merkle.keys import VerifierKey
from atp.merkle.proofs import check_consistency, prove_consistency
from atp.merkle.tiles import Tile
from atp.verify.remember import Memory
from atp.verify.succession import former_origins
from atp.verify.trust import claimed_checkpoint, parse_vkeys

_PUBLISH_SECONDS_MAX = 30.0
_PAUSE_SECONDS = 0.02


class Seen(msgspec.Struct, frozen=True):
    """A log's newest checkpoint, whose signature holds; `remembered` is the size that it was checked to begin with."""

    origin: str
    size: int
    root: str
    remembered: int | None


@dataclass(frozen=True, slots=True)
class Watched:
    """A tenant's log on a server, its files fetched over one connection."""

    client: Client
    tenant: str

    def checkpoint(self) -> bytes:
        """The newest signed note. MissingError before the first one."""
        return self.client.get(log_path(self.tenant, "checkpoint")).body

    def keys(self) -> tuple[VerifierKey, ...]:
        """The keys that the server says are the log's."""
        return parse_vkeys(self.client.get(log_path(self.tenant, "vkey")).body)

    def tiles(self, tiles: Sequence[Tile]) -> list[bytes]:
        """The bytes of hash tiles; TamperedError when one has not the length that its place says."""
        return [self._tile(tile) for tile in tiles]

    def _tile(self, tile: Tile) -> bytes:
        data = self.client.get(log_path(self.tenant, tile.path)).body
        if len(data) != tile.bytes_total:
            raise TamperedError(f"could not use {tile.path} of {self.tenant}: it has {len(data)} bytes")
        return data


def compare(log: Watched, note: bytes, memory: Memory) -> tuple[Seen, str]:
    """What a note says, proven to agree with what is remembered of its origin, and a remark for the person, or none."""
    keys, origin = log.keys(), claimed_checkpoint(note).origin
    now = open_checkpoint(note, origin=origin, log_keys=keys).checkpoint
    remembered = memory.remembered(origin)
    if remembered is None:
        remark = _former(log, origin, memory) or _remember(note, keys, memory)
        return Seen(origin, now.size, now.root.hex(), None), remark
    before = claimed_checkpoint(remembered)
    try:
        check_growth(log, before, now)
    except TamperedError as error:
        folder = memory.keep_evidence(remembered, note)
        raise TamperedError(
            f"could not trust the log of {log.tenant}: of its {before.size} entries seen before and the {now.size} "
            f"shown now, neither is the beginning of the other: {error.sentence}",
            hint=f"it was forked or cut; both checkpoints are kept in {folder}",
        ) from None
    remark = _key_change(remembered, origin, keys) or _remember(note, keys, memory)
    return Seen(origin, now.size, now.root.hex(), before.size), remark


def check_growth(log: Watched, one: Checkpoint, other: Checkpoint) -> None:
    """TamperedError unless the smaller of two checkpoints is the beginning of the larger."""
    old, new = sorted((one, other), key=lambda checkpoint: checkpoint.size)
    if old.size == 0:
        return
    try:
        proof = prove_consistency(old_size=old.size, size=new.size, read_tiles=log.tiles)
    except MissingError:
        raise TamperedError(f"the server does not have all of the {new.size} entries") from None
    check_consistency(old_size=old.size, size=new.size, old_root=old.root, proof=proof, root=new.root)


def published(log: Watched, size_min: int) -> bytes:
    """The newest note, waited for until it covers so many entries, for a bounded time."""
    deadline = time.monotonic() + _PUBLISH_SECONDS_MAX
    while True:
        try:
            note = log.checkpoint()
            if claimed_checkpoint(note).size >= size_min or time.monotonic() > deadline:
                return note
        except MissingError:  # a new log, before its first checkpoint
            if not size_min or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE_SECONDS)


def _remember(note: bytes, keys: Sequence[VerifierKey], memory: Memory) -> str:
    """Remember a note and the keys that it verified under; a remark when that was not possible."""
    try:
        memory.remember(note)
        memory.remember_keys(claimed_checkpoint(note).origin, keys)
    except UnavailableError as error:
        return str(error)
    return ""


def _former(log: Watched, origin: str, memory: Memory) -> str:
    """What to tell a person who saw the log under an older origin: until it was verified whole, the new one is not
    remembered, so that the loss is told. Empty for anybody else."""
    former = next((one for one in former_origins(origin) if memory.remembered(one) is not None), None)
    if former is None:
        return ""
    command = f"atp verify {log.client.url} --tenant {log.tenant}"
    return f"the log of {log.tenant} was restored and goes on as {origin}: `{command}` says what is lost of {former}"


def _key_change(remembered: bytes, origin: str, keys: Sequence[VerifierKey]) -> str:
    try:
        open_checkpoint(remembered, origin=origin, log_keys=keys)
    except (TamperedError, RefusedError):
        return f"the key of {origin} is another one than before: ask its operators whether they changed it"
    return ""
