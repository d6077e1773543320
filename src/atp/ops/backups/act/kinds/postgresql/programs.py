"""PostgreSQL's own programs: where they are, and what they say when they fail."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping

from atp.errors import UnavailableError
from atp.limits import POSTGRESQL_ANSWER_BYTES_MAX, POSTGRESQL_ASK_SECONDS
from atp.ops.backups.act.kinds.postgresql.connection import Connection
from atp.ops.secrecy import without_secrets

_PLACES = (
    "/usr/lib/postgresql/{}/bin",
    "/usr/pgsql-{}/bin",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@{}/bin",
)
_SAID_CHARS = 400
_MOVES = (  # what a server says, and what then has to be changed; the first one counts
    ("entry for replication|rejects replication", "pg_hba.conf needs a line for the database named replication"),
    ("pg_hba.conf", "pg_hba.conf needs a line that lets this role in from here"),
    ("must be superuser or replication role|to start WAL sender|REPLICATION attribute", "ALTER ROLE ... REPLICATION"),
    ("max_wal_senders", "max_wal_senders = 10 (or more than are in use), and a restart of the server"),
    ("replication slots are in use|max_replication_slots", "max_replication_slots = 10, and a restart of the server"),
    ("wal_level", "wal_level = replica, and a restart of the server"),
    ("locale is incompatible", "install the locales of that machine here, as locale-gen does"),
    (r"permission denied for function pg_switch_wal", "GRANT EXECUTE ON FUNCTION pg_switch_wal() TO ..."),
)


def find_program(name: str, *, major: int | None = None) -> str:
    """The path of a program, of one version when a server has to run. UnavailableError when there is none here."""
    versions = [str(major)] if major else [str(number) for number in range(99, 12, -1)]
    for place in (pattern.format(version) for version in versions for pattern in _PLACES):
        if os.access(f"{place}/{name}", os.X_OK) and (major is None or _major_of(f"{place}/{name}") == major):
            return f"{place}/{name}"
    found = shutil.which(name)
    if found is not None and (major is None or _major_of(found) == major):
        return found
    what = f"PostgreSQL {major}" if major else "PostgreSQL's programs"
    raise UnavailableError(
        f"could not find {name}: {what} is not installed here", hint=f"apt-get install postgresql-{major or 15}"
    )


def environment(connection: Connection | None = None) -> dict[str, str]:
    """What a program gets: nothing of ours but the way, and where the server is."""
    found = {name: os.environ[name] for name in ("PATH", "HOME", "TZ", "USER") if name in os.environ}
    return {**found, "LC_ALL": "C", "PGAPPNAME": "atp", **(connection.variables if connection else {})}


def mortal_words() -> list[str]:
    """What makes a program end with us, however we end; nothing where there is no such thing."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


def query(sql: str, *, connection: Connection, options: Mapping[str, str] = {}) -> list[list[str]]:
    """The rows of some SQL as text, of the last statement. UnavailableError in the server's words when it fails."""
    words = [
        find_program("psql"),
        "-X",
        "-w",
        "-q",
        "-A",
        "-t",
        "-F",
        "\x1f",
        "-R",
        "\x1e",
        "-v",
        "ON_ERROR_STOP=1",
        "-f",
        "-",
    ]
    variables = environment(connection)
    if options:
        variables["PGOPTIONS"] = " ".join(f"-c {name}={value}" for name, value in options.items())
    try:
        done = subprocess.run(
            words, input=sql.encode(), capture_output=True, env=variables, timeout=POSTGRESQL_ASK_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"could not ask PostgreSQL: no answer in {POSTGRESQL_ASK_SECONDS} s") from None
    if len(done.stdout) > POSTGRESQL_ANSWER_BYTES_MAX:
        raise UnavailableError(
            f"could not ask PostgreSQL: its answer has more than {POSTGRESQL_ANSWER_BYTES_MAX:,} bytes",
            hint="ask for less",
        )
    if done.returncode != 0:
        why = last_words(done.stderr)
        raise UnavailableError(
            f"could not ask PostgreSQL: {why}", hint=next_move(why, otherwise=f"look at {connection.address}")
        )
    text = done.stdout.decode(errors="replace").removesuffix("\n")
    return [row.split("\x1f") for row in text.split("\x1e")] if text else []


def last_words(said: bytes) -> str:
    """The line that says why a program ended, without a secret."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    found = [at for at, line in enumerate(lines) if re.search("ERROR|FATAL|error:|PANIC", line)]
    told = lines[found[-1] if found else -1] if lines else ""
    details = [line for line in lines[found[-1] + 1 :] if line.startswith("DETAIL:")] if found else []
    return without_secrets(" ".join([told, *details[:1]]))[:_SAID_CHARS] or "it ended without a word"


def next_move(why: str, *, otherwise: str) -> str:
    """What has to be changed in a server that refuses us with these words. Pure."""
    return next((move for words, move in _MOVES if re.search(words, why)), otherwise)


def quoted(name: str) -> str:
    """An identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A string in SQL."""
    return "'" + value.replace("'", "''") + "'"


def _major_of(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, env=environment(), timeout=10).stdout
    found = re.search(rb"\) (\d+)", said)
    return int(found[1]) if found else 0
