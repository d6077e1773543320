"""A cluster on its way back: its files, the write-ahead log that follows, and a recovery to the end or to a moment.

What gets its name is a cluster that was recovered, asked whether it was, and shut down cleanly.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from pwd import getpwuid

from atp.errors import MalformedError, MissingError, TamperedError, UnavailableError
from atp.limits import POSTGRESQL_HISTORY_BYTES_MAX, REPOSITORY_CHUNK_BYTES
from atp.ops.backups.act.kinds.files import check_listed, receive_tree
from atp.ops.backups.act.kinds.postgresql.instance import Instance, control_of, fence_words, restore_command, running
from atp.ops.backups.act.kinds.postgresql.replay import Log, check_used
from atp.ops.backups.act.kinds.postgresql.segments import (
    Shipped,
    list_shipped,
    needed,
    number_of,
    reaches_to,
    usable,
    wal_prefix,
)
from atp.ops.backups.act.kinds.shape import Doing
from atp.ops.backups.act.step import Data, Step
from atp.ops.backups.evidence import UNASKED, Recorded
from atp.ops.backups.format.contents import ContentsReader, Names
from atp.ops.backups.format.manifest import Cluster, Manifest
from atp.ops.backups.format.seal import Identity, unsealed
from atp.ops.backups.format.stream import Plain
from atp.ports.repository import Repository

_LAST = re.compile(r"last completed transaction was at log time (\S+ \S+ \S+)")
_TIMELINE = "Latest checkpoint's TimeLineID"
_CONFIGURATION = ("postgresql.conf", "pg_hba.conf", "pg_ident.conf")
_KNOWS_VERSIONS = 150_000
_CHANGED = """\
SELECT datname FROM pg_database
WHERE datallowconn AND datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid) ORDER BY datname
"""
_BEYOND = "recovery ended before configured recovery target was reached"


@dataclass(slots=True)
class PostgresqlArrival:
    """See Arrival. `at`: all that was committed by then and nothing later; None: as far as the log reaches."""

    repository: Repository
    manifest: Manifest
    identities: Sequence[Identity]
    at: datetime | None = None
    recorded: Recorded = UNASKED
    told: Sequence[str] = ()
    _names: Names | None = None
    _following: tuple[Shipped, ...] = ()

    def prepare(self) -> None:
        """Find the log that follows, before anything is fetched. TamperedError when it has a hole before the moment,
        MissingError when it does not reach that far."""
        listed = list_shipped(self.repository, wal_prefix(self.manifest.dataset, self._cluster.system))
        self._following = tuple(needed(usable(listed, self.recorded), self._cluster, at=self.at))

    @property
    def reaches_to(self) -> datetime:
        """See Arrival."""
        reach = reaches_to(self._following, self.manifest.consistent_at)
        return reach if self.at is None else min(self.at, reach)

    @property
    def steps(self) -> Sequence[Step]:
        """See Arrival."""
        to = f"to {self.at:%Y-%m-%d %H:%M:%S.%fZ}" if self.at else "as far as it reaches"
        stored = sum(one.size_bytes for one in self._following)
        return [
            Step("log", f"decrypt {len(self._following):,} segments of the write-ahead log, {stored:,} stored bytes"),
            Step("recover", f"recover {to} with a server of our own behind a fence, and shut it down"),
        ]

    def receive(self, plain: Plain, data: Path) -> int:
        """See Arrival."""
        return receive_tree(plain, data)

    def check(self, data: Path, contents: ContentsReader) -> int:
        """See Arrival."""
        self._names = contents.head.names
        return check_listed(data, contents)

    def doing(self, data: Path) -> Doing:
        """See Arrival."""
        return {"log": lambda: self._fetch(_beside(data)), "recover": lambda: self._recover(data)}

    def _fetch(self, folder: Path) -> Data:
        folder.mkdir(mode=0o700)
        for one in self._following:
            path, bytes_max = folder / one.segment, self._bytes_max(one)
            fetch_segment(self.repository, one, self.identities, path, bytes_max=bytes_max)
            if one.is_partial:
                os.truncate(path, bytes_max)  # the receiver may have died making room, and the server wants all of it
        return {"segments": len(self._following)}

    def _bytes_max(self, one: Shipped) -> int:
        return bytes_max_of(one, self._cluster)

    @property
    def _cluster(self) -> Cluster:
        assert self.manifest.cluster is not None, "backups of this kind say what log they need"
        return self.manifest.cluster

    def _recover(self, data: Path) -> Data:
        if self._names is None:
            raise MalformedError("could not recover the cluster: its backup does not say whom to ask it as")
        target = {"recovery_target_time": f"{self.at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f+00}"} if self.at else {}
        try:
            return self._run(data, self._names, target)
        except MalformedError as error:
            if not target or _BEYOND not in str(error):
                raise
            # The log reaches to the moment (`prepare`), and nothing in it is later: its end is the moment.
            return self._run(data, self._names, {})

    def _run(self, data: Path, names: Names, target: dict[str, str]) -> Data:
        (data / "recovery.signal").touch()
        settings = {"restore_command": restore_command(_beside(data)), "recovery_target_action": "promote", **target}
        with running(data, names, settings=settings) as server:
            found = control_of(data)
            if self._following and not target:
                self._check_used(data, found)
            told, of_locale = _told(server, found), tuple(_locale(server))
        self.told = (*_to_know(data), *of_locale)
        return told

    def _check_used(self, data: Path, found: Mapping[str, str]) -> None:
        timeline, page_bytes = int(found[_TIMELINE]), int(found["WAL block size"])
        check_used(data, self._log(data, page_bytes=page_bytes), timeline=timeline, following=self._following)

    def _log(self, data: Path, *, page_bytes: int) -> Log:
        """The log that was laid beside, and the last segment of the backup itself."""
        cluster, folder = self._cluster, _beside(data)
        files = [folder / one.segment for one in self._following if not one.is_history]
        files += [path for path in [data / "pg_wal" / cluster.ends_in] if path.exists()]
        numbered = {number_of(path.name, cluster.segment_bytes): path for path in files}
        return Log(numbered, segment_bytes=cluster.segment_bytes, page_bytes=page_bytes)


def check_following(
    repository: Repository, manifest: Manifest, identities: Sequence[Identity], recorded: Recorded
) -> int:
    """Read every segment that follows a backup, with keys decrypted too; how many there are. TamperedError or
    MissingError names the first that is not there, or not what was stored. Bounded memory, no disk."""
    assert manifest.cluster is not None, "backups of this kind say what log they need"
    listed = list_shipped(repository, wal_prefix(manifest.dataset, manifest.cluster.system))
    following = needed(usable(listed, recorded), manifest.cluster, at=None)
    for one in following:
        for _ in read_segment(repository, one, identities, bytes_max=bytes_max_of(one, manifest.cluster)):
            pass
    return len(following)


def bytes_max_of(one: Shipped, cluster: Cluster) -> int:
    """How much one can hold: whoever knows the recipients can make one that never ends."""
    return POSTGRESQL_HISTORY_BYTES_MAX if one.is_history else cluster.segment_bytes


def fetch_segment(
    repository: Repository, one: Shipped, identities: Sequence[Identity], into: Path, *, bytes_max: int
) -> None:
    """Decrypt one segment to a new file. UnavailableError when the disk refuses; else see `read_segment`."""
    try:
        with into.open("xb") as file:
            for chunk in read_segment(repository, one, identities, bytes_max=bytes_max):
                file.write(chunk)
    except OSError as error:
        raise UnavailableError(f"could not write {into}: {error.strerror}", hint="make room there") from None


def read_segment(
    repository: Repository, one: Shipped, identities: Sequence[Identity], *, bytes_max: int
) -> Iterator[bytes]:
    """The bytes of a segment, without a key those that are stored. TamperedError, at the end at the latest, when they
    are not what was stored or more than one can hold, MissingError when it is gone."""
    total = 0
    for chunk in _read(repository, one, identities):
        total += len(chunk)
        if identities and total > bytes_max:
            raise TamperedError(
                f"could not read {one.segment} of the write-ahead log: it has more than {bytes_max:,} bytes",
                hint="an earlier --at, and find out who wrote there",
            )
        yield chunk


def _read(repository: Repository, one: Shipped, identities: Sequence[Identity]) -> Iterator[bytes]:
    what, digest = f"could not read {one.segment} of the write-ahead log", sha256()

    def stored() -> Iterator[bytes]:
        for chunk in repository.read(one.name):
            digest.update(chunk)
            yield chunk

    try:
        if identities:
            with unsealed(stored(), identities=identities) as plain:
                while chunk := plain.read(REPOSITORY_CHUNK_BYTES):
                    yield chunk
        else:
            yield from stored()
    except MissingError:
        raise MissingError(f"{what}: it is gone", hint="an earlier --at, or another repository") from None
    except TamperedError:
        raise _not_stored(what) from None
    if digest.hexdigest() != one.sha256:
        raise _not_stored(what)


def _not_stored(what: str) -> TamperedError:
    return TamperedError(
        f"{what}: its bytes are not those that were stored", hint="an earlier --at, or another repository"
    )


def _to_know(data: Path) -> Iterator[str]:
    """What a person needs to know before a server is started on it."""
    missing = [name for name in _CONFIGURATION if not (data / name).exists()]
    if missing:
        yield f"its configuration lay elsewhere, and is not in it: {', '.join(missing)} (hint: lay it there to start)"
    if not fence_words():
        yield "it was recovered without a fence: the kernel grants this user none (hint: root, or user namespaces)"
    if (owner := data.stat().st_uid) != os.geteuid():
        yield f"it belongs to {_user(owner)}, who has to start its server (hint: chown -R, if that is another one here)"


def _locale(server: Instance) -> Iterator[str]:
    """What this machine has not got, or has in another version: by a locale texts are sorted in every index."""
    try:
        ((version,),) = server.ask("SHOW server_version_num")
        changed = server.ask(_CHANGED) if int(version) >= _KNOWS_VERSIONS else []
    except UnavailableError as error:
        yield f"its database cannot be entered on this machine: {error}"
        return
    if changed:
        names = ", ".join(name for (name,) in changed)
        yield f"the locale has another version here, by which texts are sorted: {names} (hint: REINDEX DATABASE first)"


def _user(number: int) -> str:
    try:
        return f"{getpwuid(number).pw_name} ({number})"
    except KeyError:
        return f"user {number}, who is nobody here"


def _told(server: Instance, found: Mapping[str, str]) -> Data:
    """What the recovery said of itself."""
    last = _LAST.findall(server.said)
    return {
        "last_transaction_at": last[-1] if last else None,
        "timeline": int(found[_TIMELINE]),
        "redo": found["Latest checkpoint's REDO location"],
    }


def _beside(data: Path) -> Path:
    return data.with_name("wal")
