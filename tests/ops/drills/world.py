"""A catalogue of letters, its repository, its key and its drills: real files below one folder."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from atp.adapters.memory_machine import MemoryMachine
from atp.adapters.system_clock import SystemClock
from atp.app.machine import os_account
from atp.app.vaults import open_repository
from atp.log.event import Event
from atp.ops.backups.act import making, restoring
from atp.ops.backups.act.kinds.choose import arrival_of, capture_of
from atp.ops.backups.act.kinds.shape import Occasion
from atp.ops.backups.act.listing import find_backup
from atp.ops.backups.act.workplace import workplace
from atp.ops.backups.declare import declared_backup
from atp.ops.backups.evidence import Made
from atp.ops.backups.format.seal import draw_identity, parse_identities
from atp.ops.drills.act import drilling
from atp.ops.drills.act.beating import beat
from atp.ops.drills.act.fence import fence_words
from atp.ops.drills.act.keeping import Keep
from atp.ops.drills.act.kinds.choose import production_of
from atp.ops.drills.act.running import Fencing
from atp.ops.drills.declare import Declared, declared_drill
from atp.ops.drills.evidence.figures import Done
from atp.ops.drills.evidence.history import History, Told, fold
from atp.ops.estate.declare.parse import parse_estate
from atp.ops.estate.declare.values import Estate, Scenario
from atp.ops.estate.evidence.proofs import DRILL_DONE
from atp.ops.record.act import Person
from atp.ops.record.recording import begin
from atp.ops.record.sink import Sink
from atp.ports.repository import Repository
from tests.ops.acting import ListSink, spool_on

ALICE = Person("alice", is_bound=True)
CLOCK = SystemClock()
ESTATE_SHA256 = "e" * 64

ESTATE = """\
version: atp.estate/1
name: A small archive
environments: [production]
datasets:
  catalogue:
    kind: sqlite
    source: {{place: {root}/catalogue.db}}
    rpo: 1h
    rto: 1h
    backup: {{repository: vault, schedule: 30min, recipients: [{recipient}]}}
    drill:
      place: {root}/scratch
      checks:
        - {{sql: select count(*) from letter where title is null, expect: [[0]]}}
        - rows: {{table: letter, at_least: 100}}
      scenarios: [deletion, corruption]
      heartbeat: {{every: 1min, ledger: {root}/ledger}}
  letters:
    kind: files
    source: {{place: {root}/letters}}
    rpo: 1h
    rto: 1h
    backup: {{repository: vault, schedule: 30min, recipients: [{recipient}]}}
    drill:
      place: {root}/scratch
      checks: [{{digests: true}}]
      heartbeat: {{every: 1min, ledger: {root}/ledger-of-letters}}
  trail:
    kind: trail
    source: {{place: {root}/data}}
    rpo: 1h
    rto: 1h
    backup: {{repository: vault, schedule: 30min, recipients: [{recipient}]}}
    drill:
      place: {root}/scratch
      checks: [{{verify: true}}]
repositories:
  vault: {{kind: directory, place: {root}/vault}}
"""


@dataclass(slots=True)
class World:
    """`changes` are made to the text of the estate file."""

    root: Path
    changes: list[tuple[str, str]] = field(default_factory=list)
    sink: ListSink = field(default_factory=ListSink)
    machine: MemoryMachine = field(default_factory=MemoryMachine)
    dataset: str = "catalogue"

    def __post_init__(self) -> None:
        """The key is in the folder, so that another process has the same."""
        for name in ("vault", "scratch"):
            (self.root / name).mkdir(exist_ok=True)
        if not self.key.exists():
            self.key.write_text("\n".join(draw_identity()))

    @property
    def key(self) -> Path:
        return self.root / "KEY.txt"

    @property
    def source(self) -> Path:
        return self.root / ({"catalogue": "catalogue.db", "trail": "data"}.get(self.dataset, self.dataset))

    @property
    def scratch(self) -> Path:
        return self.root / "scratch"

    @property
    def text(self) -> str:
        text = ESTATE.format(root=self.root, recipient=self.key.read_text().split()[1])
        for old, new in self.changes:
            assert old in text, old
            text = text.replace(old, new)
        return text

    @property
    def estate(self) -> Estate:
        return parse_estate(self.text.encode(), file="estate.yaml")

    @property
    def declared(self) -> Declared:
        return declared_drill(self.estate, self.dataset)

    def open(self, name: str) -> Repository:
        return open_repository(name, self.estate.repositories[name])

    def beat(self) -> None:
        beat(self.declared, production_of(self.declared), CLOCK)

    def back_up(self) -> Made:
        declared, stores = declared_backup(self.estate, self.dataset), {}
        for name in (declared.repository, *declared.copies_in):
            stores[name] = self.open(name)
        with workplace(self.dataset, below=self.root) as place:
            observed = making.Observed()
            made = Made(making.new_backup_id(CLOCK))
            capture = capture_of(declared, folder=place.folder, clock=CLOCK, moved=lambda _: None, backup=made.backup)
            run = making.Run(declared, observed, capture, stores, place, CLOCK, lambda _: None, made)
            record = begin("backup", "run", by=ALICE, sink=ListSink(), clock=CLOCK, settling="repeat")
            return run.carry_out(making.plan(declared, observed, capture), record=record)

    def restore(self, place: Path, *, private: str | None = None) -> Path:
        """The newest backup, as `atp restore` does it."""
        with closing(self.open("vault")) as repository:
            listed = find_backup(repository, dataset=self.dataset)
            manifest = restoring.check_whole(listed)
            identities = parse_identities(private or self.key.read_text().split()[0])
            target = restoring.observe_target(place, kind=manifest.kind, replace=None)
            occasion = Occasion(ALICE.id, CLOCK.now())
            arrival = arrival_of(manifest, repository=repository, identities=identities, occasion=occasion)
            restored = restoring.Restored(listed.backup, str(place))
            one = restoring.Restore(repository, manifest, target, arrival, identities, lambda _: None, restored)
            record = begin("backup", "restore", by=ALICE, sink=ListSink(), clock=CLOCK, settling="repeat")
            one.carry_out(restoring.plan(manifest, target, arrival), record=record)
        return place

    def drill(
        self,
        scenario: Scenario = "deletion",
        *,
        private: str | None = None,
        sink: Sink | None = None,
        only: str | None = None,
        fence: Fencing = fence_words,
        addresses: tuple[str, ...] = (),
        since: datetime | None = None,
        at: datetime | None = None,
    ) -> Done:
        asked = drilling.Asked(
            scenario=scenario,
            identities=parse_identities(private or self.key.read_text().split()[0]),
            estate_sha256=ESTATE_SHA256,
            known=self.history().newest_number(self.dataset),
            only=only,
            at=at,
            addresses=addresses,
            previous=self.history().newest_statement(self.dataset),
            since=since or self.history().last_at(self.dataset),
        )
        hands = drilling.Hands(
            by=ALICE,
            sink=sink or self.sink,
            clock=CLOCK,
            keep=self.keep,
            host="here",
            opened=self.open,
            sign=spool_on(self.machine, self.root).sign,
            fence=fence,
            os_user=os_account(),
        )
        return drilling.drill(self.declared, asked, hands)

    @property
    def keep(self) -> Keep:
        return Keep(self.root / "state" / self.dataset)

    def done_events(self) -> list[Event]:
        return [event for event in self.sink.events if event.action == DRILL_DONE]

    def history(self) -> History:
        return fold(told(event) for event in self.done_events())


def told(event: Event) -> Told:
    assert event.id and event.time and event.resource
    return Told(event.id, datetime.fromisoformat(event.time), event.actor.id, event.resource.id, data_of(event))


def data_of(event: Event) -> Any:
    assert isinstance(event.data, msgspec.Raw)
    return msgspec.json.decode(event.data)


def filled(path: Path, rows: int = 500) -> Path:
    """A database in WAL mode, as a service has it."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE letter (id INTEGER PRIMARY KEY, title TEXT, body BLOB)")
        database.executemany(
            "INSERT INTO letter (title, body) VALUES (?, randomblob(200))", [(f"letter {n}",) for n in range(rows)]
        )
        database.commit()
    return path


def no_fence(scratch: Path, *, cover: Sequence[Path] = (), as_user: int | None = None) -> tuple[str, ...]:
    """What a kernel without namespaces comes to."""
    return ()


def verdicts(done: Done) -> dict[str, str]:
    return {one.name: one.verdict for one in done.objectives}


def left_in(place: Path) -> Sequence[str]:
    """What is left in the scratch place."""
    return sorted(path.name for path in place.iterdir())
