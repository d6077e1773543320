"""Checks one log against its signed checkpoint: every stored tile, every entry's bytes, and what was known before."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from atp.errors import MissingError, RefusedError, TamperedError
from atp.limits import TILE_WIDTH
from atp.merkle.checkpoints import OpenedCheckpoint
from atp.merkle.entries import decode_entries
from atp.merkle.hashes import HASH_BYTES, leaf_hashes
from atp.merkle.keys import VerifierKey
from atp.merkle.tiles import TILE_HEIGHT, EntryBundle, Tile, tile_width
from atp.verify.entry import HeadReader, Heads, read_endings, received_at
from atp.verify.known import Compared, Known, compare, compare_former
from atp.verify.options import Options
from atp.verify.payloads import PayloadCheck
from atp.verify.reading import Piece, Reading, find_endings, find_successions, read_bundle, read_piece
from atp.verify.report import FINDINGS_MAX, Finding, Findings, Level, LevelVerdict, LogReport
from atp.verify.source import Source
from atp.verify.strays import Stray
from atp.verify.succession import Succession, read_successions, succession_of
from atp.verify.tail import Tail, check_beyond
from atp.verify.tree import Segment, Settled, TileRows, blame, check_upper, make_segment, settle
from atp.verify.trust import Trust, claimed_checkpoint
from atp.verify.workers import map_ordered

_Result = TypeVar("_Result")
_PIECE_BUNDLES = 32
_SEGMENT_BUNDLES = TILE_WIDTH
_IN_PROCESS_ENTRIES_MAX = 65_536
"""Up to here one process is done before others have started."""

CHECKPOINT = "checkpoint"


@dataclass(frozen=True, slots=True)
class StoredLog:
    """A log as a place holds it. `note` is its newest checkpoint, `checkpoint_place` what to call that in a finding.

    `read_tail` is there where the last bundle is not in a file of its own; then only full tiles are stored. `strays`
    are the files that its tree may not need, where files can be listed. `is_ours` says that every entry has to be of
    format 1, `has_packs` that payloads have to be beside the log, `is_copy` that it was restored and has not gone on.
    """

    name: str
    origin: str
    note: bytes
    source: Source
    checkpoint_place: str = CHECKPOINT
    read_tail: Callable[[], Tail] | None = None
    strays: Iterable[Stray] = ()
    is_ours: bool = False
    has_packs: bool = True
    is_copy: bool = False
    findings: tuple[Finding, ...] = ()


def check_log(log: StoredLog, *, trust: Trust, known: Sequence[Known], options: Options) -> LogReport:
    """Every verdict that this place allows about one log; damage is reported, not raised.

    Raises UnavailableError when the place cannot be read. Costs two hashes an entry and, for the payload level, one
    reading of all bytes; memory does not grow with the log but by 100 bytes for 65,536 entries.
    """
    try:
        opened = trust.open(log.note, origin=log.origin)
    except (TamperedError, RefusedError) as error:
        finding = Finding("structure", log.checkpoint_place, str(error))
        return untrusted(log, finding, options, trusted=trust.sentence)
    return _Check(log, opened, options).run(trust, known)


def untrusted(log: StoredLog, finding: Finding, options: Options, *, trusted: str = "") -> LogReport:
    """The report about a log without a checkpoint that holds: then nothing is known of its entries either."""
    findings = (finding, *log.findings, *(log.read_tail().findings if log.read_tail else ()))
    payload_failed = any(one.level == "payload" for one in findings)
    levels: dict[Level, LevelVerdict] = {"structure": LevelVerdict("failed", "its checkpoint does not hold")}
    if options.with_payload:
        reason = "without a signed checkpoint nothing is known of the entries"
        levels["payload"] = LevelVerdict("failed" if payload_failed else "not possible here", reason)
    return LogReport(
        log.name,
        log.origin,
        trusted=trusted,
        levels=levels,
        findings=findings[:FINDINGS_MAX],
        findings_total=len(findings),
    )


class _Check:
    """One run over one log under an opened checkpoint."""

    def __init__(self, log: StoredLog, opened: OpenedCheckpoint, options: Options) -> None:
        self.log = log
        self.opened = opened
        self.size = opened.checkpoint.size
        self.findings = Findings()
        self.findings.add(*log.findings)
        self.options = options
        self.with_partials = log.read_tail is None
        self.with_events = log.is_ours and options.with_events
        self.payloads = PayloadCheck(log.source, self.findings, is_whole=log.has_packs)
        self.last_at = ""
        self.unread = 0
        self.notes = list[str]()
        self.forks = list[bytes]()
        self.losses = list[Finding]()

    @cached_property
    def tail(self) -> Tail | None:
        """The end of the log that lies in no file, read when it is asked for first."""
        tail = self.log.read_tail() if self.log.read_tail else None
        self.findings.add(*(tail.findings if tail else ()))
        return tail

    def run(self, trust: Trust, known: Sequence[Known]) -> LogReport:
        settled = self._check_tree(with_entries=self.options.with_payload)
        if not (settled and settled.is_signed) and not self.options.with_payload:
            # Tiles alone do not tell which of them is wrong; the entries do.
            settled = self._check_tree(with_entries=True)
        elif self.options.with_payload:
            self._find_endings()
            self.payloads.finish()
        self._check_strays()
        is_signed = bool(settled and settled.is_signed)
        self._check_known(known, trust, is_signed=is_signed)
        return self._report(trust, is_signed=is_signed)

    def _check_tree(self, *, with_entries: bool) -> Settled | None:
        """Reads everything once and settles which reading is the signed one."""
        faults, segments = list[Finding](), list[Segment]()
        for readings in self._segments(with_entries=with_entries):
            faults += (fault for reading in readings for fault in reading.faults)
            place, above, fault = self._above(readings)
            faults += fault
            segments.append(make_segment(readings, above=above, place=place))
            if len(faults) > FINDINGS_MAX:  # a checkpoint may claim any size; what is missing need not be counted
                break
        settled = settle(segments, size=self.size, root=self.opened.checkpoint.root)
        is_signed = bool(settled and settled.is_signed)
        if with_entries or is_signed:
            self.findings.add(*faults)
            self.findings.add(*blame(segments, settled, source=self.log.source))
        if settled is not None:
            upper = check_upper(settled, size=self.size, with_partials=self.with_partials, source=self.log.source)
            if with_entries or is_signed:
                self.findings.add(*upper)
            if not is_signed and with_entries:
                self.findings.add(self._unsigned_root())
        return settled

    def _unsigned_root(self) -> Finding:
        wrong = [finding.index for finding in self.findings.kept if finding.index is not None]
        reason = "what is stored does not lead to the signed root"
        return Finding(
            "structure", self.log.checkpoint_place, reason, min(wrong, default=self._tail_first()), self.size
        )

    def _tail_first(self) -> int:
        """Where all of what is stored agrees, only the end of the log, told by entries alone, can differ unseen."""
        return self.size - self.size % TILE_WIDTH if not self.with_partials and self.size % TILE_WIDTH else 0

    def _segments(self, *, with_entries: bool) -> Iterator[list[Reading]]:
        segment, done = list[Reading](), 0
        for reading in self._readings(with_entries=with_entries):
            segment.append(reading)
            done += reading.width
            if reading.heads is not None and self.options.with_payload:
                self._take_heads(reading.heads, is_doubtful=bool(reading.faults) or reading.differs_at is not None)
            if len(segment) == _SEGMENT_BUNDLES:
                yield segment
                segment = []
            self.options.progress(done, self.size)
        if segment:
            yield segment

    def _find_endings(self) -> None:
        """Reads the log again for entries that end payloads, but only where it has payloads."""
        if not self.payloads.has_any:
            return
        for endings in self._map(find_endings, self._pieces(with_entries=True)):
            self.payloads.end(endings)
        if self.tail is not None and self.tail.plain is not None:
            first = self.size - self.size % TILE_WIDTH
            self.payloads.end(read_endings(decode_entries(self.tail.plain), first_index=first))

    def _readings(self, *, with_entries: bool) -> Iterator[Reading]:
        pieces = self._map(read_piece, self._pieces(with_entries=with_entries))
        tail, width = self.tail, self.size % TILE_WIDTH  # now: other processes have begun to read
        for readings in pieces:
            yield from readings
        if width and tail is not None:
            bundle, place = EntryBundle(self.size // TILE_WIDTH, width), self.log.checkpoint_place
            reader = HeadReader(with_events=self.with_events)
            if tail.plain is None:
                yield Reading(bundle.index, width)
            else:
                yield read_bundle(bundle, tile=None, parts=(tail.plain,), place=place, salvage=bytes, reader=reader)

    def _pieces(self, *, with_entries: bool) -> Iterator[Piece]:
        """All bundles that lie in files."""
        stop = self.size // TILE_WIDTH + (self.size % TILE_WIDTH > 0 and self.with_partials)
        for first in range(0, stop, _PIECE_BUNDLES):
            end = min(first + _PIECE_BUNDLES, stop)
            yield Piece(self.log.source, first, end, self.size, with_entries, self.with_partials, self.with_events)

    def _map(self, work: Callable[[Piece], _Result], pieces: Iterator[Piece]) -> Iterator[_Result]:
        jobs = self.options.jobs if self.size > _IN_PROCESS_ENTRIES_MAX else 1
        return map_ordered(work, pieces, jobs=jobs)

    def _take_heads(self, heads: Heads, *, is_doubtful: bool) -> None:
        self.payloads.take(heads.sealed)
        if is_doubtful:  # what a wrong entry says of itself would only be a second finding about it
            return
        if heads.first_at and heads.first_at < self.last_at:
            self.findings.add(Finding("payload", "received_at", "it goes back", heads.first_index))
        self.findings.add(*(Finding("payload", "received_at", "it goes back", index) for index in heads.backward))
        self.last_at = heads.last_at or self.last_at
        self.unread += len(heads.unread)
        if self.log.is_ours:
            self.findings.add(*(Finding("payload", "entry", "it is not of format 1", index) for index in heads.unread))

    def _above(self, readings: Sequence[Reading]) -> tuple[str, bytes | None, list[Finding]]:
        """The name and the content of the tile of level 1 over a segment, where there has to be one."""
        index = readings[0].number // TILE_WIDTH
        width = tile_width(level=1, index=index, size=self.size)
        tile = Tile(1, index, width or TILE_WIDTH)
        if width == 0 or (width < TILE_WIDTH and not self.with_partials):
            return tile.path, None, []
        try:
            return tile.path, self.log.source.tile(tile), []
        except (MissingError, TamperedError) as error:
            first = index * TILE_WIDTH * TILE_WIDTH
            return tile.path, None, [Finding("structure", tile.path, str(error), first, first + width * TILE_WIDTH)]

    def _check_strays(self) -> None:
        for stray in self.log.strays:
            finding = self._check_stray(stray)
            if finding is not None:
                self.findings.add(finding)

    def _check_stray(self, stray: Stray) -> Finding | None:
        place = stray.place
        if place is None:
            return Finding("structure", stray.name, "no such file belongs to a log")
        if stray.is_part(self.size):
            return None
        if stray.is_within(self.size):
            return self._check_older(place)
        if self.tail is not None:
            return check_beyond(place, name=stray.name, tail=self.tail, source=self.log.source)
        leaves = TILE_WIDTH << (place.level if isinstance(place, Tile) else 0) * TILE_HEIGHT
        return Finding("structure", stray.name, "it reaches beyond the checkpoint", place.index * leaves)

    def _check_older(self, place: Tile | EntryBundle) -> Finding | None:
        """A partial tile or bundle of an older checkpoint has to be the beginning of what is there now."""
        try:
            if isinstance(place, Tile):
                now = self.log.source.tile(Tile(place.level, place.index, self._width(place.level, place.index)))
                is_same = now.startswith(self.log.source.tile(place))
            else:
                now = self.log.source.bundle(EntryBundle(place.index, self._width(0, place.index)))
                is_same = decode_entries(now)[: place.width] == decode_entries(self.log.source.bundle(place))
        except (MissingError, TamperedError, RefusedError) as error:
            return Finding("structure", place.path, str(error))
        if is_same:
            return None
        level = place.level if isinstance(place, Tile) else 0
        kind: Level = "structure" if isinstance(place, Tile) else "payload"
        first = place.index * TILE_WIDTH << level * TILE_HEIGHT
        return Finding(kind, place.path, "it is not the beginning of the newer one", first)

    def _width(self, level: int, index: int) -> int:
        return tile_width(level=level, index=index, size=self.size)

    def _check_known(self, known: Sequence[Known], trust: Trust, *, is_signed: bool) -> None:
        rows = self._rows() if is_signed else None
        for one in known:
            compared = self._compare(one, trust, rows)
            self.findings.add(*compared.findings)
            self.notes += [compared.remark] if compared.remark else []
            self.forks += [compared.fork] if compared.fork else []
            self.losses += [compared.loss] if compared.loss else []

    def _compare(self, known: Known, trust: Trust, rows: TileRows | None) -> Compared:
        """Under the origin of now, or under an older one, where an entry of the log says what became of that."""
        now, origin = self.opened.checkpoint, _claimed_origin(known.note)
        ended = succession_of(origin, self.successions) if origin != now.origin and rows is not None else None
        if ended is None:
            return compare(known, now, trust=trust, rows=rows, is_copy=self.log.is_copy)
        return compare_former(known, ended, now, keys=self._former_keys(ended), rows=rows)

    @cached_property
    def successions(self) -> list[Succession]:
        """The entries that say that the log goes on under another origin. Reads the log again."""
        found = [one for part in self._map(find_successions, self._pieces(with_entries=True)) for one in part]
        if self.tail is not None and self.tail.plain is not None:
            first = self.size - self.size % TILE_WIDTH
            found += read_successions(decode_entries(self.tail.plain), first_index=first)
        return found

    def _former_keys(self, ended: Succession) -> Sequence[VerifierKey]:
        """The given keys of an older origin, else those that this person saw it use and those that the entry names."""
        given = tuple(key for key in self.options.trusted if key.name == ended.former)
        seen = self.options.memory.keys(ended.former) if self.options.memory else ()
        return given or tuple(dict.fromkeys((*seen, *ended.vkeys)))

    def _rows(self) -> TileRows:
        leaves = self.tail.leaves if self.tail is not None else {}
        boundary = self.size - self.size % TILE_WIDTH
        tail_hashes = b"".join(leaves.get(index, b"") for index in range(boundary, self.size))
        return TileRows(self.log.source, self.size, self.with_partials, tail_hashes)

    def _report(self, trust: Trust, *, is_signed: bool) -> LogReport:
        checkpoint = self.opened.checkpoint
        levels: dict[Level, LevelVerdict] = {"structure": self._structure()}
        if self.options.with_payload:
            levels["payload"] = self._payload(is_signed=is_signed)
        if self.options.level in (None, "index"):
            levels["index"] = LevelVerdict("not possible here", "views are compared by the program that reads them")
        for signature in self.opened.note.ignored:
            self.notes.append(f"the checkpoint has a signature of {signature.name!r}, which is not trusted: ignored")
        return LogReport(
            self.log.name,
            checkpoint.origin,
            checkpoint.size,
            checkpoint.root.hex(),
            self.last_at or self._last_at(),
            trust.sentence,
            levels,
            self.findings.sorted(),
            sum(self.findings.total.values()),
            tuple(self.notes),
            self.log.note,
            tuple(self.forks),
            tuple(self.losses),
        )

    def _structure(self) -> LevelVerdict:
        if self.findings.total.get("structure"):
            return LevelVerdict("failed", "the stored tiles are not the signed tree")
        return LevelVerdict("ok", "every stored tile leads to the signed root")

    def _payload(self, *, is_signed: bool) -> LevelVerdict:
        if self.findings.total.get("payload"):
            return LevelVerdict("failed", "stored entries or payloads are not those that were signed")
        if not is_signed:
            return LevelVerdict("failed", "the entries do not lead to the signed root")
        said = ["every entry has the hash that was signed"]
        if self.with_events:
            said.append("each is JSON of format 1")
        if self.unread:
            said.append(f"{self.unread} of another format were hashed, not read")
        if self.payloads.sentence:
            said.append(f"payloads: {self.payloads.sentence}")
        return LevelVerdict("ok", "; ".join(said))

    def _last_at(self) -> str | None:
        """When the last entry was received, read from that entry alone and only if it is the one in the tree."""
        full, width = divmod(self.size, TILE_WIDTH)
        bundle = EntryBundle(full, width) if width else EntryBundle(full - 1)
        try:
            if width and self.tail is not None:
                last = decode_entries(self.tail.plain or b"")[-1]
                return received_at(last)
            last = decode_entries(self.log.source.bundle(bundle))[-1]
            hashes = self.log.source.tile(Tile(0, bundle.index, bundle.width))
            return received_at(last) if hashes[-HASH_BYTES:] == leaf_hashes([last])[0] else None
        except (MissingError, TamperedError, RefusedError, IndexError):
            return None


def _claimed_origin(note: bytes) -> str:
    """What a known note says that it is of; one that is no checkpoint says nothing, as comparing it tells."""
    try:
        return claimed_checkpoint(note).origin
    except RefusedError:
        return ""
