"""A bundle's selection: that each of its entries stands in the log at its index.

Line k of `proofs.ndjson` is `{"index":I,"hashes":["<base64>",…]}`, the inclusion proof (RFC 6962 section 2.1.1) of the
entry in line k of `entries.ndjson`; indexes ascend. That no other entry answers the question is not proven.
"""

import json
from itertools import zip_longest

from atp.errors import RefusedError, TamperedError
from atp.merkle.encodings import parse_base64
from atp.merkle.hashes import leaf_hash
from atp.merkle.proofs import check_inclusion
from atp.verify.container import Container
from atp.verify.entry import read_endings, read_heads
from atp.verify.manifest import Manifest
from atp.verify.options import Options
from atp.verify.payloads import PayloadCheck
from atp.verify.report import Finding, Findings

ENTRIES, PROOFS = "entries.ndjson", "proofs.ndjson"


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
    try:
        for entry, line in zip_longest(container.lines(ENTRIES), container.lines(PROOFS)):
            if entry is None or line is None:
                raise TamperedError(f"its entries and proofs are not equally many: {count} and more")
            index, hashes = parse_proof(line)
            if not before < index < manifest.scanned[1]:
                findings.add(Finding("structure", PROOFS, "it is out of order, or outside of what was searched", index))
            before, count = index, count + 1
            _check_entry(entry, index, hashes, manifest, root=root, findings=findings)
            heads = read_heads([entry], first_index=index)
            last_at = heads.last_at or last_at
            if options.with_payload:
                payloads.take(heads.sealed)
                payloads.end(read_endings([entry], first_index=index))
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


def _check_entry(
    entry: bytes, index: int, hashes: list[bytes], manifest: Manifest, *, root: bytes, findings: Findings
) -> None:
    leaf = leaf_hash(entry)
    try:
        check_inclusion(leaf_hash=leaf, index=index, size=manifest.size, proof=hashes, root=root)
    except (TamperedError, RefusedError):
        findings.add(Finding("payload", ENTRIES, "the entry and its proof do not lead to the signed root", index))
