"""`atp backup follow`: ship what a dataset writes between two backups, for as long as the command runs."""

import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from datetime import datetime, timedelta
from types import FrameType

import click

from atp.app.machine import follow_room
from atp.cli.acting import Acting, acting
from atp.cli.output import safe
from atp.cli.vault import Desk, at_desk, day, tell
from atp.errors import InvalidError, MissingError
from atp.ops.backups.act.erasing import check_lets_go
from atp.ops.backups.act.kinds.choose import follower_of
from atp.ops.backups.act.kinds.shipping import Shipping
from atp.ops.backups.act.listing import find_backup
from atp.ops.backups.declare import Declared
from atp.ops.backups.evidence import BACKUP_SHIPPED, backup_followed, backup_shipped
from atp.ops.declaration.durations import parse_duration
from atp.ops.estate.evidence.proofs import BACKUP_DONE
from atp.ports.repository import Repository

_WITHIN = timedelta(seconds=60)
_TELL_SECONDS_MIN = 30.0


@click.command()
@click.argument("dataset")
@click.option("--within", help="The longest that a change may wait.  [default: half of the RPO, at most 1min]")
@at_desk
def command(desk: Desk, dataset: str, within: str | None) -> None:
    """Follow DATASET: encrypt, store and lock what it writes between two backups, as it is written.

    Of a PostgreSQL server that is its write-ahead log, and any moment can be restored then; follow it from another
    machine. When nobody followed, a replication slot has kept what was missed: watch the disk of the server. Of a trail
    it is what came since the last look; follow it where its directory is. The operators' trail has the name of each
    object before it is stored. Run it under a supervisor; SIGTERM ends it.

    \b
    Example:
      atp backup follow ledger --within 30s
    """
    declared = desk.declared(dataset)
    limit = _length(within) if within else _within(desk.estate.datasets[dataset].rpo)
    over = list[int]()

    def end(number: int, _: FrameType | None) -> None:
        over.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    with (
        acting(desk.url, key_file=desk.key_file, output=desk.output, publish_seconds=None) as doing,
        ExitStack() as stack,
    ):
        names = dict.fromkeys((declared.repository, *declared.copies_in))
        repositories = {name: stack.enter_context(closing(desk.open(name))) for name in names}
        check_lets_go(declared, repositories)
        teller = _Teller(desk, doing, declared, repositories, pace=limit)
        shipping = Shipping(
            dataset=dataset,
            repositories=repositories,
            recipients=declared.recipients,
            retention=declared.locked_for,
            room=follow_room(dataset, declared.source_words),
            clock=doing.clock,
            within=limit,
            record=teller.record,
            shipped=teller.shipped,
            trouble=teller.trouble,
        )
        following = follower_of(declared, shipping, read=desk.address)
        desk.output.note(f"following {dataset}: a change waits at most {limit.total_seconds():g} s")
        with doing.recorded("backup", "follow", resource=dataset, data={"repositories": list(repositories)}):
            following.run(is_over=lambda: bool(over))
        teller.end()
    desk.output.answer(
        {"dataset": dataset, "reaches_to": teller.reaches_to}, f"ended; it reaches to {day(teller.reaches_to)}"
    )


class _Teller:
    """Writes down what is shipped, before it is; says on the terminal that it was, and in the trail how far that
    reaches, so often that a review finds it within the RPO: at the pace of shipping, at most each half minute."""

    def __init__(
        self,
        desk: Desk,
        doing: Acting,
        declared: Declared,
        repositories: Mapping[str, Repository],
        *,
        pace: timedelta,
    ) -> None:
        self._pace_seconds = max(pace.total_seconds(), _TELL_SECONDS_MIN)
        self.reaches_to: datetime | None = None
        self._desk, self._doing, self._declared, self._repositories = desk, doing, declared, repositories
        self._segment = ""
        self._told_at = 0.0

    def record(self, names: Sequence[str]) -> None:
        """Durable when it returns, on the server or on this machine. UnavailableError: nowhere."""
        data = backup_shipped(names, repositories=self._repositories)
        tell(self._doing, BACKUP_SHIPPED, data, dataset=self._declared.dataset)

    def shipped(self, segment: str, covers_until: datetime) -> None:
        """This one is in every repository, and was the newest then; the same again: nothing came after it."""
        if segment != self._segment:
            self._desk.output.note(f"{segment} reaches to {day(covers_until)}")
        self._segment, self.reaches_to = segment, covers_until
        if time.monotonic() - self._told_at >= self._pace_seconds:
            self.end()

    def trouble(self, words: str) -> None:
        """Something does not work; it is tried again."""
        self._desk.output.note(f"warning: {safe(words)}")

    def end(self) -> None:
        """Write down how far it reaches now, for each repository that has a backup to begin from."""
        if self.reaches_to is None:
            return
        dataset = self._declared.dataset
        for name, repository in self._repositories.items():
            with suppress(MissingError):
                backup = find_backup(repository, dataset=dataset).backup
                data = backup_followed(backup, repository=name, reaches_to=self.reaches_to, segment=self._segment)
                tell(self._doing, BACKUP_DONE, data, dataset=dataset)
                self._told_at = time.monotonic()


def _length(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError:
        raise InvalidError(f"could not use --within {text[:40]!r}: it is no duration", hint="for example 30s") from None


def _within(rpo: timedelta | None) -> timedelta:
    return min(rpo / 2, _WITHIN) if rpo else _WITHIN
