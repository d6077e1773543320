"""A PostgreSQL cluster: heartbeats are rows of `atp_heartbeat (id, at)`; the copy runs as a server behind the fence."""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from atp.errors import AtpError, InvalidError, TamperedError, UnavailableError
from atp.limits import DRILL_ASK_SECONDS, HEARTBEATS_MAX, POSTGRESQL_ANSWER_BYTES_MAX, POSTGRESQL_ASK_SECONDS
from atp.ops.backups.act.kinds.postgresql.connection import Connection
from atp.ops.backups.act.kinds.postgresql.instance import NOBODY, Instance, give, major_of, running
from atp.ops.backups.act.kinds.postgresql.programs import environment, find_program, last_words, literal, query, quoted
from atp.ops.backups.act.workplace import is_without_room
from atp.ops.backups.format.contents import ContentsReader
from atp.ops.declaration.durations import format_duration
from atp.ops.drills.act.kinds.shape import Living, Row

_TABLE = "atp_heartbeat"
_ISO = """to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')"""
_LOOK = """\
SELECT (SELECT system_identifier FROM pg_control_system()), extract(epoch FROM pg_postmaster_start_time()),
  CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END
"""
_TOO_LONG = "canceling statement due to statement timeout"
_WITHIN, _MILLISECOND = timedelta(seconds=POSTGRESQL_ASK_SECONDS), timedelta(milliseconds=1)
_NO_CHECKSUMS = b"not enabled"


@dataclass(frozen=True, slots=True)
class PostgresqlProduction:
    """See Production. A look asks which server it is, since when it runs, and how far its log is: it reads no data."""

    connection: Connection

    @property
    def addresses(self) -> Sequence[str]:
        """See Production."""
        return (self.connection.address,)

    def look(self) -> Living | None:
        """See Production."""
        try:
            ((system, started, place),) = query(_LOOK, connection=self.connection)
        except AtpError:
            return None
        return Living(sha256(f"{system} {place}".encode()).hexdigest(), f"{system}:{started}")

    def beat(self, name: str, at: datetime) -> None:
        """See Production."""
        query(
            f"SET client_min_messages = warning; SET synchronous_commit = on; BEGIN;"
            f"CREATE TABLE IF NOT EXISTS {_TABLE} (id text PRIMARY KEY, at timestamptz NOT NULL);"
            f"INSERT INTO {_TABLE} VALUES ({literal(name)}, {literal(at.isoformat())});"
            f"DELETE FROM {_TABLE} WHERE id IN"
            f" (SELECT id FROM {_TABLE} ORDER BY at DESC, id DESC OFFSET {HEARTBEATS_MAX}); COMMIT;",
            connection=self.connection,
        )


@dataclass(slots=True)
class PostgresqlCopy:
    """See Copy. `contents` is the inner manifest, which says whom it is asked as."""

    place: Path
    contents: Path
    _open: ExitStack = field(default_factory=ExitStack)
    _server: Instance | None = None
    _has_checksums: bool = False

    def open(self) -> str:
        """See Copy. Checks the checksums of its pages first, where it has them."""
        with self.contents.open("rb") as lines:
            names = ContentsReader(lines).head.names
        if names is None:
            raise TamperedError("the backup does not say whom the cluster is asked as")
        self._has_checksums = check_pages(self.place)
        self._server = self._open.enter_context(running(self.place, names))
        ((version, recovering),) = self._server.ask("SELECT version(), pg_is_in_recovery()")
        if recovering != "f":
            raise TamperedError("the server answers, and its recovery has not ended")
        return f"{version.split(' on ')[0]} answers, its recovery has ended"

    def whole(self, contents: ContentsReader) -> str:
        """See Copy. Its files were held against the list before the log was replayed into them; what is left to show
        is that every row can be read."""
        assert self._server is not None, "it is open"
        count = sum(1 for entry in contents.entries() if entry.kind == "file")
        words = [find_program("pg_dump", major=major_of(self.place)), "--no-password", "-f", "/dev/null"]
        done = subprocess.run(
            words, capture_output=True, env=environment(self._server.connection), timeout=DRILL_ASK_SECONDS
        )
        if done.returncode != 0:
            why = f"not every row can be read: {last_words(done.stderr)}"
            raise UnavailableError(why) if is_without_room(why) else TamperedError(why)
        pages = ", every page has its checksum" if self._has_checksums else ""
        return f"{count:,} files as backed up before recovery, every row of the database read after it{pages}"

    def beats(self) -> Iterator[tuple[str, datetime]]:
        """See Copy."""
        if self._ask(f"SELECT to_regclass('{_TABLE}') IS NOT NULL") != [["t"]]:
            return
        for name, at in self._ask(f"SELECT id, {_ISO} FROM {_TABLE} ORDER BY at, id LIMIT {HEARTBEATS_MAX}"):
            yield name, datetime.fromisoformat(at)

    def count(self, table: str, *, within: timedelta) -> int:
        """See Copy."""
        name = ".".join(quoted(part) for part in table.split("."))
        return int(self._ask(f"SELECT count(*) FROM {name}", within=within)[0][0])

    def select(self, sql: str, *, rows_max: int, within: timedelta) -> Sequence[Row]:
        """See Copy. An answer that is too large is cut by the server, and refused here."""
        asked = sql.strip().rstrip(";")
        answer = self._ask(
            f"SELECT left(coalesce(json_agg(a), '[]')::text, {POSTGRESQL_ANSWER_BYTES_MAX + 1})"
            f" FROM (SELECT * FROM (\n{asked}\n) AS asked LIMIT {rows_max}) AS a",
            within=within,
        )
        rows = json.loads(answer[0][0], object_pairs_hook=lambda pairs: tuple(value for _, value in pairs))
        return [row if isinstance(row, tuple) else (row,) for row in rows]

    def verify(self) -> str:
        """See Copy."""
        raise InvalidError("could not verify a database: it is no trail", hint="checks: [{sql: ..., expect: ...}]")

    def close(self) -> None:
        """See Copy."""
        self._open.close()

    def _ask(self, sql: str, *, within: timedelta = _WITHIN) -> list[list[str]]:
        assert self._server is not None, "it is open"
        options = {"default_transaction_read_only": "on", "client_encoding": "UTF8"}
        try:
            return self._server.ask(sql, options=options | {"statement_timeout": f"{within // _MILLISECOND}"})
        except UnavailableError as error:
            if _TOO_LONG in str(error):
                raise UnavailableError(f"no answer within {format_duration(within)}") from None
            raise error


def make_ready_cluster(place: Path) -> int | None:
    """The server refuses to be root, so root's copy is shown to it as that of another user. See `make_ready`."""
    if os.geteuid() != 0:
        return None
    give(place, 0, 0)
    return NOBODY


def check_pages(place: Path) -> bool:
    """Whether the pages of a cluster at rest have checksums. TamperedError when one is wrong. Reads every page."""
    words = [find_program("pg_checksums", major=major_of(place)), "--check", "-D", str(place)]
    done = subprocess.run(words, capture_output=True, env=environment(), timeout=DRILL_ASK_SECONDS)
    if done.returncode == 0:
        return True
    if _NO_CHECKSUMS in done.stderr:
        return False
    raise TamperedError(f"a page is damaged: {last_words(done.stderr)}")
