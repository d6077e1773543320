"""A script that follows a bank and kills itself with SIGKILL where a segment is shipped: `recorded` or `stored`."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from atp.app.machine import follow_room
from atp.app.vaults import open_repository
from atp.cli.acting import acting
from atp.cli.output import Output
from atp.cli.vault import tell
from atp.ops.backups.act.kinds.postgresql.connection import parse_connection
from atp.ops.backups.act.kinds.postgresql.following import Following
from atp.ops.backups.act.kinds.shipping import Shipping
from atp.ops.backups.declare import declared_backup
from atp.ops.backups.evidence import BACKUP_SHIPPED, backup_shipped
from atp.ops.estate.declare.parse import parse_estate
from atp.ports.repository import Repository, Sink


class Deadly:
    """A repository whose user dies before, or just after, it has what it is given."""

    def __init__(self, inner: Repository, where: str) -> None:
        self._inner, self._where = inner, where

    @contextmanager
    def store(self, name: str, *, keep_until: datetime | None = None) -> Iterator[Sink]:
        if self._where == "recorded":
            os.kill(os.getpid(), signal.SIGKILL)
        with self._inner.store(name, keep_until=keep_until) as sink:
            yield sink
        os.kill(os.getpid(), signal.SIGKILL)


def main(where: str) -> None:
    estate = parse_estate(Path("estate.yaml").read_bytes(), file="estate.yaml")
    declared = declared_backup(estate, "ledger")
    with acting(os.environ["ATP_URL"], key_file=None, output=Output(False), publish_seconds=None) as doing:

        def record(names: Sequence[str]) -> None:
            tell(doing, BACKUP_SHIPPED, backup_shipped(names, repositories=["vault"]), dataset="ledger")

        shipping = Shipping(
            dataset="ledger",
            repositories={"vault": Deadly(open_repository("vault", estate.repositories["vault"]), where)},  # type: ignore[dict-item]
            recipients=declared.recipients,
            retention=declared.retention,
            room=follow_room("ledger", declared.source_words),
            clock=doing.clock,
            within=timedelta(seconds=1),
            record=record,
            shipped=lambda name, covers: None,
            trouble=print,
        )
        Following(parse_connection(os.environ["LEDGER_ADDRESS"]), shipping).run(is_over=lambda: False)


if __name__ == "__main__":
    main(sys.argv[1])
