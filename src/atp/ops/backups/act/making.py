"""Making a backup: pack, compress, encrypt and store a dataset, lock what was stored, and publish the manifest last.

A backup is repeatable. A run that dies leaves parts without a manifest, which are no backup: the next run removes them.
"""

import platform
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from itertools import chain

from msgspec import UNSET, UnsetType

from atp import __version__
from atp.errors import AtpError, ForbiddenError
from atp.limits import BACKUP_ORPHAN_SECONDS, BACKUP_PART_BYTES_MAX
from atp.ops.backups.act.erasing import check_lets_go
from atp.ops.backups.act.kinds.shape import Capture
from atp.ops.backups.act.listing import unfinished_backups
from atp.ops.backups.act.parts import Parts, check_parts, read_parts, remove_backup, store_manifest
from atp.ops.backups.act.pruning import expired, remove
from atp.ops.backups.act.step import Data, Record, Step, carry_out
from atp.ops.backups.act.workplace import Workplace, writing
from atp.ops.backups.declare import Declared
from atp.ops.backups.evidence import Made
from atp.ops.backups.format.contents import FORMAT as CONTENTS_FORMAT
from atp.ops.backups.format.contents import Head, Tail, encode_line
from atp.ops.backups.format.manifest import (
    FORMAT,
    Manifest,
    Part,
    backup_prefix,
    begun_at,
    encode_manifest,
    how_to_restore,
    manifest_sha256,
)
from atp.ops.backups.format.seal import ZSTD_VERSION, parse_recipients, seal
from atp.ops.backups.format.stream import chunks_of
from atp.ops.estate.evidence.due import grace_of
from atp.ports.clock import Clock
from atp.ports.repository import Repository, whole_second

_RANDOM_BYTES = 6


@dataclass(frozen=True, slots=True)
class Observed:
    """Backups in the repository that nobody will finish, by id."""

    unfinished: tuple[str, ...] = ()


def new_backup_id(clock: Clock) -> str:
    """An id that sorts by its time and that nobody can predict."""
    return f"{clock.now():%Y%m%dT%H%M%SZ}-{clock.random_bytes(_RANDOM_BYTES).hex()}"


def observe(repository: Repository, *, dataset: str, dead: str | None, now: datetime) -> Observed:
    """What runs left behind: the one that died on this machine, and others when they are older than two days."""
    unfinished = unfinished_backups(repository, dataset=dataset)
    return Observed(tuple(sorted(backup for backup in unfinished if backup == dead or _is_old(backup, now))))


def plan(declared: Declared, observed: Observed, capture: Capture) -> list[Step]:
    """The steps of a run. Pure."""
    steps = list[Step]()
    if observed.unfinished:
        steps.append(Step("sweep", f"remove what was left of {', '.join(observed.unfinished)}"))
    steps += capture.steps
    steps.append(Step("store", f"compress, encrypt to {len(declared.recipients)} recipients, store"))
    if declared.locked_for is not None:
        steps.append(Step("lock", f"keep every part until {declared.locked_for.days} days after its end"))
    steps.append(Step("publish", "store the manifest: from now on it is a backup"))
    steps += [Step(f"copy to {name}", f"copy it to {name}, digests compared") for name in declared.copies_in]
    if declared.is_erasable:
        steps.append(Step("expire", "remove every copy whose time is over before the next one is made"))
    return steps


@dataclass(slots=True)
class Run:
    """One run: the steps of `plan` as methods. `repositories`: all that are declared, by name; `moved` gets bytes."""

    declared: Declared
    observed: Observed
    capture: Capture
    repositories: Mapping[str, Repository]
    place: Workplace
    clock: Clock
    moved: Callable[[int], object]
    made: Made
    part_bytes_max: int = BACKUP_PART_BYTES_MAX
    copied_to: list[str] = field(default_factory=list)
    _data: list[Part] = field(default_factory=list)
    _contents: list[Part] = field(default_factory=list)
    _keep_until: datetime | None = None

    def carry_out(self, steps: Sequence[Step], *, record: Record) -> Made:
        """Do the steps. When one fails, what was stored is removed again, as far as it can be. ForbiddenError, before
        anything is stored, when a repository would lock what may never be locked."""
        check_lets_go(self.declared, self.repositories)
        doing: dict[str, Callable[[], Data | None]] = {
            "sweep": self._sweep,
            **self.capture.doing,
            "store": self._store,
            "lock": self._lock,
            "publish": self._publish,
            **{f"copy to {name}": self._copy_to(name) for name in self.declared.copies_in},
            "expire": self._expire,
        }
        self.place.begin(self.made.backup)
        try:
            carry_out(steps, doing, record=record)
        except BaseException:
            if self.made.manifest is None:
                with suppress(AtpError):
                    remove_backup(self._repository, self._prefix)
            raise
        return self.made

    @property
    def _repository(self) -> Repository:
        return self.repositories[self.declared.repository]

    @property
    def _prefix(self) -> str:
        return backup_prefix(self.declared.dataset, self.made.backup)

    def _sweep(self) -> Data:
        for backup in self.observed.unfinished:
            try:
                remove_backup(self._repository, backup_prefix(self.declared.dataset, backup))
            except AtpError as error:  # it was locked already: the next run after its day removes it
                self.made.warnings.append(f"what is left of {backup} stays for now: {error}")
        return {"removed": list(self.observed.unfinished)}

    def _store(self) -> Data:
        recipients, listed = parse_recipients(self.declared.recipients), self.place.folder / "contents"
        with writing(listed), listed.open("xb") as file:
            with Parts(self._repository, self._prefix, "data", part_bytes_max=self.part_bytes_max) as parts:
                stream = self.capture.stream(self.made, lambda entry: file.write(encode_line(entry)))
                seal(stream, recipients=recipients, into=parts)
            file.write(encode_line(Tail(entries=self.made.entries, total_bytes=self.made.total_bytes)))
        with Parts(self._repository, self._prefix, "contents", part_bytes_max=self.part_bytes_max) as contents:
            seal(chain([encode_line(self._head())], chunks_of(listed)), recipients=recipients, into=contents)
        self._data, self._contents = parts.stored, contents.stored
        return {"stored_bytes": sum(part.size_bytes for part in self._data), "entries": self.made.entries}

    def _head(self) -> Head:
        return Head(
            format=CONTENTS_FORMAT,
            backup=self.made.backup,
            dataset=self.declared.dataset,
            source=self.declared.source_words,
            consistent_at=self.capture.consistent_at,
            database=self.capture.database,
            names=self.capture.names,
        )

    def _lock(self) -> Data:
        assert self.declared.locked_for is not None
        self._keep_until = whole_second(self.clock.now() + self.declared.locked_for)
        for part in (*self._contents, *self._data):
            self._repository.extend(self._prefix + part.name, self._keep_until)
        return {"keep_until": self._keep_until.isoformat(), "lock": self._repository.lock}

    def _publish(self) -> Data:
        manifest = self._manifest()
        data = encode_manifest(manifest)
        store_manifest(self._repository, manifest, data, keep_until=self._keep_until)
        self.made.manifest, self.made.manifest_sha256 = manifest, manifest_sha256(data)
        return {"manifest_sha256": self.made.manifest_sha256}

    def _manifest(self) -> Manifest:
        return Manifest(
            format=FORMAT,
            backup=self.made.backup,
            dataset=self.declared.dataset,
            kind=self.declared.kind,
            begun_at=begun_at(self.made.backup),
            ended_at=self.clock.now(),
            consistent_at=self.capture.consistent_at,
            data=tuple(self._data),
            contents=tuple(self._contents),
            recipients=self.declared.recipients,
            tools=tools(),
            how_to_restore=how_to_restore(self.declared.kind),
            keep_until=self._keep_until,
            gone_by=self._gone_by(),
            cluster=self.capture.cluster,
        )

    def _gone_by(self) -> datetime | UnsetType:
        after = self.declared.gone_after
        return UNSET if after is None else begun_at(self.made.backup) + after

    def _copy_to(self, name: str) -> Callable[[], Data]:
        def copy() -> Data:
            assert self.made.manifest is not None
            target = self.repositories[name]
            replicate(self.made.manifest, self._repository, target, moved=self.moved)
            self.copied_to.append(name)
            return {"repository": name, "lock": "none" if self.declared.is_erasable else target.lock}

        return copy

    def _expire(self) -> Data:
        """Runs follow each other by the schedule, so what is over before the next one goes with this one."""
        by, removed = self.clock.now() + self.declared.every + grace_of(self.declared.every), list[str]()
        for name, repository in self.repositories.items():
            for one in expired(repository, self.declared, now=by):
                if one.backup == self.made.backup:
                    continue
                try:
                    remove(repository, one, dataset=self.declared.dataset)
                    removed.append(f"{one.backup} in {name}")
                except ForbiddenError as error:  # it was locked before the dataset was erasable
                    self.made.warnings.append(f"{one.backup} stays in {name}, and has to be gone: {error}")
        return {"removed": removed}


def replicate(manifest: Manifest, source: Repository, target: Repository, *, moved: Callable[[int], object]) -> None:
    """Copy a backup to another repository as it is, digests checked on the way; it is locked there before its manifest
    is stored. What a copy that failed left behind there is replaced."""
    remove_backup(target, manifest.prefix)
    for part in manifest.parts():
        with target.store(manifest.prefix + part.name) as sink:
            for chunk in read_parts(source, manifest, [part], moved=moved):
                sink.write(chunk)
    check_parts(target, manifest, list(manifest.parts()), moved=moved)
    if manifest.keep_until is not None:
        for part in manifest.parts():
            target.extend(manifest.prefix + part.name, manifest.keep_until)
    store_manifest(target, manifest, encode_manifest(manifest), keep_until=manifest.keep_until)


def tools() -> dict[str, str]:
    """What a backup is made with."""
    return {
        "atp": __version__,
        "python": platform.python_version(),
        "pyrage": version("pyrage"),
        "zstd": ZSTD_VERSION,
        "sqlite": sqlite3.sqlite_version,
    }


def _is_old(backup: str, now: datetime) -> bool:
    try:
        return (now - begun_at(backup)).total_seconds() > BACKUP_ORPHAN_SECONDS
    except AtpError:
        return False
