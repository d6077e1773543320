"""A bundle's selection: that each of its entries stands in the log at its index.

Line k of `proofs.ndjson` is `{"index":I,"hashes":["<base64>",…]}`, the inclusion proof (RFC 6962 section 2.1.1) of the
entry in line k of `entries.ndjson`; indexes ascend. That no other entry answers the question is not proven.
"""

import json
from collections.abc import Iterator
from functools import partial
from itertools import islice, zip_longest
from typing import NamedTuple

from atp.errors import RefusedError, TamperedError
from atp.merkle.encodings import parse_base64
from atp.merkle.hashes import leaf_hash
from atp.merkle.proofs import check_inclusion
from atp.verify.container import Container
from atp.verify.entry import Ending, HeadReader, Heads, read_endings
from atp.verify.manifest import Manifest
from atp.verify.options import Options
from atp.verify.payloads import PayloadCheck
from atp.verify.report import Finding, Findings
from atp.verify.workers import map_ordered

ENTRIES, PROOFS = "entries.ndjson", "proofs.ndjson"
_BATCH_ENTRIES = 256
_IN_PROCESS_ENTRIES_MAX = 4_096
"""Up to here one process is done before others are of use."""


Pair = tuple[bytes, bytes]
"""An entry and the line with its proof."""


class Proven(NamedTuple):
    """What was found about a batch: the indexes that its proofs name, and what is wrong with the entries at some.

    `fault` says why the proof behind the last of them cannot be read.
    """

    indexes: list[int]
    wrong: dict[int, str]
    heads: Heads
    endings: list[Ending]
    fault: str


def check_selection(
    container: Container,
    manifest: Manifest,
    *,
    root: bytes,
    findings: Findings,
    payloads: PayloadCheck,
    options: Options,
) -> str:
    """Checks every entry of a selection with its proof; the last entry's received_at. About 20 hashes an entry."""
    count, before, last_at = 0, manifest.scanned[0] - 1, ""
    work = partial(_check_batch, size=manifest.size, root=root, with_events=options.with_events)
    jobs = options.jobs if manifest.count > _IN_PROCESS_ENTRIES_MAX else 1
    try:
        for proven in map_ordered(work, _batches(container), jobs=jobs):
            for index in proven.indexes:
                if not before < index < manifest.scanned[1]:
                    reason = "it is out of order, or outside of what was searched"
                    findings.add(Finding("structure", PROOFS, reason, index))
                before, count = index, count + 1
            findings.add(*(Finding("payload", ENTRIES, reason, index) for index, reason in proven.wrong.items()))
            last_at = proven.heads.last_at or last_at
            if options.with_payload:
                payloads.take(proven.heads.sealed)
                payloads.end(proven.endings)
            if proven.fault:
                raise TamperedError(proven.fault)
    except TamperedError as error:
        findings.add(Finding("structure", PROOFS, str(error)))
    else:
        if count != manifest.count:
            findings.add(
                Finding("structure", "bundle.json", f"it says {manifest.count} entries, and there are {count}")
            )
    return last_at


def parse_proof(line: bytes) -> tuple[int, list[bytes]]:
    """Index and hashes of a line of proofs.ndjson; TamperedError when it is not one."""
    try:
        read = json.loads(line)
        index, hashes = read["index"], [parse_base64(text) for text in read["hashes"]]
        if type(index) is not int or index < 0 or None in hashes:
            raise TypeError
    except (ValueError, TypeError, KeyError, RecursionError):
        raise TamperedError(f"its line {line[:60]!r} is not an inclusion proof") from None
    return index, [element for element in hashes if element is not None]


def _batches(container: Container) -> Iterator[list[Pair]]:
    """All entries with the lines of their proofs; TamperedError behind the last that has one, if more follow."""
    lines, failed = zip_longest(container.lines(ENTRIES), container.lines(PROOFS)), list[TamperedError]()
    while not failed and (batch := _next_batch(lines, failed)):
        yield batch
    for error in failed:
        raise error


def _next_batch(lines: Iterator[tuple[bytes | None, bytes | None]], failed: list[TamperedError]) -> list[Pair]:
    batch = list[Pair]()
    try:
        for entry, proof in islice(lines, _BATCH_ENTRIES):
            if entry is None or proof is None:
                raise TamperedError("its entries and proofs are not equally many")
            batch.append((entry, proof))
    except TamperedError as error:
        failed.append(error)
    return batch


def _check_batch(batch: list[Pair], *, size: int, root: bytes, with_events: bool) -> Proven:
    """Checks each entry with its proof. About 20 hashes an entry; runs in any process."""
    reader, fault = HeadReader(), ""
    indexes, wrong, endings = list[int](), dict[int, str](), list[Ending]()
    for entry, line in batch:
        try:
            index, proof = parse_proof(line)
        except TamperedError as error:
            fault = str(error)
            break
        indexes.append(index)
        if not _holds(leaf_hash(entry), index, proof, size=size, root=root):
            wrong[index] = "the entry and its proof do not lead to the signed root"
        reader.read(entry, index)
        if with_events:
            reader.read_events([entry], index)
        endings += read_endings([entry], first_index=index)
    heads = reader.heads(first_index=min(indexes, default=0))
    not_read = dict.fromkeys(heads.unread, "it is not of format 1")
    return Proven(indexes, not_read | wrong, heads, endings, fault)


def _holds(leaf: bytes, index: int, proof: list[bytes], *, size: int, root: bytes) -> bool:
    try:
        check_inclusion(leaf_hash=leaf, index=index, size=size, proof=proof, root=root)
    except (TamperedError, RefusedError):
        return False
    return True
