"""A dataset, its repository and its key: what tests of backups stand on; and trees, told apart by all that is kept."""

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

from atp.adapters.memory import FrozenClock
from atp.adapters.memory_repository import MemoryRepository
from atp.ops.backups.act import making, restoring
from atp.ops.backups.act.kinds.choose import arrival_of, capture_of
from atp.ops.backups.act.kinds.shape import Occasion
from atp.ops.backups.act.listing import find_backup
from atp.ops.backups.act.step import Record
from atp.ops.backups.act.workplace import workplace
from atp.ops.backups.declare import Declared
from atp.ops.backups.evidence import Made
from atp.ops.backups.format.manifest import Kind
from atp.ops.backups.format.seal import draw_identity, parse_identities
from atp.ops.record.act import Person
from atp.ops.record.recording import begin
from atp.ports.repository import Repository
from tests.ops.acting import ListSink

ALICE = Person("alice", is_bound=True)
PRIVATE, RECIPIENT = draw_identity()
IDENTITIES = parse_identities(PRIVATE)
RETENTION = timedelta(days=30)
EVERY = timedelta(days=1)


def nothing(_: int) -> None:
    """Nobody watches."""


@dataclass(slots=True)
class World:
    """`root` is a folder of the test; `wrap` may put a failing repository before the real one."""

    root: Path
    source: Path
    kind: Kind = "files"
    clock: FrozenClock = field(default_factory=FrozenClock)
    repository: Repository = field(init=False)
    sink: ListSink = field(default_factory=ListSink)
    copies: Mapping[str, Repository] = field(default_factory=dict)
    retention: timedelta | None = RETENTION
    is_erasable: bool = False
    private: str = field(init=False)
    recipient: str = field(init=False)

    def __post_init__(self) -> None:
        """Its key is in its folder, so that another process has the same."""
        self.repository = MemoryRepository(self.clock)
        key = self.root / "KEY.txt"
        if not key.exists():
            key.write_text(f"{PRIVATE}\n{RECIPIENT}\n")
        self.private, self.recipient = key.read_text().split()

    @property
    def declared(self) -> Declared:
        return Declared(
            "letters",
            self.kind,
            self.source,
            "vault",
            tuple(self.copies),
            (self.recipient,),
            self.retention,
            is_erasable=self.is_erasable,
            every=EVERY,
        )

    def record(self, verb: str) -> Record:
        return begin("backup", verb, by=ALICE, sink=self.sink, clock=self.clock, resource="letters", settling="repeat")

    def back_up(
        self,
        *,
        part_bytes_max: int = 1 << 30,
        record: Record | None = None,
        moved: Callable[[int], object] = nothing,
    ) -> Made:
        with workplace("letters", below=self.root) as place:
            observed = making.observe(self.repository, dataset="letters", dead=place.dead, now=self.clock.now())
            made = Made(making.new_backup_id(self.clock))
            stores = {"vault": self.repository, **self.copies}
            capture = capture_of(self.declared, folder=place.folder, clock=self.clock, moved=moved, backup=made.backup)
            run = making.Run(self.declared, observed, capture, stores, place, self.clock, moved, made, part_bytes_max)
            return run.carry_out(making.plan(self.declared, observed, capture), record=record or self.record("run"))

    def restore(
        self,
        place: Path,
        *,
        backup: str | None = None,
        replace: Path | None = None,
        identity: str | None = None,
        record: Record | None = None,
        moved: Callable[[int], object] = nothing,
    ) -> restoring.Restored:
        listed = find_backup(self.repository, dataset="letters", backup=backup)
        target = restoring.observe_target(place, kind=self.kind, replace=replace)
        manifest = restoring.check_whole(listed)
        identities = parse_identities(identity or self.private)
        arrival = arrival_of(
            manifest,
            repository=self.repository,
            identities=identities,
            occasion=Occasion(ALICE.id, self.clock.now()),
        )
        steps = restoring.plan(manifest, target, arrival)
        one = restoring.Restore(
            self.repository,
            manifest,
            target,
            arrival,
            identities,
            moved,
            restoring.Restored(listed.backup, str(place)),
        )
        return one.carry_out(steps, record=record or self.record("restore"))


def portrait(root: Path) -> dict[bytes, tuple[object, ...]]:
    """Everything below a directory, itself as `.`: what a restore has to bring back."""
    base = os.fsencode(root)
    found = {b".": _portrait(base)}
    for folder, folders, files in os.walk(base):
        for name in (*folders, *files):
            full = os.path.join(folder, name)
            found[os.path.relpath(full, base)] = _portrait(full)
    return found


def inside(root: Path) -> dict[bytes, tuple[object, ...]]:
    """The same without the directory itself, whose time tells that something was in it for a while."""
    return {name: what for name, what in portrait(root).items() if name != b"."}


def _portrait(full: bytes) -> tuple[object, ...]:
    info = os.lstat(full)
    kind = stat.S_IFMT(info.st_mode)
    what: object = None
    if kind == stat.S_IFREG:
        with open(full, "rb") as file:
            what = sha256(file.read()).hexdigest(), info.st_size
    elif kind == stat.S_IFLNK:
        what = os.readlink(full)
    links = info.st_nlink if kind == stat.S_IFREG else 0
    xattrs = {name: os.getxattr(full, name) for name in os.listxattr(full)} if kind == stat.S_IFREG else {}
    return info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns, links, what, tuple(sorted(xattrs.items()))


def small_tree(root: Path) -> Path:
    """A directory with one of each thing that is easily lost."""
    root.mkdir()
    (root / "empty").mkdir()
    (root / "deep/er/still").mkdir(parents=True)
    (root / "deep/er/still/letter.txt").write_text("dear all\n")
    (root / "zero").touch()
    (root / "big").write_bytes(os.urandom(3_000_000))
    os.symlink("deep/er", root / "link")
    os.symlink("nowhere", root / "dangling")
    os.link(root / "big", root / "deep/hard")
    (root / "deep" / ("n" * 120) / ("m" * 200)).mkdir(parents=True)
    (root / "deep" / ("n" * 120) / ("m" * 200) / "ä ö % \n '").write_bytes(b"odd")
    os.mkfifo(root / "pipe")
    with open(os.fsencode(root) + b"/\xff\xfe", "wb") as file:
        file.write(b"no utf-8")
    with (root / "holes").open("wb") as sparse:
        sparse.truncate(20_000_000)
        sparse.seek(10_000_000)
        sparse.write(b"x")
    os.chmod(root / "zero", 0o4751)
    os.chmod(root / "deep/er/still", 0o500)
    os.utime(root / "zero", ns=(1, -1_234_567_890))
    os.utime(root / "empty", ns=(1, 1_700_000_000_123_456_789))
    return root


def words(steps: Sequence[making.Step]) -> list[str]:
    return [step.name for step in steps]
