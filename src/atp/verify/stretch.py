"""A bundle's range: that its entries are exactly those of [first, stop), and that no entry of its time is missing.

`range.proof` is text: `atp.range-proof/1`, `range <first> <stop>`, `size <size>`, then one base64 hash a line: the
roots of the complete subtrees left of the range and right of it, from left to right. `leaves` has the 32 bytes of each
entry's leaf hash. With the proof they lead to the root, so that a wrong entry can be named; without entries they are
what the structure level reads.

A range that was asked for by received_at carries the entry before it and the one after it, its neighbours: they lie
outside, and since received_at never goes back, so does everything beyond them. At the log's edge there is none.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

from atp.errors import MissingError, RefusedError, TamperedError
from atp.merkle.encodings import parse_base64
from atp.merkle.frontier import Frontier
from atp.merkle.hashes import HASH_BYTES, leaf_hashes
from atp.merkle.ranges import close_range, open_range
from atp.verify.container import Container
from atp.verify.entry import read_endings, read_heads, received_at
from atp.verify.manifest import Manifest
from atp.verify.options import Options
from atp.verify.payloads import PayloadCheck
from atp.verify.report import FINDINGS_MAX, Finding, Findings, Level

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
    """Checks a range's leaves, entries and proof; the last entry's received_at. Reads each file once or twice."""
    if manifest.first == manifest.stop:
        if manifest.size or manifest.count:
            findings.add(Finding("structure", "bundle.json", "a range without entries proves nothing"))
        return ""
    stretch = _Stretch(container, manifest, root=root, findings=findings, payloads=payloads)
    stretch.check(with_entries=options.with_payload)
    return stretch.last_at


class _Stretch:
    """One range, with what was learned of it so far."""

    def __init__(
        self, container: Container, manifest: Manifest, *, root: bytes, findings: Findings, payloads: PayloadCheck
    ) -> None:
        self.container = container
        self.manifest = manifest
        self.root = root
        self.findings = findings
        self.payloads = payloads
        self.last_at = ""
        self.differs_at = list[int]()
        self.received_at = dict[int, str]()
        edges = (manifest.first, manifest.first + 1, manifest.stop - 2, manifest.stop - 1)
        self._wanted = {index for index in edges if manifest.first <= index < manifest.stop}

    def check(self, *, with_entries: bool) -> None:
        first, stop, size = self.manifest.first, self.manifest.stop, self.manifest.size
        try:
            data = self.container.file(PROOF, bytes_max=_PROOF_BYTES_MAX)
            proof = parse_range_proof(data, first=first, stop=stop, size=size)
            start = open_range(proof, start=first, end=stop, size=size)
        except (MissingError, TamperedError, RefusedError) as error:
            self.findings.add(Finding("structure", PROOF, str(error)))
            return
        by_leaves = self._leads_to_root(start, self._leaf_batches(), proof, LEAVES)
        if by_leaves and not with_entries:
            return
        by_entries = self._leads_to_root(start, self._entry_batches(), proof, ENTRIES)
        self._blame(by_leaves=by_leaves, by_entries=by_entries)
        self._check_times()

    def _leads_to_root(
        self, frontier: Frontier, batches: Iterator[list[bytes]], proof: Sequence[bytes], place: str
    ) -> bool:
        try:
            for hashes in batches:
                frontier = frontier.extended(hashes)
        except (MissingError, TamperedError) as error:
            level: Level = "payload" if place == ENTRIES else "structure"
            first = min(self.differs_at, default=frontier.size)
            self.findings.add(Finding(level, place, str(error), first, self.manifest.stop))
            return False
        try:
            close_range(frontier, proof, end=self.manifest.stop, size=self.manifest.size, root=self.root)
        except TamperedError:
            return False
        return True

    def _leaf_batches(self) -> Iterator[list[bytes]]:
        """The hashes of `leaves`; TamperedError unless it has one for each entry."""
        due, rest = (self.manifest.stop - self.manifest.first) * HASH_BYTES, b""
        for chunk in self.container.chunks(LEAVES):
            rest += chunk
            due -= len(chunk)
            if due < 0:
                raise TamperedError("it has more hashes than the range has entries")
            cut = len(rest) - len(rest) % HASH_BYTES
            yield [rest[at : at + HASH_BYTES] for at in range(0, cut, HASH_BYTES)]
            rest = rest[cut:]
        if due:
            raise TamperedError(f"it ends {due} bytes too early")

    def _entry_batches(self) -> Iterator[list[bytes]]:
        """The leaf hashes of `entries.ndjson`, compared with `leaves` on the way; TamperedError if one is not there."""
        lines = self.container.lines(ENTRIES)
        stored = self._stored_leaves()
        index, stop = self.manifest.first, self.manifest.stop
        while entries := list(islice(lines, _BATCH_ENTRIES)):
            hashes = leaf_hashes(entries)
            for at, (own, other) in enumerate(zip(hashes, islice(stored, len(hashes)), strict=False), index):
                if own != other and len(self.differs_at) < FINDINGS_MAX:
                    self.differs_at.append(at)
            self._read(entries, index)
            index += len(entries)
            if index > stop:
                raise TamperedError(f"it has {index - stop} lines or more beyond those of the range")
            yield hashes
        if index < stop:
            raise TamperedError(f"it has {stop - index} lines fewer than the range has entries")

    def _stored_leaves(self) -> Iterator[bytes]:
        try:
            for batch in self._leaf_batches():
                yield from batch
        except (MissingError, TamperedError):
            return  # reading them for themselves has said so

    def _read(self, entries: list[bytes], first_index: int) -> None:
        heads = read_heads(entries, first_index=first_index)
        if heads.first_at and heads.first_at < self.last_at:
            self.findings.add(Finding("payload", ENTRIES, "received_at goes back", first_index))
        self.findings.add(*(Finding("payload", ENTRIES, "received_at goes back", index) for index in heads.backward))
        self.last_at = heads.last_at or self.last_at
        self.payloads.take(heads.sealed)
        self.payloads.end(read_endings(entries, first_index=first_index))
        for index in self._wanted & set(range(first_index, first_index + len(entries))):
            try:
                self.received_at[index] = received_at(entries[index - first_index])
            except RefusedError:
                continue  # only a range of time needs it, and that will miss it

    def _blame(self, *, by_leaves: bool, by_entries: bool) -> None:
        if by_leaves:
            reason = "the entry is not the one that was signed"
            self.findings.add(*(Finding("payload", ENTRIES, reason, index) for index in self.differs_at))
        elif by_entries:
            reason = "the stored hash is not the entry's"
            self.findings.add(*(Finding("structure", LEAVES, reason, index) for index in self.differs_at))
        else:
            reason = "neither the entries nor their hashes lead to the signed root"
            index = min(self.differs_at, default=self.manifest.first)
            self.findings.add(Finding("structure", PROOF, reason, index, self.manifest.stop))

    def _check_times(self) -> None:
        """That the neighbours lie outside of what was asked for, and all others inside."""
        asked = self.manifest
        inner_first, inner_stop = asked.first + asked.has_before, asked.stop - asked.has_after
        if inner_stop - inner_first != asked.count:
            reason = f"it says {asked.count} entries, and there are {inner_stop - inner_first}"
            self.findings.add(Finding("structure", "bundle.json", reason))
        if asked.since is not None:
            if asked.has_before:
                self._check_time(asked.first, "is not before the time that was asked for", until=asked.since)
            elif asked.first:
                self._incomplete("the entry before the range is not there", asked.first)
        if asked.until is not None:
            if asked.has_after:
                self._check_time(asked.stop - 1, "is not after the time that was asked for", since=asked.until)
            elif asked.stop < asked.size:
                self._incomplete("the entry after the range is not there", asked.stop)
        if inner_first < inner_stop:
            outside = "is outside of the time that was asked for"
            self._check_time(inner_first, outside, since=asked.since)
            self._check_time(inner_stop - 1, outside, until=asked.until)

    def _check_time(self, index: int, reason: str, *, since: str | None = None, until: str | None = None) -> None:
        if since is None and until is None:
            return
        at = self.received_at.get(index)
        if at is None:
            self._incomplete("its received_at cannot be read", index)
        elif (since is not None and at < since) or (until is not None and at >= until):
            self._incomplete(f"its received_at {at} {reason}", index)

    def _incomplete(self, reason: str, index: int) -> None:
        self.findings.add(Finding("structure", ENTRIES, f"that the range is complete is not proven: {reason}", index))
