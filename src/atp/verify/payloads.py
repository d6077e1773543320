"""Checks commitments against the payload packs beside a log: each value is present, sealed, erased or expired.

An entry may hold `"sealed":{"class":C,"fields":{F:H,…},"subject":S}`: H is the hex SHA-256 of 32 salt bytes and the
JSON bytes of the value that belongs at the dotted field F. Salt and value lie in `packs/<C>/<YYYY-MM>.ndjson`, by the
month of the entry's received_at; lines are in the order of (index, field), without spaces, and are one of::

    {"index":I,"field":F,"salt":"<64 hex>","value":V}     present: V is the value, byte for byte
    {"index":I,"field":F,"sealed":"<base64>"}             sealed: ciphertext under the subject's key

A field without a line is erased or expired, and then a later entry says so: action `atp.payload.erased` or
`atp.payload.expired`, data `{"ranges":[{"first":I,"stop":J,"fields":[F,…]},…]}`; without `fields`, all of them. Where
an entry says so, the line has to be gone, present or sealed.
"""

import json
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

from atp.errors import TamperedError
from atp.merkle.encodings import parse_base64
from atp.verify.entry import ERASED, EXPIRED, Ending, SealedEntry
from atp.verify.report import Finding, Findings
from atp.verify.source import Files

_STRING = rb'"(?:[^"\\\x00-\x1f]|\\.)*"'
_LINE = re.compile(
    rb'\{"index":(0|[1-9][0-9]{0,18}),"field":(' + _STRING + rb"),"
    rb'(?:"salt":"([0-9a-f]{64})","value":(.+)|"sealed":"([A-Za-z0-9+/=]+)")\}'
)


@dataclass(frozen=True, slots=True)
class _Line:
    index: int
    field: str
    salt: bytes
    value: bytes | None


class PackReader:
    """Reads one pack in step with the entries: both are in the order of their index."""

    def __init__(self, source: Files, name: str) -> None:
        self.name = name
        self._lines = _read_lines(source, name)
        self._next = next(self._lines, None)

    def take(self, index: int, field: str) -> tuple[list[_Line], _Line | None]:
        """The lines before (index, field), which belong to nothing, and its own line if there is one."""
        passed = list[_Line]()
        while self._next is not None and (self._next.index, self._next.field) < (index, field):
            passed.append(self._next)
            self._next = next(self._lines, None)
        found = (
            self._next if self._next is not None and (self._next.index, self._next.field) == (index, field) else None
        )
        if found:
            self._next = next(self._lines, None)
        return passed, found

    def rest(self) -> Iterator[_Line]:
        """The lines that are left, which belong to nothing."""
        while self._next is not None:
            yield self._next
            self._next = next(self._lines, None)


class PayloadCheck:
    """Takes a log's sealed entries in order, and its endings; `states` counts the fields in each of the four states.

    Where not the whole log is at hand, or not its packs, a payload that is not there is only counted.
    """

    def __init__(self, source: Files, findings: Findings, *, is_whole: bool) -> None:
        self.states = {"present": 0, "sealed": 0, "erased": 0, "expired": 0}
        self._is_whole = is_whole
        self._source = source
        self._findings = findings
        self._packs = dict[str, PackReader]()
        self._names = dict[str, None]()  # of the packs that were read, in order
        self._gone: dict[str, array[int]] = {}
        self._endings = list[Ending]()

    @property
    def has_any(self) -> bool:
        """Whether an entry had a commitment: then it matters which entries end payloads."""
        return bool(self._names)

    def end(self, endings: Sequence[Ending]) -> None:
        """Payloads that an entry of the log ended."""
        self._endings += endings

    def take(self, sealed: Sequence[SealedEntry]) -> None:
        """The next entries' commitments. Costs a hash for each value that is present."""
        for entry in sealed:
            name = f"packs/{entry.retention_class}/{entry.received_at[:7]}.ndjson"
            try:
                pack = self._pack(entry.retention_class, name)
                for field, commitment in entry.fields:
                    self._check(pack, entry.index, field, commitment)
            except TamperedError as error:
                self._findings.add(Finding("payload", name, str(error), entry.index))

    def finish(self) -> None:
        """Everything was taken: what is without a payload must have been ended by a later entry, and nothing else.

        Where entries ended payloads, the packs are read once more.
        """
        for pack in self._packs.values():
            self._close(pack)
        self._check_gone()
        if self._endings:
            for name in self._names:
                self._check_ended(name)

    def _check_gone(self) -> None:
        for field, indexes in self._gone.items():
            erased, expired = (self._ended(field, action) for action in (ERASED, EXPIRED))
            for index in indexes:
                if erased.holds(index):
                    self.states["erased"] += 1
                elif expired.holds(index):
                    self.states["expired"] += 1
                elif not self._is_whole:
                    self.states["not here"] = self.states.get("not here", 0) + 1
                else:
                    reason = f"the payload of {field!r} is gone, and no entry says that it was erased or expired"
                    self._findings.add(Finding("payload", "packs", reason, index))

    @property
    def sentence(self) -> str:
        """How many payloads are in which state; empty when the log has none."""
        return (
            ", ".join(f"{count} {state}" for state, count in self.states.items()) if any(self.states.values()) else ""
        )

    def _pack(self, retention_class: str, name: str) -> PackReader:
        pack = self._packs.get(retention_class)
        if pack is None or pack.name != name:
            if pack is not None:
                self._close(pack)
            self._names[name] = None
            pack = self._packs[retention_class] = PackReader(self._source, name)
        return pack

    def _close(self, pack: PackReader) -> None:
        try:
            self._findings.add(*(_surplus(pack, line) for line in pack.rest()))
        except TamperedError as error:
            self._findings.add(Finding("payload", pack.name, str(error)))

    def _check(self, pack: PackReader, index: int, field: str, commitment: str) -> None:
        passed, line = pack.take(index, field)
        self._findings.add(*(_surplus(pack, other) for other in passed))
        if line is None:
            self._gone.setdefault(field, array("Q")).append(index)
        elif line.value is None:
            self.states["sealed"] += 1
        elif sha256(line.salt + line.value).hexdigest() == commitment:
            self.states["present"] += 1
        else:
            self._findings.add(Finding("payload", pack.name, f"{field!r} is not what the entry commits to", index))

    def _ended(self, field: str, *actions: str) -> "_Ranges":
        return _Ranges((e.start, e.stop) for e in self._endings if e.action in actions and e.is_of(field))

    def _check_ended(self, name: str) -> None:
        """A line must not be there any more where an entry of the log says so."""
        ended = dict[str, _Ranges]()
        with suppress(TamperedError):  # the first reading has said so
            for line in _read_lines(self._source, name):
                if line.field not in ended:
                    ended[line.field] = self._ended(line.field, ERASED, EXPIRED)
                if ended[line.field].holds(line.index):
                    self._findings.add(self._remaining(name, line))

    def _remaining(self, name: str, line: _Line) -> Finding:
        ending = next(e for e in self._endings if e.is_of(line.field) and e.start <= line.index < e.stop)
        state = ending.action.rpartition(".")[2]
        reason = f"{line.field!r} is still there, and entry {ending.index} says that it was {state}"
        return Finding("payload", name, reason, line.index)


class _Ranges:
    """A set of integers, given as ranges; asked in log(ranges) steps."""

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        self._starts, self._stops = list[int](), list[int]()
        for start, stop in sorted(ranges):
            if self._stops and start <= self._stops[-1]:
                self._stops[-1] = max(self._stops[-1], stop)
            else:
                self._starts.append(start)
                self._stops.append(stop)

    def holds(self, number: int) -> bool:
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number < self._stops[at]


def _surplus(pack: PackReader, line: _Line) -> Finding:
    return Finding("payload", pack.name, f"no entry has a commitment for {line.field!r}", line.index)


def _read_lines(source: Files, name: str) -> Iterator[_Line]:
    before = (-1, "")
    for line in source.lines(name):
        read = _read_line(line)
        if (read.index, read.field) <= before:
            raise TamperedError(f"its line for {read.field!r} of entry {read.index} is not in order")
        before = read.index, read.field
        yield read


def _read_line(line: bytes) -> _Line:
    match = _LINE.fullmatch(line)
    if match is None or (match[5] and parse_base64(match[5].decode()) is None):
        raise TamperedError(f"its line {line[:60]!r} is not of the pack's format")
    return _Line(int(match[1]), json.loads(match[2]), bytes.fromhex((match[3] or b"").decode()), match[4])
