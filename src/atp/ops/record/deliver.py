"""Delivers what waits on this machine: in order, once, and let go only when the log is proven to hold it."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import msgspec

from atp.client import Client, log_path
from atp.errors import MalformedError, MissingError, TamperedError, UnavailableError
from atp.limits import SPOOL_GROUP_LINES, TILE_WIDTH
from atp.log.event import read_entry
from atp.merkle.entries import decode_entries
from atp.merkle.hashes import SIZE_MAX, leaf_hash
from atp.merkle.proofs import check_inclusion, prove_inclusion
from atp.merkle.tiles import EntryBundle, Tile, tile_width
from atp.ops.record.spool import check_spool
from atp.ops.record.waiting import Spool
from atp.ops.record.watch import Seen, Watched, compare, published
from atp.tenants.names import OPERATIONS
from atp.verify.remember import Memory


class Receipt(msgspec.Struct, frozen=True):
    """Where the server says that a record stands; nothing of it is believed before it is proven."""

    id: str
    index: Annotated[int, msgspec.Meta(ge=0, le=SIZE_MAX)]
    leaf_hash: str


class _Answer(msgspec.Struct):
    receipts: list[Receipt]


def deliver(spool: Spool, client: Client, memory: Memory) -> int:
    """Deliver every record that waits; how many there were. What is delivered twice is recorded once.

    The records are let go when the log is proven, under a checkpoint that agrees with what was seen of it before, to
    hold each of them byte for byte. Those that come in meanwhile stay, with all others, for the next time.

    TamperedError for a spool that was changed, before anything is sent, and for a log that does not hold what its
    receipts say. ConflictError when the log holds another record under a number of this machine. UnavailableError,
    and everything is kept, when the server does not answer, or does not publish in time.
    """
    lines = spool.lines()
    if len(lines) < 2:
        return 0
    check_spool(lines)
    receipts = _send(lines, client)
    check_receipts(lines, receipts, client, memory)
    with suppress(UnavailableError):  # a full disk: they are delivered again, and recorded once
        spool.drop(lines)
    return len(lines) - 1


def see_log(client: Client, memory: Memory) -> Seen | None:
    """See the newest checkpoint of the operators' log, held against what was seen before; None before the first one.

    TamperedError for a log that was forked or cut.
    """
    log = Watched(client, OPERATIONS)
    try:
        return compare(log, log.checkpoint(), memory)[0]
    except MissingError:
        return None


def check_receipts(lines: Sequence[bytes], receipts: Sequence[Receipt], client: Client, memory: Memory) -> None:
    """TamperedError unless the published log holds each line where its receipt says. Remembers the checkpoint.

    Costs a request for each 256 entries that the receipts lie in, and two tiles a level.
    """
    log = Watched(client, OPERATIONS)
    size_min = max(receipt.index for receipt in receipts) + 1
    seen, _ = compare(log, published(log, size_min), memory)
    if seen.size < size_min:
        raise UnavailableError("could not deliver the spool: the server does not publish it in time", hint="again")
    fetched = _Fetched(log, seen.size)
    for line, receipt in zip(lines, receipts, strict=True):
        entry = fetched.entry(receipt.index)
        leaf = leaf_hash(entry)
        if leaf.hex() != receipt.leaf_hash or bytes(read_entry(entry).event) != line:
            raise TamperedError(f"could not believe the receipt of {receipt.id}: another entry stands at its index")
        proof = prove_inclusion(index=receipt.index, size=seen.size, read_tiles=fetched.tiles)
        check_inclusion(leaf_hash=leaf, index=receipt.index, size=seen.size, proof=proof, root=bytes.fromhex(seen.root))


class _Fetched:
    """Files of the log at one size, each fetched once."""

    def __init__(self, log: Watched, size: int) -> None:
        self._log = log
        self._size = size
        self._tiles: dict[Tile, bytes] = {}
        self._bundles: dict[int, list[bytes]] = {}

    def entry(self, index: int) -> bytes:
        number, at = divmod(index, TILE_WIDTH)
        if number not in self._bundles:
            width = tile_width(level=0, index=number, size=self._size)
            path = log_path(self._log.tenant, EntryBundle(number, width).path)
            self._bundles[number] = decode_entries(self._log.client.get(path).body)
        if at >= len(self._bundles[number]):
            raise TamperedError(f"could not find entry {index} of {self._log.tenant}: its bundle ends before it")
        return self._bundles[number][at]

    def tiles(self, tiles: Sequence[Tile]) -> list[bytes]:
        missing = [tile for tile in tiles if tile not in self._tiles]
        self._tiles.update(zip(missing, self._log.tiles(missing), strict=True))
        return [self._tiles[tile] for tile in tiles]


def _send(lines: Sequence[bytes], client: Client) -> list[Receipt]:
    receipts = list[Receipt]()
    for start in range(0, len(lines), SPOOL_GROUP_LINES):
        body = client.send(lines[start : start + SPOOL_GROUP_LINES], tenant=OPERATIONS).body
        try:
            receipts += msgspec.json.decode(body, type=_Answer).receipts
        except msgspec.MsgspecError as error:
            raise MalformedError(f"could not read the receipts: {error}", hint="check the URL") from None
    if len(receipts) != len(lines):
        raise TamperedError(f"could not believe the receipts: {len(receipts)} came for {len(lines)} records")
    return receipts
