"""7/8 prove: an index -> a proof anyone can check, with tools that are not ours."""

from atp.errors import MissingError
from atp.log.reader import LogReader, read_checkpoint
from atp.merkle.proofs import prove_consistency, prove_inclusion
from atp.merkle.tlogproof import TlogProof


def prove(index: int, *, reader: LogReader) -> TlogProof:
    """The c2sp.org/tlog-proof@v1 of one published entry under the newest checkpoint.

    MissingError when the entry is not published. Reads at most one tile a level and the right edge.
    """
    note = reader.checkpoint()
    size = read_checkpoint(note).size
    if not 0 <= index < size:
        raise MissingError(f"could not prove entry {index} of {reader.tenant}: the log has {size} published entries")
    hashes = prove_inclusion(index=index, size=size, read_tiles=reader.tiles)
    return TlogProof(index, tuple(hashes), note)


def prove_growth(*, old_size: int, reader: LogReader) -> list[bytes]:
    """That the log of today begins with the log of `old_size`: an RFC 6962 consistency proof.

    MissingError when the log never had that size.
    """
    size = reader.size()
    if not 0 < old_size <= size:
        raise MissingError(f"could not prove growth of {reader.tenant} from {old_size}: the log has {size} entries")
    return prove_consistency(old_size=old_size, size=size, read_tiles=reader.tiles)
