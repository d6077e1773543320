"""Following a server: its write-ahead log is received as it is written, and shipped to the repositories by segments.

`pg_receivewal --synchronous` receives it, through a replication slot, so that nothing is lost while nobody follows. A
segment that stays open is closed within a time (`pg_switch_wal`); when the server is gone, what was received of it is
shipped as it is. Repeatable: what was shipped already is not shipped again.
"""

import io
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from atp.errors import AtpError, ConflictError, UnavailableError
from atp.limits import BACKUP_LINE_BYTES_MAX, REPOSITORY_CHUNK_BYTES
from atp.ops.backups.act.kinds.postgresql.connection import Connection
from atp.ops.backups.act.kinds.postgresql.programs import (
    environment,
    find_program,
    last_words,
    literal,
    mortal_words,
    query,
)
from atp.ops.backups.act.kinds.postgresql.segments import list_shipped, shipped_name, wal_prefix
from atp.ops.backups.format.seal import parse_recipients, seal
from atp.ports.clock import Clock
from atp.ports.repository import Repository, whole_second

_SEGMENT = re.compile(r"[0-9A-F]{24}(\.partial)?|[0-9A-F]{8}\.history")
_REMOVED = "has already been removed"
_LOOK_SECONDS = 0.5
_STOP_SECONDS = 10


@dataclass(slots=True)
class Following:
    """One dataset that is followed. `room` is a private directory that outlives this process; `within`: how long a
    commit may wait before it is in the repositories."""

    dataset: str
    connection: Connection
    repositories: Mapping[str, Repository]
    recipients: Sequence[str]
    retention: timedelta | None
    room: Path
    clock: Clock
    within: timedelta
    shipped: Callable[[str, datetime], object]
    trouble: Callable[[str], object]
    _system: str = ""
    _done: dict[str, set[str]] = field(default_factory=dict)
    _closed_at: float = 0.0
    _told: str = ""

    def run(self, *, is_over: Callable[[], bool]) -> None:
        """Follow until `is_over`. UnavailableError when it cannot even begin; later troubles are told and retried.

        When the server has thrown away what was not received yet, that is told, and it goes on from where the server
        is: the log has a hole then, and only a new backup is whole again.
        """
        ((self._system,),) = query("SELECT system_identifier FROM pg_control_system()", connection=self.connection)
        self._room.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._find_shipped()
        while not is_over():
            self._make_slot()
            with self._receiving() as is_alive:
                while not is_over() and not self._is_behind():
                    self.follow_once(is_alive=is_alive)
                    time.sleep(_LOOK_SECONDS)
            self._ship_all()
            self._ship_partial()
            if self._is_behind():
                self._begin_anew()

    def follow_once(self, *, is_alive: Callable[[], bool]) -> None:
        """Ship what is whole; close the open segment when it is time, or ship what there is when that cannot be."""
        self._ship_all()
        if time.monotonic() - self._closed_at < self.within.total_seconds():
            return
        self._closed_at = time.monotonic()
        try:
            self._close_segment(is_alive)
            self._told = ""
        except AtpError as error:
            self._tell(str(error))
            self._ship_partial()

    def _close_segment(self, is_alive: Callable[[], bool]) -> None:
        slot = literal(slot_of(self.dataset))
        ((is_active,),) = query(
            f"SELECT active FROM pg_replication_slots, pg_switch_wal() WHERE slot_name = {slot}",
            connection=self.connection,
        ) or [["f"]]
        if is_active != "t" or not is_alive():
            raise UnavailableError(f"could not receive the write-ahead log: {said(self._room)}")

    @property
    def _room(self) -> Path:
        return self.room / self._system

    def _is_behind(self) -> bool:
        return _REMOVED in said(self._room)

    def _begin_anew(self) -> None:
        self.trouble(
            f"could not receive all of the write-ahead log of {self.dataset}: the server has removed what was missing;"
            " it has a hole until the next backup (hint: atp backup run now)"
        )
        for path in self._room.iterdir():
            path.unlink()

    def _find_shipped(self) -> None:
        for name, repository in self.repositories.items():
            found = list_shipped(repository, self._prefix)
            self._done[name] = {one.segment for one in found if not one.is_partial}

    @property
    def _prefix(self) -> str:
        return wal_prefix(self.dataset, self._system)

    def _make_slot(self) -> None:
        words = [find_program("pg_receivewal"), "--create-slot", "--if-not-exists", "-S", slot_of(self.dataset)]
        done = subprocess.run(words, capture_output=True, env=environment(self.connection), timeout=60)
        if done.returncode != 0:
            raise UnavailableError(
                f"could not follow the server: {last_words(done.stderr)}",
                hint="the role has to have REPLICATION, wal_level has to be replica or logical",
            )

    @contextmanager
    def _receiving(self) -> Iterator[Callable[[], bool]]:
        """A program that receives; it connects again by itself when the server comes back."""
        words = [*mortal_words(), find_program("pg_receivewal"), "-D", str(self._room), "-S", slot_of(self.dataset)]
        words += ["--synchronous", "--no-password"]
        with (self._room / "receivewal.log").open("wb") as log:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment(self.connection), "PGAPPNAME": slot_of(self.dataset)},
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

    def _ship_all(self) -> None:
        """Every whole segment, in the order of the log; the newest stays here, for the receiver to go on from."""
        whole = sorted(path for path in self._room.iterdir() if _SEGMENT.fullmatch(path.name))
        whole = [path for path in whole if path.suffix != ".partial"]
        for path in whole:
            try:
                self._ship(path, is_partial=False)
            except AtpError as error:
                return self._tell(str(error))
        for path in whole[:-1]:
            if path.suffix != ".history":
                path.unlink()
        return None

    def _ship_partial(self) -> None:
        for path in self._room.glob("*.partial"):
            try:
                self._ship(path, is_partial=True)
            except FileNotFoundError:
                pass  # it became whole meanwhile, and is shipped as that
            except AtpError as error:
                self._tell(str(error))

    def _ship(self, path: Path, *, is_partial: bool) -> None:
        """To each repository that has not got it. The time that it covers is when its last byte was received."""
        segment = path.name.removesuffix(".partial")
        missing = [
            name for name, done in self._done.items() if segment not in done and _key(path, is_partial) not in done
        ]
        if not missing:
            return
        covers_until = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        sealed = io.BytesIO()
        with path.open("rb") as file:
            chunks = iter(lambda: file.read(REPOSITORY_CHUNK_BYTES), b"")
            seal(chunks, recipients=parse_recipients(self.recipients), into=sealed)
        data = sealed.getvalue()
        digest = sha256(data).hexdigest()
        name = shipped_name(self._prefix, segment, is_partial=is_partial, covers_until=covers_until, sha256=digest)
        for repository in missing:
            self._store(self.repositories[repository], name, data)
            self._done[repository].add(_key(path, is_partial))
        self.shipped(path.name, covers_until)

    def _store(self, repository: Repository, name: str, data: bytes) -> None:
        keep_until = whole_second(self.clock.now() + self.retention) if self.retention else None
        try:
            with repository.store(name, keep_until=keep_until) as sink:
                sink.write(data)
        except ConflictError:
            pass  # the same bytes under the same name

    def _tell(self, trouble: str) -> None:
        """Each trouble once, until it is over."""
        if trouble != self._told:
            self._told = trouble
            self.trouble(trouble)


def slot_of(dataset: str) -> str:
    """The replication slot that keeps the log for us; the server takes small letters, digits and underscores."""
    return f"atp_{re.sub('[^a-z0-9_]', '_', dataset.lower())}"[:63]


def said(room: Path) -> str:
    """What the receiver said last."""
    try:
        return last_words((room / "receivewal.log").read_bytes()[-BACKUP_LINE_BYTES_MAX:])
    except OSError:
        return ""


def _key(path: Path, is_partial: bool) -> str:
    """A partial segment is another one whenever something was added to it."""
    return f"{path.name}@{path.stat().st_mtime_ns}" if is_partial else path.name
