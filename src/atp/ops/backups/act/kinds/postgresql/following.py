"""Following a server: its write-ahead log is received as it is written, and shipped to the repositories by segments.

`pg_receivewal --synchronous` receives it, through a replication slot, so that nothing is lost while nobody follows. A
segment that stays open is closed within a time (`pg_switch_wal`); when the server is gone, what was received of it is
shipped as it is. Repeatable: a death between the repository and the note of it ships a segment once more.
"""

import io
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from atp.errors import AtpError, InvalidError, UnavailableError
from atp.limits import REPOSITORY_CHUNK_BYTES, SHIPPED_BATCH_BYTES, SHIPPED_NAMES_MAX
from atp.ops.backups.act.kinds.postgresql.connection import Connection
from atp.ops.backups.act.kinds.postgresql.noted import Noted, read_noted, write_noted
from atp.ops.backups.act.kinds.postgresql.programs import (
    environment,
    find_program,
    last_words,
    literal,
    mortal_words,
    next_move,
    query,
)
from atp.ops.backups.act.kinds.postgresql.segments import shipped_name, wal_prefix
from atp.ops.backups.act.kinds.shipping import Shipping
from atp.ops.backups.format.seal import parse_recipients, seal

_SEGMENT = re.compile(r"[0-9A-F]{24}(\.partial)?|[0-9A-F]{8}\.history")
# The last one is what the program says of a timeline that ended just where it wants to go on.
_LOST = re.compile(r"has already been removed|is not in this server's history|\"START_REPLICATION\":$")
_NO_SLOT = re.compile(r"replication slot .* does not exist")
_UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)
_LOOK_SECONDS = 0.5
_STOP_SECONDS = 10
_SAID_BYTES = 4_096


@dataclass(slots=True)
class _Sealed:
    """A segment on its way: kept until every repository has it, so that one which does not answer costs one record."""

    file: str
    name: str
    covers_until: datetime
    data: bytes
    is_recorded: bool = False


@dataclass(slots=True)
class Following:
    """See Follower: one server that is followed."""

    connection: Connection
    shipping: Shipping
    _system: str = ""
    _done: dict[str, set[str]] = field(default_factory=dict)
    _marks: dict[str, datetime] = field(default_factory=dict)
    _sealed: dict[str, _Sealed] = field(default_factory=dict)
    _closed_at: float = 0.0

    def run(self, *, is_over: Callable[[], bool]) -> None:
        """Follow until `is_over`. UnavailableError when it cannot even begin; later troubles are told and retried.

        When the server has thrown away what was not received yet, or is another one with the same data, that is told,
        and it goes on from where the server is: the log has a hole then, and only a new backup is whole again.
        """
        self._begin()
        while not is_over():
            with self._receiving() as is_alive:
                while not is_over() and is_alive() and not self._is_stuck():
                    self.follow_once(is_alive=is_alive)
                    time.sleep(_LOOK_SECONDS)
            is_shipped = self._ship_all() and self._ship_partial()
            if is_over():
                return
            self._begin_again(is_shipped)

    def _begin(self) -> None:
        ((self._system, is_standby),) = query(
            "SELECT system_identifier, pg_is_in_recovery() FROM pg_control_system()", connection=self.connection
        )
        if is_standby == "t":
            raise InvalidError("could not follow the server: it is a standby", hint="follow the primary")
        self._room.mkdir(mode=0o700, parents=True, exist_ok=True)
        noted = read_noted(self._room)
        self._done = {name: set(noted.shipped.get(name, ())) for name in self.shipping.repositories}
        self._marks = dict(noted.marks)
        self._switch()  # whoever may not do that is told so before a slot is there that keeps the log
        self._make_slot()
        self._switch()

    def _begin_again(self, is_shipped: bool) -> None:
        """The receiver has ended, or cannot go on from what it has: once that is shipped, it begins anew."""
        time.sleep(_LOOK_SECONDS)
        try:
            if self._is_lost() and is_shipped:
                self._begin_anew()
            self._make_slot()
        except AtpError as error:
            self.shipping.tell(str(error))

    def follow_once(self, *, is_alive: Callable[[], bool]) -> None:
        """Ship what is whole; close the open segment when it is time, or ship what there is when that cannot be."""
        is_shipped = self._ship_all()
        if time.monotonic() - self._closed_at < self.shipping.within.total_seconds():
            return
        try:
            self._close_segment(is_alive, is_shipped=is_shipped)
            if is_shipped:
                self.shipping.is_well()
        except AtpError as error:
            self.shipping.tell(str(error))
            self._ship_partial()

    def _close_segment(self, is_alive: Callable[[], bool], *, is_shipped: bool) -> None:
        closed = self._switch()
        if closed is None or not is_alive():
            raise UnavailableError(f"could not receive the write-ahead log: {said(self._room)}")
        segment, at = closed
        if is_shipped and all(segment in done for done in self._done.values()):
            self.shipping.shipped(segment, at)  # nothing was written since: the server is idle, and all is there

    def _switch(self) -> tuple[str, datetime] | None:
        """Close the open segment, and mark that all that was committed by now, by the server's clock, is in it or
        before it: this segment, and when; None when nobody receives. When it was received tells nothing: that may be
        much later. Of an idle server it is the one that was closed before: its log ends with it."""
        self._closed_at = time.monotonic()
        rows = query(
            "SELECT active, extract(epoch FROM statement_timestamp()), pg_walfile_name(pg_switch_wal() - 1)"
            f" FROM pg_replication_slots WHERE slot_name = {literal(slot_of(self.shipping.dataset))}",
            connection=self.connection,
        )
        found = [(segment, datetime.fromtimestamp(0, UTC) + timedelta(seconds=float(at))) for _, at, segment in rows]
        for segment, at in found:
            self._mark(segment, at)
        self._note()
        return found[0] if rows and rows[0][0] == "t" else None

    def _mark(self, segment: str, at: datetime) -> None:
        self._marks[segment[8:]] = max(at, self._marks.get(segment[8:], at))

    def _covers_until(self, segment: str, *, is_partial: bool) -> datetime:
        """The newest mark at or before a segment. One that is not whole may lack what its own mark stands for, and
        stays behind the whole one in the order of their names."""
        place = segment[8:]
        if segment.endswith(".history"):
            return min(self._marks.values(), default=_UNKNOWN)
        marks = [at for mark, at in self._marks.items() if mark < place or (mark == place and not is_partial)]
        return max(marks, default=_UNKNOWN) - timedelta(microseconds=1 if is_partial and marks else 0)

    @property
    def _room(self) -> Path:
        return self.shipping.room / self._system

    def _is_lost(self) -> bool:
        return _LOST.search(said(self._room)) is not None

    def _is_stuck(self) -> bool:
        return self._is_lost() or _NO_SLOT.search(said(self._room)) is not None

    def _begin_anew(self) -> None:
        self.shipping.trouble(
            f"could not receive all of the write-ahead log of {self.shipping.dataset}: the server has removed what was"
            " missing, or went another way; it may have a hole until the next backup (hint: atp backup run now)"
        )
        for path in self._room.iterdir():
            path.unlink()

    def _note(self) -> None:
        write_noted(self._room, Noted(shipped={n: frozenset(d) for n, d in self._done.items()}, marks=self._marks))

    def _make_slot(self) -> None:
        """The slot, which nobody else uses. Made in SQL it keeps the log from the last checkpoint on; the program would
        make one that keeps nothing until it is used, but shows that we are let in for replication."""
        slot = literal(slot_of(self.shipping.dataset))
        made = query(
            f"SELECT pg_create_physical_replication_slot({slot}, true)"
            f" WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = {slot})",
            connection=self.connection,
        )
        words = [
            find_program("pg_receivewal"),
            "--create-slot",
            "--if-not-exists",
            "-S",
            slot_of(self.shipping.dataset),
        ]
        words += ["--no-password"]
        done = subprocess.run(words, capture_output=True, env=environment(self.connection), timeout=60)
        if done.returncode != 0:
            if made:  # nobody would receive what it keeps
                query(f"SELECT pg_drop_replication_slot({slot})", connection=self.connection)
            why = last_words(done.stderr)
            raise UnavailableError(
                f"could not follow the server: {why}",
                hint=next_move(
                    why, otherwise="the role has to have REPLICATION, wal_level has to be replica or logical"
                ),
            )
        for (pid,) in query(
            f"SELECT active_pid FROM pg_replication_slots WHERE slot_name = {slot} AND active",
            connection=self.connection,
        ):
            raise UnavailableError(
                f"could not follow the server: somebody else does, its PID {pid} has slot"
                f" {slot_of(self.shipping.dataset)}",
                hint="end the other one; the server lets go of one that died within wal_sender_timeout",
            )

    @contextmanager
    def _receiving(self) -> Iterator[Callable[[], bool]]:
        """A program that receives; it connects again by itself when the server comes back."""
        self._drop_torn()
        words = [
            *mortal_words(),
            find_program("pg_receivewal"),
            "-D",
            str(self._room),
            "-S",
            slot_of(self.shipping.dataset),
        ]
        words += ["--synchronous", "--no-password"]
        with (self._room / "receivewal.log").open("wb") as log:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment(self.connection), "PGAPPNAME": slot_of(self.shipping.dataset)},
            )
            try:
                yield lambda: process.poll() is None
            finally:
                process.terminate()
                try:
                    process.wait(timeout=_STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _drop_torn(self) -> None:
        """A receiver that was killed while it made room for a segment leaves one of another size, and every later one
        refuses to go on from it. It holds nothing: room is made before the first byte."""
        ((size,),) = query(
            "SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'", connection=self.connection
        )
        for path in self._room.glob("*.partial"):
            if path.stat().st_size not in (0, int(size)):
                path.unlink()

    def _ship_all(self) -> bool:
        """Every whole segment, in the order of the log, and whether that could be; the newest stays here, for the
        receiver to go on from."""
        whole = sorted(path for path in self._room.iterdir() if _SEGMENT.fullmatch(path.name))
        whole = [path for path in whole if path.suffix != ".partial"]
        try:
            self._ship(whole, is_partial=False)
        except AtpError as error:
            self.shipping.tell(str(error))
            return False
        segments = [path for path in whole if path.suffix != ".history"]
        for path in segments[:-1]:
            path.unlink()
        if len(segments) > 1:
            self._forget_before(segments[-1].name)
        return True

    def _forget_before(self, segment: str) -> None:
        """What is shipped and gone from here is not asked for again."""
        for name, done in self._done.items():
            self._done[name] = {key for key in done if key.endswith(".history") or key[:24] >= segment}
        newest = max((at for mark, at in self._marks.items() if mark <= segment[8:]), default=_UNKNOWN)
        self._marks = {segment[8:]: newest, **{mark: at for mark, at in self._marks.items() if mark > segment[8:]}}

    def _ship_partial(self) -> bool:
        is_shipped = True
        for path in self._room.glob("*.partial"):
            try:
                self._ship([path], is_partial=True)
            except FileNotFoundError:
                is_shipped = False  # it became whole meanwhile, and is shipped as that
            except AtpError as error:
                self.shipping.tell(str(error))
                is_shipped = False
        return is_shipped

    def _ship(self, paths: Iterable[Path], *, is_partial: bool) -> None:
        """Seal what some repository has not got; several that are small are written down at once, then stored."""
        for path in paths:
            held = self._sealed.values()
            if len(held) >= SHIPPED_NAMES_MAX or sum(len(one.data) for one in held) >= SHIPPED_BATCH_BYTES:
                self._store_sealed()
            key = _key(path, is_partial)
            if self._missing(key) and key not in self._sealed:
                self._sealed[key] = self._seal(path, is_partial=is_partial)
        self._store_sealed()

    def _missing(self, key: str) -> list[str]:
        """The repositories that have neither this file nor, of one that is not whole, the whole one."""
        segment = key.partition(".partial@")[0]
        return [name for name, done in self._done.items() if not {segment, key} & done]

    def _seal(self, path: Path, *, is_partial: bool) -> _Sealed:
        segment, sealed = path.name.removesuffix(".partial"), io.BytesIO()
        covers_until = self._covers_until(segment, is_partial=is_partial)
        with path.open("rb") as file:
            chunks = iter(lambda: file.read(REPOSITORY_CHUNK_BYTES), b"")
            seal(chunks, recipients=parse_recipients(self.shipping.recipients), into=sealed)
        data, prefix = sealed.getvalue(), wal_prefix(self.shipping.dataset, self._system)
        digest = sha256(data).hexdigest()
        name = shipped_name(prefix, segment, is_partial=is_partial, covers_until=covers_until, sha256=digest)
        return _Sealed(path.name, name, covers_until, data)

    def _store_sealed(self) -> None:
        """No evidence, no act: nothing is stored before all of it is written down."""
        if new := [one for one in self._sealed.values() if not one.is_recorded]:
            self.shipping.record([one.name for one in new])
            for one in new:
                one.is_recorded = True
        for key, one in list(self._sealed.items()):
            for repository in self._missing(key):
                self.shipping.store(self.shipping.repositories[repository], one.name, [one.data])
                self._done[repository].add(key)
            self._note()
            del self._sealed[key]
            if not one.file.endswith(".history"):
                self.shipping.shipped(one.file, one.covers_until)


def slot_of(dataset: str) -> str:
    """The replication slot that keeps the log for us; the server takes small letters, digits and underscores."""
    return f"atp_{re.sub('[^a-z0-9_]', '_', dataset.lower())}"[:63]


def said(room: Path) -> str:
    """What the receiver said last."""
    try:
        with (room / "receivewal.log").open("rb") as file:
            file.seek(max(0, file.seek(0, io.SEEK_END) - _SAID_BYTES))
            return last_words(file.read())
    except OSError:
        return ""


def _key(path: Path, is_partial: bool) -> str:
    """A partial segment is another one whenever something was added to it: taken before its bytes are read."""
    return f"{path.name}@{path.stat().st_mtime_ns}" if is_partial else path.name
