"""The log that a base backup needs, kept by the server until the backup has ended: a temporary replication slot.

It lives in a session that does nothing else, and goes with it, however that ends: nothing keeps the log after us.
"""

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO

from atp.limits import BACKUP_LINE_BYTES_MAX
from atp.ops.backups.act.kinds.postgresql.connection import Connection
from atp.ops.backups.act.kinds.postgresql.programs import environment, find_program, last_words, next_move

_SQL = """\
SET idle_session_timeout = 0;
SELECT slot_name FROM pg_create_physical_replication_slot('{}', true, true);
"""
_STOP_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Kept:
    """Whether the server keeps the log. `refusal`: why it never did, in its own words."""

    session: "subprocess.Popen[bytes]"
    refusal: str = ""

    @property
    def is_lost(self) -> bool:
        """It did, and let go of it: the server ends the session when it keeps more than `max_slot_wal_keep_size`. Asks
        the session."""
        return not self.refusal and not _answer(self.session, "SELECT 1;\n")


@contextmanager
def kept_log(connection: Connection) -> Iterator[Kept]:
    """Have the server keep its log from the last checkpoint on, as long as the block lasts and `max_slot_wal_keep_size`
    allows; a server that cannot is no error. Costs a connection, and a slot."""
    words = [find_program("psql"), "-X", "-w", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"]
    with TemporaryFile() as said:
        session = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, env=environment(connection)
        )
        try:
            name = _answer(session, _SQL.format(f"atp_backup_{secrets.token_hex(8)}"))
            yield Kept(session, "" if name else _refusal(session, said))
        finally:
            _end(session)


def _answer(session: "subprocess.Popen[bytes]", sql: str) -> bytes:
    """The line that it answers; empty when the session is over."""
    assert session.stdin is not None and session.stdout is not None
    with suppress(BrokenPipeError):
        session.stdin.write(sql.encode())
        session.stdin.flush()
    return session.stdout.readline().strip()


def _refusal(session: "subprocess.Popen[bytes]", said: IO[bytes]) -> str:
    session.wait()
    said.seek(0)
    why = last_words(said.read(BACKUP_LINE_BYTES_MAX))
    return f"{why} (hint: {next_move(why, otherwise='max_replication_slots = 10, and a restart of the server')})"


def _end(session: "subprocess.Popen[bytes]") -> None:
    """At its end of input the program ends, and the server drops the slot."""
    try:
        session.communicate(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        session.kill()
        session.communicate()
