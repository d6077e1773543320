"""A server of our own over a restored cluster: on a private socket, behind a fence, under settings of ours alone.

Nothing that came with the backup is obeyed: neither its configuration nor its access rules nor its commands. The server
refuses to run as root, so root's files are shown to it as those of another user (a user namespace).
"""

import errno
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from atp.durable import disk_move
from atp.errors import MalformedError, UnavailableError
from atp.limits import BACKUP_LINE_BYTES_MAX, POSTGRESQL_START_SECONDS
from atp.ops.backups.act.kinds.postgresql.connection import Connection
from atp.ops.backups.act.kinds.postgresql.programs import environment, find_program, last_words, mortal_words, query
from atp.ops.backups.act.workplace import is_without_room
from atp.ops.backups.format.contents import Names

NOBODY = 65_534
_LOOK_SECONDS, _LOOK_SECONDS_MAX, _LOOKS = 0.02, 1.0, 50  # a fiftieth of what it took so far
_STOP_SECONDS = 300
_KNOCKED = b"FATAL:  the database system is "  # what it says to us while we ask whether it lets somebody in
_PREPARED_MIN = 1_000  # the log may tell of more prepared transactions than were allowed when the backup began
_LOG_MIB, _LOG_MIB_MAX = 80, 1_024  # as by default; a server wants at least two segments
_PLACE_BYTES_MAX = 75  # the path of a socket has 107, and our names take the rest
_AUTO = "postgresql.auto.conf"
_STANDBY = "standby.signal"
_WORDS = "postmaster.opts"
_RULES = "local all all trust\n"
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "port": "5432",
    "hot_standby": "off",  # whoever is let in finds a server whose recovery has ended
    "archive_mode": "off",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "logging_collector": "off",
    "log_destination": "stderr",
    "ssl": "off",
    "restart_after_crash": "off",
    "max_logical_replication_workers": "0",  # its subscriptions would fetch from production what production has to keep
}


@dataclass(frozen=True, slots=True)
class Instance:
    """A server that answers; `said` is what it wrote until it did."""

    connection: Connection
    said: str

    def ask(self, sql: str, *, options: Mapping[str, str] = {}) -> list[list[str]]:
        """See `query`."""
        return query(sql, connection=self.connection, options=options)


@contextmanager
def running(data: Path, names: Names, *, settings: Mapping[str, str] | None = None) -> Iterator[Instance]:
    """Start a server over `data`, and stop it when the block ends, with its files as a clean stop leaves them.

    UnavailableError when it cannot run here; MalformedError in its own words when it ends by itself, and so before a
    target that its log does not reach. Answers only once its recovery has ended.
    """
    place = _room(data)
    try:
        with _ours(data), _aside(data / _AUTO), _started(data, place, settings or {}) as process:
            connection = Connection(
                {"PGHOST": str(place), "PGPORT": "5432", "PGUSER": names.superuser} | {"PGDATABASE": names.database}
            )
            _wait(process, connection, place / "log", data)
            try:
                yield Instance(connection, _said(place / "log").decode(errors="replace"))
            finally:
                _stop(process, place / "log", data)
    finally:
        (data / _WORDS).unlink(missing_ok=True)  # `pg_ctl restart` would start it with ours
        shutil.rmtree(place, ignore_errors=True)


def _room(data: Path) -> Path:
    """A private directory for the socket: beside the cluster, where the next restore clears what a death leaves, unless
    the path would be too long for a socket."""
    places = (data.parent, Path(tempfile.gettempdir()), Path("/tmp"))
    short = next(place for place in places if len(os.fsencode(place)) <= _PLACE_BYTES_MAX or place is places[-1])
    return Path(tempfile.mkdtemp(prefix="atp-pg-", dir=short))


def fence_words() -> list[str]:
    """What starts the server where the network is not, as a user whom it accepts."""
    unshare = shutil.which("unshare")
    is_root = os.geteuid() == 0
    mapped = [f"--map-user={NOBODY}", f"--map-group={NOBODY}"] if is_root else ["--map-current-user"]
    words = [unshare or "unshare", "--user", *mapped, "--net"]
    with suppress(OSError, subprocess.SubprocessError):
        if unshare and subprocess.run([*words, "true"], capture_output=True, timeout=10).returncode == 0:
            return words
    if is_root:
        raise UnavailableError(
            "could not start PostgreSQL: it refuses to run as root, and the kernel refuses a user namespace",
            hint="run this as the user postgres",
        )
    return []


def major_of(data: Path) -> int:
    """The version that a cluster is of. MalformedError when it is none."""
    try:
        return int((data / "PG_VERSION").read_text()[:10])
    except (OSError, ValueError):
        raise MalformedError(f"could not find a cluster in {data.name}: it has no PG_VERSION") from None


def control_of(data: Path) -> dict[str, str]:
    """What the control file of a cluster says, by its names for it. MalformedError when it says nothing."""
    words = [find_program("pg_controldata", major=major_of(data)), "-D", str(data)]
    done = subprocess.run(words, capture_output=True, env=environment(), timeout=_STOP_SECONDS)
    if done.returncode != 0:
        raise MalformedError(f"could not read the control file of the cluster: {last_words(done.stderr)}")
    pairs = (line.partition(":") for line in done.stdout.decode(errors="replace").splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _as_it_was(data: Path) -> dict[str, str]:
    """What a server cannot have less of than the one before, without losing something or refusing to start."""
    found = control_of(data)
    segment_bytes = int(found["Bytes per WAL segment"])
    return {
        "min_wal_size": f"{max(_LOG_MIB, 2 * segment_bytes >> 20)}MB",
        "max_wal_size": f"{max(_LOG_MIB_MAX, 4 * segment_bytes >> 20)}MB",
        "max_prepared_transactions": str(max(_PREPARED_MIN, int(found["max_prepared_xacts setting"]))),
        "max_locks_per_transaction": found["max_locks_per_xact setting"],
        "track_commit_timestamp": found["track_commit_timestamp setting"],
    }


@contextmanager
def _started(data: Path, place: Path, settings: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    major = major_of(data)
    (place / "pg_hba.conf").write_text(_RULES)
    (place / "pg_ident.conf").touch()
    files = {"hba_file": str(place / "pg_hba.conf"), "ident_file": str(place / "pg_ident.conf")}
    all_settings = {**_SETTINGS, **_as_it_was(data), **files, "unix_socket_directories": str(place), **settings}
    (place / "postgresql.conf").write_text(
        "".join(f"{name} = {_value(value)}\n" for name, value in all_settings.items())
    )
    words = [*fence_words(), *mortal_words(), find_program("postgres", major=major), "-D", str(data)]
    words += [f"--config_file={place / 'postgresql.conf'}"]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(), start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", connection: Connection, log: Path, data: Path) -> None:
    """Until it lets somebody in, whoever that is: before the end of its recovery it refuses all. The longer it takes,
    the less often it is asked, so that asking costs it nothing."""
    began = time.monotonic()
    words, variables = [find_program("pg_isready"), "-q"], environment(connection)
    socket = Path(connection.address)
    while process.poll() is None:
        if socket.exists() and subprocess.run(words, env=variables).returncode == 0:
            return
        waited = time.monotonic() - began
        if waited > POSTGRESQL_START_SECONDS:
            raise UnavailableError("could not start PostgreSQL: its recovery does not end")
        time.sleep(min(max(waited / _LOOKS, _LOOK_SECONDS), _LOOK_SECONDS_MAX))
    raise _failed("could not recover the cluster", log, data)


def _failed(what: str, log: Path, data: Path) -> MalformedError | UnavailableError:
    """Why it ended, in its own words: a full disk tells nothing of the cluster."""
    said = b"\n".join(line for line in _said(log).splitlines() if _KNOCKED not in line)
    if is_without_room(said.decode(errors="replace")):
        words = b"\n".join(line for line in said.splitlines() if is_without_room(line.decode(errors="replace")))
        hint = disk_move(OSError(errno.ENOSPC, ""), data, otherwise="choose another place")
        return UnavailableError(f"{what}: {last_words(words)}", hint=hint)
    return MalformedError(f"{what}: {last_words(said)}")


def _stop(process: "subprocess.Popen[bytes]", log: Path, data: Path) -> None:
    """A fast shutdown: a checkpoint, and everything on the disk."""
    process.send_signal(signal.SIGINT)
    try:
        ended = process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        raise UnavailableError("could not stop the restored PostgreSQL: it does not end") from None
    if ended != 0:
        raise _failed("could not stop the restored PostgreSQL", log, data)


@contextmanager
def _ours(data: Path) -> Iterator[None]:
    """Root's files for as long as the server runs, and then again those of whom they were."""
    found = data.stat()
    if os.geteuid() != 0 or found.st_uid == 0:
        yield
        return
    give(data, 0, 0)
    try:
        yield
    finally:
        give(data, found.st_uid, found.st_gid)


def give(data: Path, user: int, group: int) -> None:
    """Make a cluster that of one user."""
    for folder, folders, files in os.walk(data):
        for name in (*folders, *files):
            os.chown(os.path.join(folder, name), user, group, follow_symlinks=False)
    os.chown(data, user, group)


@contextmanager
def _aside(path: Path) -> Iterator[None]:
    """An empty file in the place of one that has to wait, and no order to recover but ours."""
    waiting = path.with_name(f"{path.name}.waiting")
    path.with_name(_STANDBY).unlink(missing_ok=True)
    if path.exists():
        path.rename(waiting)
    path.write_text("")
    if os.geteuid() == 0:
        os.chown(path, 0, 0)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        if waiting.exists():
            waiting.rename(path)


def _value(text: str) -> str:
    return "'" + re.sub(r"(['\\])", r"\1\1", text).replace("\n", r"\n") + "'"


def _said(log: Path) -> bytes:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - BACKUP_LINE_BYTES_MAX))
        return file.read()
