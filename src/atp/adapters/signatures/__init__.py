"""Read models in files: a signature of 49,152 bits for each frame, bit-sliced once a segment is full.

The classic signature file (Faloutsos, Christodoulakis: "Signature files: an access method for documents and its
analytical performance evaluation", 1984). Each term of a frame sets 6 bits of its signature. Frames of real events fill
a sixth of it at most; with a new id and resource in each event it is a quarter: then one frame in 4,000 shows a term
that it has not. Under `ROOT/TENANT`, little-endian::

    open      a row for each frame of the segment that fills: bits, times, number, checksum        6,176 B a frame
    sealed    a block for each full segment: a row of 1,024 frames for each bit, times, checksum    6.3 MB a segment

A term costs 6 reads of 128 bytes a block. Writes come in this order: rows; the whole block, synced; `open` is removed.
So an `open` names the segment that fills, and no block from there on counts. Rows are checked when they are first read
and blocks when they are first used: what is damaged is not stored, nor is what stands behind it, and following writes
both again. Checksums cover the name of the terms' format, so terms made by other rules count as damaged. A tenant
without a full frame has no file. Nothing is read before somebody asks, and no file stays open afterwards.
"""

from atp.adapters.signatures.views import Signatures

__all__ = ["Signatures"]
