"""A restored copy -> a data directory that may be served: verified in its place, its loss known as far as possible."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from atp.errors import InvalidError, RefusedError, TamperedError
from atp.log.event import format_instant
from atp.merkle.checkpoints import open_checkpoint
from atp.merkle.keys import VerifierKey
from atp.merkle.notes import Note
from atp.ops.backups.act.kinds.trail.logs import Held, HeldLog, read_held
from atp.tenants.restored import FORMAT, CopiedLog, Restored, read_restored, write_restored
from atp.verify.directory import check_data_directory
from atp.verify.options import Options
from atp.verify.remember import Memory
from atp.verify.report import Report
from atp.verify.source import read_file
from atp.verify.trust import VKEY_FILE_BYTES_MAX, claimed_checkpoint, parse_vkeys
from atp.verify.workers import cores


@dataclass(frozen=True, slots=True)
class RecoveredLog:
    """A log as it was recovered: its entries, and behind which index the known loss ends; None: none is known."""

    tenant: str
    origin: str
    size: int
    lost_stop: int | None

    @property
    def sentence(self) -> str:
        """What is lost, for a person."""
        if self.lost_stop is None:
            return f"{self.tenant}: {self.size} entries; no newer checkpoint is known, a newer one cannot be ruled out"
        return f"{self.tenant}: {self.size} entries; entries {self.size} to {self.lost_stop - 1} are lost"


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the logs will go on as, once the directory is served, and each log."""

    generation: int
    logs: tuple[RecoveredLog, ...]
    copied_at: str


@dataclass(slots=True)
class _Known:
    """The checkpoints of one log that are known elsewhere, the newest of each origin; `proven` those whose signature
    was checked here."""

    newest: dict[str, bytes] = field(default_factory=dict)
    proven: list[bytes] = field(default_factory=list)

    def add(self, note: bytes, *, is_proven: bool) -> None:
        claimed = claimed_checkpoint(note)
        before = self.newest.get(claimed.origin)
        if before is None or claimed_checkpoint(before).size < claimed.size:
            self.newest[claimed.origin] = note
        if is_proven:
            self.proven.append(note)


def recover(
    restored: Path,
    *,
    backup: str,
    by: str,
    reason: str,
    now: datetime,
    memory: Memory | None = None,
    known: Sequence[bytes] = (),
) -> Recovered:
    """Verify a copy in its place, hold it against every checkpoint known of its logs, and write down what it is.

    `memory` is what this machine verified before, `known` are further signed notes. TamperedError when the copy does
    not verify, or contradicts one of them: then it is no copy of that log. InvalidError for a note of no log here.
    Repeatable. Costs one reading of all.
    """
    marked, held = read_restored(restored), read_held(restored)
    found = _known(restored, held, memory=memory, given=known)
    proven = tuple(note for one in found.values() for note in one.proven)
    _check(check_data_directory(restored, Options(level="payload", known=proven, jobs=cores())))
    generations = [held.generation, *_generations(held, found)]
    generation = max([max(generations) + 1, *([marked.generation] if marked else [])])
    copied_at = marked.copied_at if marked else ""
    logs = {log.tenant: CopiedLog(log.size, _newer(log, held, found[log.tenant])) for log in held.logs}
    at = format_instant(int(now.timestamp() * 1_000_000))
    write_restored(restored, Restored(FORMAT, generation, logs, backup, copied_at, at, by, reason))
    return Recovered(generation, tuple(_recovered(log, found[log.tenant]) for log in held.logs), copied_at)


def _known(restored: Path, held: Held, *, memory: Memory | None, given: Sequence[bytes]) -> dict[str, _Known]:
    """What is known of each log, by tenant."""
    found = {log.tenant: _Known() for log in held.logs}
    keys = {log.tenant: _keys(restored, log, memory) for log in held.logs}
    for note in given:
        log = _log_of(note, held)
        if log is None:
            origin = claimed_checkpoint(note).origin
            raise InvalidError(f"could not use the checkpoint of {origin!r}: there is no such log here")
        if (signed := _signed(note, keys[log.tenant])) is None and claimed_checkpoint(note).origin == log.origin:
            raise TamperedError(
                f"could not use the checkpoint of {log.origin!r}: no key of its log has signed it",
                hint="is it from this log? verify it with its vkey first",
            )
        found[log.tenant].add(signed or note, is_proven=signed is not None)
    for note in memory.notes() if memory else ():  # each was verified when it was remembered, under the keys of then
        if (log := _log_of(note, held)) is not None:
            signed = _signed(note, keys[log.tenant])
            found[log.tenant].add(signed or note, is_proven=signed is not None)
    return found


def _log_of(note: bytes, held: Held) -> HeldLog | None:
    """The log that a checkpoint is of, in whatever generation."""
    origin = claimed_checkpoint(note).origin
    return next((log for log in held.logs if held.generation_of(origin, log.tenant)), None)


def _keys(restored: Path, log: HeldLog, memory: Memory | None) -> tuple[VerifierKey, ...]:
    try:
        found = parse_vkeys(read_file(restored / "logs" / log.tenant / "vkey", bytes_max=VKEY_FILE_BYTES_MAX))
    except (RefusedError, TamperedError):
        found = ()
    return tuple(dict.fromkeys((*found, *(memory.keys(log.origin) if memory else ()))))


def _signed(note: bytes, keys: Sequence[VerifierKey]) -> bytes | None:
    """The note with the signatures of these keys alone; None when there is none."""
    try:
        opened = open_checkpoint(note, origin=claimed_checkpoint(note).origin, log_keys=keys).note
    except (RefusedError, TamperedError):
        return None
    return Note(opened.text, opened.verified).encode()


def _generations(held: Held, found: dict[str, _Known]) -> Iterable[int]:
    """Of which generations anything is known: what somebody restored before may be known by its checkpoints alone."""
    for tenant, known in found.items():
        yield from (held.generation_of(origin, tenant) for origin in known.newest)


def _newer(log: HeldLog, held: Held, known: _Known) -> tuple[str, ...]:
    """The checkpoints of this generation and of later ones; what older ones came to, the log itself says."""
    ours = held.generation_of(log.origin, log.tenant)
    notes = known.newest.items()
    return tuple(note.decode() for origin, note in notes if held.generation_of(origin, log.tenant) >= ours)


def _check(report: Report) -> None:
    if report.is_tampered:
        raise TamperedError(
            f"could not recover {report.place}: {report.first_sentence}",
            hint="take another backup; never serve this copy",
        )


def _recovered(log: HeldLog, known: _Known) -> RecoveredLog:
    newest = known.newest.get(log.origin)
    stop = claimed_checkpoint(newest).size if newest is not None else 0
    return RecoveredLog(log.tenant, log.origin, log.size, stop if stop > log.size else None)
