"""A cluster on its way back: its files, the write-ahead log that follows, and a recovery to the end or to a moment.

What gets its name is a cluster that was recovered, asked whether it was, and shut down cleanly.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from pwd import getpwuid

from atp.errors import MalformedError, UnavailableError
from atp.ops.backups.act.kinds.files import check_listed, receive_tree
from atp.ops.backups.act.kinds.postgresql.feed import Feed
from atp.ops.backups.act.kinds.postgresql.instance import Instance, control_of, fence_words, running
from atp.ops.backups.act.kinds.postgresql.reading import Nowhere, bytes_max_of, fetch_segment, read_segment
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
from atp.ops.backups.format.seal import Identity
from atp.ops.backups.format.stream import Plain
from atp.ports.repository import Repository

_LAST = re.compile(r"last completed transaction was at log time (\S+ \S+ \S+)")
_OWN = {"wal_recycle": "off"}  # a segment of ours has room only where something was written: no log may come there
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
            Step(
                "recover",
                f"recover {to} with a server of our own behind a fence, which gets {len(self._following):,} segments of"
                f" the write-ahead log, {stored:,} stored bytes, and shut it down",
            )
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
        return {"recover": lambda: self._recover(data)}

    def _fetch(self, one: Shipped, into: Path) -> None:
        fetch_segment(self.repository, one, self.identities, into, bytes_max=bytes_max_of(one, self._cluster))

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
        feed = Feed(data.with_name("wal"), self._following, self._fetch)
        settings = {"restore_command": feed.restore_command, "recovery_target_action": "promote", **target, **_OWN}
        with ExitStack() as served:
            served.enter_context(feed.serving())
            with running(data, names, settings=settings) as server:
                served.close()  # its recovery has ended
                found = control_of(data)
                if self._following and not target:
                    self._check_used(data, found, feed)
                feed.check_rest()
                told, of_locale = _told(server, found), tuple(_locale(server))
        self.told = (*_to_know(data), *of_locale)
        return {"segments": len(self._following), **told}

    def _check_used(self, data: Path, found: Mapping[str, str], feed: Feed) -> None:
        timeline, page_bytes = int(found[_TIMELINE]), int(found["WAL block size"])
        check_used(data, self._log(data, feed, page_bytes=page_bytes), timeline=timeline, following=self._following)

    def _log(self, data: Path, feed: Feed, *, page_bytes: int) -> Log:
        """The log that follows, and the last segment of the backup itself."""
        cluster = self._cluster
        numbered: dict[int, Callable[[], Path]] = {
            number_of(one.segment, cluster.segment_bytes): partial(feed.file_of, one)
            for one in self._following
            if not one.is_history
        }
        own = data / "pg_wal" / cluster.ends_in
        if own.exists():
            numbered[number_of(own.name, cluster.segment_bytes)] = lambda: own
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
        read_segment(repository, one, identities, bytes_max=bytes_max_of(one, manifest.cluster), into=Nowhere())
    return len(following)


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
