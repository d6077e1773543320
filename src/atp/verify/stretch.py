"""A bundle's range: that its entries are exactly those of [first, stop), and that no entry of its time is missing.

`range.proof` is text: `atp.range-proof/1`, `range <first> <stop>`, `size <size>`, then one base64 hash a line: the
roots of the complete subtrees left of the range and right of it, from left to right. `leaves` has the 32 bytes of each
entry's leaf hash. With the proof they lead to the root, so that a wrong entry can be named; without entries they are
what the structure level reads.

A range that was asked for by received_at carries the entry before it and the one after it, its neighbours: they lie
outside, and since received_at never goes back, so does everything beyond them. At the log's edge there is none.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial

from atp.errors import MissingError, RefusedError, TamperedError
from atp.merkle.encodings import parse_base64
from atp.merkle.frontier import Frontier
from atp.merkle.hashes import HASH_BYTES
from atp.merkle.ranges import close_range, open_range
from atp.verify.container import Container, Folder
from atp.verify.entry import read_endings
from atp.verify.lines import Lines, read_lines
from atp.verify.manifest import Manifest
from atp.verify.options import Options
from atp.verify.payloads import PayloadCheck
from atp.verify.report import FINDINGS_MAX, Finding, Findings, Level
from atp.verify.workers import map_ordered

PROOF_FORMAT = "atp.range-proof/1"
ENTRIES, LEAVES, PROOF = "entries.ndjson", "leaves", "range.proof"
_PROOF_BYTES_MAX = 100_000
_IN_PROCESS_ENTRIES_MAX = 32_768
"""Up to here one process is done before others are of use."""


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
    stretch = _Stretch(container, manifest, options, root=root, findings=findings, payloads=payloads)
    stretch.check()
    return stretch.last_at


class _Stretch:
    """One range, with what was learned of it so far."""

    def __init__(
        self,
        container: Container,
        manifest: Manifest,
        options: Options,
        *,
        root: bytes,
        findings: Findings,
        payloads: PayloadCheck,
    ) -> None:
        self.container = container
        self.manifest = manifest
        self.options = options
        self.root = root
        self.findings = findings
        self.payloads = payloads
        self.last_at = ""
        self.differs_at = list[int]()
        self.received_at = dict[int, str]()
        edges = (manifest.first, manifest.first + 1, manifest.stop - 2, manifest.stop - 1)
        self._wanted = {index for index in edges if manifest.first <= index < manifest.stop}

    def check(self) -> None:
        first, stop, size = self.manifest.first, self.manifest.stop, self.manifest.size
        try:
            data = self.container.file(PROOF, bytes_max=_PROOF_BYTES_MAX)
            proof = parse_range_proof(data, first=first, stop=stop, size=size)
            start = open_range(proof, start=first, end=stop, size=size)
        except (MissingError, TamperedError, RefusedError) as error:
            self.findings.add(Finding("structure", PROOF, str(error)))
            return
        by_leaves = self._leads_to_root(start, self._leaf_batches(), proof, LEAVES)
        if by_leaves and not self.options.with_payload:
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
        for chunk in self._leaves():
            yield _split(chunk)

    def _leaves(self) -> Iterator[bytes]:
        """The hashes of `leaves`, whole ones; TamperedError unless it has one for each entry."""
        due, rest = (self.manifest.stop - self.manifest.first) * HASH_BYTES, b""
        for chunk in self.container.chunks(LEAVES):
            rest += chunk
            due -= len(chunk)
            if due < 0:
                raise TamperedError("it has more hashes than the range has entries")
            cut = len(rest) - len(rest) % HASH_BYTES
            yield rest[:cut]
            rest = rest[cut:]
        if due:
            raise TamperedError(f"it ends {due} bytes too early")

    def _entry_batches(self) -> Iterator[list[bytes]]:
        """The leaf hashes of `entries.ndjson`, compared with `leaves` on the way; TamperedError if one is not there."""
        index, stop, stored = self.manifest.first, self.manifest.stop, _Stored(self._leaves())
        work = partial(read_lines, with_events=self.options.with_events)
        for read in map_ordered(work, self.container.blocks(ENTRIES), jobs=self._jobs()):
            hashes = _split(read.hashes)
            differing = stored.differing(read.hashes)
            self.differs_at += (index + at for at in differing[: FINDINGS_MAX - len(self.differs_at)])
            self._take(read, index, is_doubtful=bool(differing))
            index += read.total
            if index > stop:
                raise TamperedError(f"it has {index - stop} lines or more beyond those of the range")
            yield hashes
            if read.fault:
                raise TamperedError(read.fault)
        if index < stop:
            raise TamperedError(f"it has {stop - index} lines fewer than the range has entries")

    def _jobs(self) -> int:
        """Other processes read a folder by themselves. What is in a .zip has to be sent to them, which costs as much as
        to hash it, so they only help where it is parsed as well."""
        is_large = self.manifest.stop - self.manifest.first > _IN_PROCESS_ENTRIES_MAX
        is_worth_it = isinstance(self.container, Folder) or self.options.with_events
        return self.options.jobs if is_large and is_worth_it else 1

    def _take(self, read: Lines, first_index: int, *, is_doubtful: bool) -> None:
        heads = read.heads.moved(first_index)
        self.payloads.take(heads.sealed)
        for at, entry in read.may_end.items():
            self.payloads.end(read_endings([entry], first_index=first_index + at))
        self.received_at |= {
            first_index + at: instant for at, instant in read.received_at.items() if first_index + at in self._wanted
        }
        if not is_doubtful:  # what a wrong entry says of itself would only be a second finding about it
            if heads.first_at and heads.first_at < self.last_at:
                self._found("received_at goes back", first_index)
            for index in heads.backward:
                self._found("received_at goes back", index)
            for index in heads.unread:
                self._found("it is not of format 1", index)
        self.last_at = heads.last_at or self.last_at

    def _found(self, reason: str, index: int) -> None:
        self.findings.add(Finding("payload", ENTRIES, reason, index))

    def _blame(self, *, by_leaves: bool, by_entries: bool) -> None:
        if by_leaves:
            for index in self.differs_at:
                self._found("the entry is not the one that was signed", index)
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


class _Stored:
    """The hashes of `leaves`, as far as they can be read, asked for in step with the entries."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._read, self._at = b"", 0

    def differing(self, hashes: bytes) -> list[int]:
        """At which positions the next hashes are other ones; the last ones that are not there are no other ones."""
        stored = self._next(len(hashes))
        if stored == hashes:
            return []
        pairs = zip(_split(stored), _split(hashes), strict=False)
        return [at for at, (own, other) in enumerate(pairs) if own != other]

    def _next(self, count: int) -> bytes:
        with suppress(MissingError, TamperedError):  # reading them for themselves has said so
            while len(self._read) - self._at < count and (chunk := next(self._chunks, None)) is not None:
                self._read, self._at = self._read[self._at :] + chunk, 0
        self._at += count
        return self._read[self._at - count : self._at]


def _split(packed: bytes) -> list[bytes]:
    return [packed[at : at + HASH_BYTES] for at in range(0, len(packed), HASH_BYTES)]
