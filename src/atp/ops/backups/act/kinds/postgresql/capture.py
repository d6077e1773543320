"""A base backup: `pg_basebackup` streams it, and on its way it becomes members of our archive, each with its digest.

The write-ahead log that makes it consistent is in it (`--wal-method=fetch`), so that a backup alone can be restored;
until then the server keeps it for us.
"""

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from tempfile import TemporaryFile
from typing import IO, Annotated

import msgspec
from msgspec import Meta

from atp.errors import InvalidError, TamperedError, UnavailableError
from atp.limits import BACKUP_LINE_BYTES_MAX
from atp.ops.backups.act.kinds.postgresql.connection import Connection
from atp.ops.backups.act.kinds.postgresql.kept import Kept, kept_log
from atp.ops.backups.act.kinds.postgresql.programs import environment, find_program, last_words, next_move, query
from atp.ops.backups.act.kinds.shape import Doing, Note
from atp.ops.backups.act.parts import Moved
from atp.ops.backups.act.step import Data, Step
from atp.ops.backups.evidence import Made
from atp.ops.backups.format.archive import END, ArchiveReader, Member, header, padding
from atp.ops.backups.format.contents import Database, Entry, Names, path_text
from atp.ops.backups.format.manifest import Cluster

_SETTINGS = "postgresql.conf"
_MANIFEST = "backup_manifest"
_PIPE_BYTES = 1 << 20
_SQL = """\
SELECT (SELECT system_identifier FROM pg_control_system()), current_setting('server_version_num')::int / 10000,
  (SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'),
  (SELECT rolname FROM pg_roles WHERE rolsuper ORDER BY rolcanlogin DESC, oid LIMIT 1), current_database(),
  (SELECT count(*) FROM pg_tablespace WHERE oid NOT IN (1663, 1664)), pg_is_in_recovery(),
  current_setting('wal_level')
"""
_OUTSIDE = """\
SELECT DISTINCT path FROM (SELECT sourcefile FROM pg_settings UNION SELECT setting FROM pg_settings WHERE name IN
  ('config_file', 'hba_file', 'ident_file', 'ssl_cert_file', 'ssl_key_file', 'ssl_ca_file', 'ssl_crl_file'))
  AS files (path)
WHERE path LIKE '/%' AND NOT starts_with(path, (SELECT setting FROM pg_settings WHERE name = 'data_directory') || '/')
  AND path NOT LIKE '%/ssl-cert-snakeoil.%' -- which Debian makes on every machine
ORDER BY path
"""


class _Range(msgspec.Struct, frozen=True, rename="pascal"):
    timeline: Annotated[int, Meta(ge=1)]
    start: Annotated[str, Meta(pattern=r"^[0-9A-F]+/[0-9A-F]+$")] = msgspec.field(name="Start-LSN")
    end: Annotated[str, Meta(pattern=r"^[0-9A-F]+/[0-9A-F]+$")] = msgspec.field(name="End-LSN")


class _BackupManifest(msgspec.Struct, frozen=True):
    """As far as it is needed: https://www.postgresql.org/docs/current/backup-manifest-format.html"""

    ranges: Annotated[tuple[_Range, ...], Meta(min_length=1)] = msgspec.field(name="WAL-Ranges")


@dataclass(slots=True)
class PostgresqlCapture:
    """See Capture. The moment is that at which the base backup ended, by the clock of the server."""

    connection: Connection
    moved: Moved
    database: Database | None = None
    cluster: Cluster | None = None
    names: Names | None = None
    _outside: list[str] = field(default_factory=list)
    _ended_at: datetime | None = None
    _system: str = ""
    _major: int = 0
    _segment_bytes: int = 0
    _kept: dict[str, bytes] = field(default_factory=dict)

    @property
    def steps(self) -> Sequence[Step]:
        """See Capture."""
        return [Step("ask", f"ask the server at {self.connection.address} what it is")]

    @property
    def doing(self) -> Doing:
        """See Capture."""
        return {"ask": self._ask}

    @property
    def consistent_at(self) -> datetime:
        """See Capture."""
        assert self._ended_at is not None, "the stream has ended"
        return self._ended_at

    def _ask(self) -> Data:
        ((self._system, major, segment_bytes, superuser, database, tablespaces, is_standby, wal_level),) = query(
            _SQL, connection=self.connection
        )
        if is_standby == "t":
            raise InvalidError(
                "could not back up the cluster: it is a standby, which does not know what was committed by when",
                hint="the address of the primary",
            )
        if wal_level == "minimal":
            raise InvalidError(
                "could not back up the cluster: its wal_level is minimal, which leaves out what a restore needs",
                hint=next_move("wal_level", otherwise=""),
            )
        if tablespaces != "0":
            raise InvalidError(
                "could not back up the cluster: it has tablespaces of its own, which one stream cannot hold",
                hint="ALTER TABLE ... SET TABLESPACE pg_default",
            )
        if "\ufffd" in superuser + database:
            raise InvalidError(
                "could not back up the cluster: the name of its database, or of its superuser, is not UTF-8",
                hint="the address of another of its databases",
            )
        self._major, self._segment_bytes = int(major), int(segment_bytes)
        self._outside = [path for (path,) in query(_OUTSIDE, connection=self.connection)]
        self.names = Names(superuser=superuser, database=database)
        return {"system": self._system, "version": self._major, "address": self.connection.address}

    def stream(self, made: Made, note: Note) -> Iterator[bytes]:
        """See Capture. UnavailableError in the words of the program when the server does not give all of it."""
        with kept_log(self.connection) as kept:
            if kept.refusal:
                made.warnings.append(f"the server kept no log for the backup, which may fail of that: {kept.refusal}")
            yield from self._stream(made, note, kept)
        self._ended_at = self._now()
        self.cluster = self._cluster()
        yield END

    def _stream(self, made: Made, note: Note, kept: Kept) -> Iterator[bytes]:
        words = [find_program("pg_basebackup"), "-D", "-", "-F", "tar", "-X", "fetch", "-c", "fast", "--no-password"]
        with TemporaryFile() as said:
            source = subprocess.Popen(
                words, stdout=subprocess.PIPE, pipesize=_PIPE_BYTES, stderr=said, env=environment(self.connection)
            )
            try:
                assert source.stdout is not None
                yield from self._members(ArchiveReader(source.stdout), made, note)
                ended = source.wait()
            except (TamperedError, OSError) as error:
                raise self._failed(source, said, str(error), kept) from None
            finally:
                source.kill()
                source.wait()
            if ended != 0:
                raise self._failed(source, said, "", kept)

    def _members(self, archive: ArchiveReader, made: Made, note: Note) -> Iterator[bytes]:
        has_settings = False
        root = Entry(path=".", kind="directory", mode=0o700, mtime_ns=0, uid=0, gid=0)
        for member in archive.members():
            entry = _entry(member)
            has_settings |= entry.path == _SETTINGS
            if made.entries == 0:
                root = msgspec.structs.replace(root, mtime_ns=entry.mtime_ns, uid=entry.uid, gid=entry.gid)
                yield header(root, {})
                note(root)
                made.entries += 1
            yield from self._member(archive, entry, made, note)
        # A role that may not see where its settings lie is told of none.
        made.outside += self._outside or ([] if has_settings else [_SETTINGS])

    def _member(self, archive: ArchiveReader, entry: Entry, made: Made, note: Note) -> Iterator[bytes]:
        yield header(entry, {})
        digest, kept = sha256(), bytearray()
        for chunk in archive.data():
            digest.update(chunk)
            self.moved(len(chunk))
            if entry.path == _MANIFEST:
                kept += chunk
            yield chunk
        yield padding(entry.size_bytes)
        if entry.path == _MANIFEST:
            self._kept[_MANIFEST] = bytes(kept)
        made.entries, made.total_bytes = made.entries + 1, made.total_bytes + entry.size_bytes
        note(msgspec.structs.replace(entry, sha256=digest.hexdigest()) if entry.kind == "file" else entry)

    def _cluster(self) -> Cluster:
        """What the server's own manifest says of the log that is needed."""
        try:
            found = msgspec.json.decode(self._kept[_MANIFEST], type=_BackupManifest)
        except (KeyError, msgspec.MsgspecError) as error:
            raise TamperedError(f"could not read the manifest of the base backup: {error}") from None
        last = found.ranges[-1]
        return Cluster(
            system=self._system,
            major=self._major,
            begins_in=_segment(found.ranges[0].timeline, found.ranges[0].start, self._segment_bytes),
            ends_in=_segment(last.timeline, last.end, self._segment_bytes, is_end=True),
            segment_bytes=self._segment_bytes,
        )

    def _now(self) -> datetime:
        ((seconds,),) = query("SELECT extract(epoch FROM clock_timestamp())", connection=self.connection)
        return datetime.fromtimestamp(0, UTC) + timedelta(seconds=float(seconds))

    def _failed(self, source: "subprocess.Popen[bytes]", said: IO[bytes], reason: str, kept: Kept) -> UnavailableError:
        source.kill()
        source.wait()
        said.seek(0)
        words = said.read(BACKUP_LINE_BYTES_MAX)
        why = last_words(words) if words.strip() else reason
        if "checksum" in why:
            found = re.search(rb'file "([^"\n]+)", block (\d+)', words)
            why += f" (first in {found[1].decode(errors='replace')}, block {int(found[2])})" if found else ""
        return UnavailableError(f"could not back up the cluster: {why}", hint=_hint(why, kept))


def _hint(why: str, kept: Kept) -> str:
    if "checksum" in why:
        return "pages of the living cluster are damaged: restore the newest backup, or ask a person"
    bound = "max_slot_wal_keep_size" if kept.is_lost else "wal_keep_size"
    if re.search("could not find (any )?WAL|already been removed", why):
        return f"{bound} was too small for what was written meanwhile: enlarge it, or follow the dataset"
    if "COPY stream ended" in why:
        return f"the log of the server says why; where it removed a segment: enlarge {bound}, or follow the dataset"
    return next_move(why, otherwise="the role has to have REPLICATION, and pg_hba.conf has to let it")


def _entry(member: Member) -> Entry:
    return Entry(
        path=path_text(member.path.removeprefix(b"./")),
        kind=member.kind,
        mode=member.mode,
        mtime_ns=member.mtime_ns,
        uid=member.uid,
        gid=member.gid,
        size_bytes=member.size_bytes,
        target=path_text(member.target),
    )


def _segment(timeline: int, lsn: str, segment_bytes: int, *, is_end: bool = False) -> str:
    """The name of the segment that holds a place in the log; the end of one belongs to it."""
    high, low = (int(part, 16) for part in lsn.split("/"))
    number, logs = ((high << 32) + low - is_end) // segment_bytes, (1 << 32) // segment_bytes
    return f"{timeline:08X}{number // logs:08X}{number % logs:08X}"
