"""A bundle's range: that its entries are exactly those of [first, stop), and that no entry of its time is missing.

`range.proof` is text: `atp.range-proof/1`, `range <first> <stop>`, `size <size>`, then one base64 hash a line: the
roots of the complete subtrees left of the range and right of it, from left to right. `leaves` has the 32 bytes of each
entry's leaf hash. With the proof they lead to the root, so that a wrong entry can be named; without entries they are
what the structure level reads.

A range that was asked for by received_at carries the entry before it and the one after it, its neighbours: they lie
outside, and since received_at never goes back, so does everything beyond them. At the log's edge there is none.
"""

from collections.abc import Iterator
from itertools import islice, zip_longest

from atp.errors import AtpError, MalformedError, MissingError, TamperedError
from atp.limits import ENTRY_BYTES_MAX
from atp.merkle.encodings import parse_base64
from atp.merkle.frontier import Frontier
from atp.merkle.hashes import HASH_BYTES, leaf_hashes
from atp.merkle.ranges import close_range, open_range
from atp.verify.container import Container
from atp.verify.entry import Heads, read_heads
from atp.verify.manifest import Manifest
from atp.verify.options import Options
from atp.verify.payloads import PayloadCheck
from atp.verify.report import Finding, Findings

PROOF_FORMAT = "atp.range-proof/1"
ENTRIES, LEAVES, PROOF = "entries.ndjson", "leaves", "range.proof"
_PROOF_BYTES_MAX = 100_000
_BATCH_ENTRIES = 4_096


def parse_range_proof(data: bytes, *, first: int, stop: int, size: int) -> list[bytes]:
    """The hashes of a range.proof; TamperedError when it is not one for this range of this tree."""
    try:
        lines = data.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise TamperedError("it is not ASCII") from None
    if lines[:3] != [PROOF_FORMAT, f"range {first} {stop}", f"size {size}"] or lines[-1]:
        raise TamperedError(f"it does not begin as the {PROOF_FORMAT} of [{first}, {stop}) in {size}")
    hashes = [parse_base64(line) for line in lines[3:-1]]
    if any(element is None or len(element) != HASH_BYTES for element in hashes):
        raise TamperedError("a line of it is not the base64 of a hash")
    return [element for element in hashes if element is not None]


def check_stretch(
    container: Container,
    manifest: Manifest,
    *,
    root: bytes,
    findings: Findings,
    payloads: PayloadCheck,
    options: Options,
) -> str:
    """Checks a range's entries, leaves and proof, in one pass; the last entry's received_at."""
    if manifest.first == manifest.stop:
        if manifest.size or manifest.count:
            findings.add(Finding("structure", "bundle.json", "a range without entries proves nothing"))
        return ""
    check = _Stretch(manifest, root, findings, payloads, options)
    check.run(container)
    return check.times[-1][1] if check.times else ""


class _Stretch:
    def __init__(
        self, manifest: Manifest, root: bytes, findings: Findings, payloads: PayloadCheck, options: Options
    ) -> None:
        self.manifest = manifest
        self.root = root
        self.findings = findings
        self.payloads = payloads
        self.options = options
        self.times = list[tuple[int, str]]()
        """(index, received_at) of the entries that begin and end a batch, and of both neighbours' neighbours."""
        self.differs_at = list[int]()

    def run(self, container: Container) -> None:
        first, stop, size = self.manifest.first, self.manifest.stop, self.manifest.size
        try:
            proof = parse_range_proof(container.file(PROOF, bytes_max=_PROOF_BYTES_MAX), first=first, stop=stop, size=size)
            by_leaves = by_entries = open_range(proof, start=first, end=stop, size=size)
        except (MissingError, TamperedError, MalformedError) as error:
            self._add(PROOF, error)
            return
        is_leaves_whole = True
        for hashes, entries, at in self._batches(container):
            if self.findings.total.get("structure"):
                is_leaves_whole = False
            by_leaves = by_leaves.extended(hashes) if len(hashes) == len(entries) else by_leaves
            own = leaf_hashes(entries)
            by_entries = by_entries.extended(own)
            self.differs_at += (at + k for k, (one, other) in enumerate(zip(own, hashes)) if one != other)  # noqa: B905
            del self.differs_at[1_000:]
            self._take(entries, at)
        del is_leaves_whole
        self._settle(proof, by_leaves=by_leaves, by_entries=by_entries)
        self._check_times()
