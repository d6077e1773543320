"""The keeper: what both files of each tenant hold, looked at again whenever they changed."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

import numpy as np

from atp.adapters.signatures.bits import (
    FRAMES,
    ROW,
    Numbers,
    Records,
    frames_in,
    grown,
    positions_of,
    rows_in,
    rows_of,
    rows_with,
    whole,
)
from atp.adapters.signatures.files import SealedFile, Stamp, ViewFiles
from atp.durable import disk_move
from atp.errors import ConflictError, UnavailableError
from atp.ports.read_models import Frame, Narrowing

_ROWS_HELD_MAX = 12_288  # of open segments, over all tenants: 72 MiB
_VIEWS_HELD_MAX = 4_096
_NO_ROWS = np.empty(0, ROW)
_NO_NUMBERS = np.empty(0, np.intp)


@dataclass(frozen=True, slots=True)
class _Times:
    """The earliest and the latest instants of some frames."""

    earliest: Numbers
    latest: Numbers

    def meet(self, narrowing: Narrowing, numbers: Numbers) -> Numbers:
        """Those of the frames at `numbers` that may have an event in the window."""
        if narrowing.since is not None:
            numbers = numbers[self.latest[numbers] >= narrowing.since]
        if narrowing.until is not None:
            numbers = numbers[self.earliest[numbers] < narrowing.until]
        return numbers


@dataclass(frozen=True, slots=True)
class _View:
    """What one tenant's files held when they were looked at."""

    stamps: tuple[Stamp, Stamp] = (Stamp(), Stamp())
    sealed: int = 0  # blocks that have their number
    blocks: int = 0  # blocks that count: those before the segment that fills
    rows: Records = field(default_factory=lambda: _NO_ROWS)  # whole rows of that segment
    times: dict[int, _Times] = field(default_factory=dict)  # of blocks, since each was checked

    @property
    def followed(self) -> int:
        return self.blocks * FRAMES + len(self.rows)


class Signatures:
    """Keeps `ReadModels` on a local disk. Survives the loss of any file and any write that was cut short."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = Lock()
        self._views: OrderedDict[str, _View] = OrderedDict()
        self._rows_held = 0
        self._unsealed: tuple[tuple[str, int, Stamp], Records] | None = None

    def followed(self, tenant: str) -> int:
        """How many frames are stored. Two looks at the disk when nothing changed."""
        return self._view(tenant).followed

    def extend(self, tenant: str, frames: Sequence[Frame]) -> None:
        """Store frames: about 40 µs each, and 30 ms more at the end of a segment.

        ConflictError when they do not continue what is stored, UnavailableError when the disk does not take them.
        """
        view, files = self._view(tenant), self._files(tenant)
        first = view.followed
        if [frame.number for frame in frames] != list(range(first, first + len(frames))):
            raise ConflictError(f"could not extend the view of {tenant}: the next frame is {first}")
        with _told("extend", tenant, self._root):
            if view.stamps[0].size != view.rows.nbytes:
                files.replace_rows(view.rows)
            if len(view.rows) == FRAMES:  # a crash came before its block
                files.seal(view.rows)
                view = self._view(tenant)
            while frames:
                room = FRAMES - len(view.rows)
                view = self._appended(tenant, view, rows_of(frames[:room]))
                frames = frames[room:]

    def candidates(self, tenant: str, narrowing: Narrowing) -> Iterator[int]:
        """Frames whose signature holds all terms. About 6 µs a block, 20 µs where some do, 3 ms at its first use."""
        view = self._view(tenant)
        positions = np.unique(positions_of(np.array(narrowing.terms, np.uint64)))
        listed = positions.tolist()
        first, last = max(narrowing.first, 0), narrowing.last
        parts = range(first // FRAMES, min(last // FRAMES, view.blocks) + 1)
        with _told("read", tenant, self._root), closing(self._files(tenant).sealed()) as sealed:
            for part in reversed(parts) if narrowing.newest_first else parts:
                if part < view.blocks:
                    numbers = self._in_block(tenant, view, sealed, part, listed, narrowing)
                    if not len(numbers):
                        continue
                else:
                    numbers = _behind_blocks(view, positions, narrowing)
                numbers = numbers[(numbers >= first) & (numbers <= last)]
                yield from (numbers[::-1] if narrowing.newest_first else numbers).tolist()

    def matches(self, tenant: str, frame: Frame) -> bool:
        """Whether the stored row is bit for bit that of this frame. About 50 µs, and 0.2 s for each other block."""
        view = self._view(tenant)
        if not 0 <= frame.number < view.followed:
            return False
        segment, position = divmod(frame.number, FRAMES)
        rows = view.rows if segment == view.blocks else self._rows_in_block(tenant, view, segment)
        return position < len(rows) and bool(rows[position].tobytes() == rows_of([frame]).tobytes())

    def clear(self, tenant: str) -> None:
        """Remove the files of one log."""
        with _told("clear", tenant, self._root):
            self._files(tenant).remove()

    def _files(self, tenant: str) -> ViewFiles:
        return ViewFiles(self._root / tenant)

    def _view(self, tenant: str) -> _View:
        files = self._files(tenant)
        with _told("read", tenant, self._root):
            stamps = files.stamps()
            with self._lock:
                before = self._views.get(tenant, _View())
                if tenant in self._views:
                    self._views.move_to_end(tenant)
            if before.stamps == stamps:
                return before
            view = _look(files, stamps, before)
        self._hold(tenant, view)
        return view

    def _appended(self, tenant: str, view: _View, rows: Records) -> _View:
        """Write rows behind a view's and seal the segment when it is full. What was written is not read again."""
        files = self._files(tenant)
        stamp, rows = files.append_rows(rows), grown(view.rows, rows)
        if len(rows) == FRAMES:
            files.seal(rows)
            return self._view(tenant)
        view = replace(view, stamps=(stamp, view.stamps[1]), rows=rows)
        if stamp.size == rows.nbytes:  # else another process wrote, too: the next look finds out
            self._hold(tenant, view)
        return view

    def _hold(self, tenant: str, view: _View) -> None:
        with self._lock:
            self._rows_held += len(view.rows) - len(self._views.get(tenant, _View()).rows)
            self._views[tenant] = view
            while len(self._views) > _VIEWS_HELD_MAX or (self._rows_held > _ROWS_HELD_MAX and len(self._views) > 1):
                _, dropped = self._views.popitem(last=False)
                self._rows_held -= len(dropped.rows)

    def _in_block(
        self, tenant: str, view: _View, sealed: SealedFile, number: int, positions: list[int], narrowing: Narrowing
    ) -> Numbers:
        """The frames of a block that may match: all of them when it turns out to be damaged."""
        if number not in view.times:
            block = sealed.block(number)
            if block is None:
                with suppress(OSError):  # a disk that cannot be written is no reason to refuse the answer
                    self._files(tenant).forget_block(number)
                return np.arange(number * FRAMES, (number + 1) * FRAMES)
            view.times[number] = _Times(block["time_min"][0].copy(), block["time_max"][0].copy())
        common = sealed.frames_with(number, positions)
        return view.times[number].meet(narrowing, frames_in(common)) + number * FRAMES if common else _NO_NUMBERS

    def _rows_in_block(self, tenant: str, view: _View, number: int) -> Records:
        key = (tenant, number, view.stamps[1])
        if self._unsealed is None or self._unsealed[0] != key:
            with _told("read", tenant, self._root), closing(self._files(tenant).sealed()) as sealed:
                block = sealed.block(number)
            self._unsealed = key, _NO_ROWS if block is None else rows_in(block)
        return self._unsealed[1]


def _look(files: ViewFiles, stamps: tuple[Stamp, Stamp], before: _View) -> _View:
    """Read what changed since `before`."""
    was, now = before.stamps[0], stamps[0]
    is_grown = now.inode == was.inode and now.size > was.size == before.rows.nbytes
    known = before.rows if is_grown else _NO_ROWS
    rows = files.rows(start=len(known))
    start = int((known if len(known) else rows)["number"][0]) if len(known) + len(rows) else 0
    rows = np.concatenate((known, whole(rows, number=start + len(known))))
    is_same = stamps[1] == before.stamps[1]
    sealed = before.sealed if is_same else _count(files)
    blocks, skipped = divmod(start, FRAMES) if len(rows) else (sealed, 0)
    if skipped or blocks > sealed:  # rows of nothing that can be continued
        blocks, rows = sealed, _NO_ROWS
    return _View(stamps, sealed, blocks, rows, before.times if stamps[1].inode == before.stamps[1].inode else {})


def _count(files: ViewFiles) -> int:
    with closing(files.sealed()) as sealed:
        return sealed.count()


def _behind_blocks(view: _View, positions: Numbers, narrowing: Narrowing) -> Numbers:
    """The frames of the open segment that may match, and all behind it up to the last one asked for."""
    times = _Times(view.rows["time_min"], view.rows["time_max"])
    stored = times.meet(narrowing, rows_with(view.rows, positions)) + view.blocks * FRAMES
    return np.concatenate((stored, np.arange(view.followed, narrowing.last + 1)))


@contextmanager
def _told(verb: str, tenant: str, root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason, hint = error.strerror or str(error), disk_move(error, root, otherwise="check the disk")
        raise UnavailableError(f"could not {verb} the view of {tenant}: {reason}", hint=hint) from error
