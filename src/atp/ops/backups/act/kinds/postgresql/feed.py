"""Segments on their way to a server that replays them: a few are fetched ahead of it, and what it takes makes room.

PLACE/names     what there is; anything else the server is told at once that there is none
PLACE/asked     a pipe, and while it is there somebody serves: `NAME wanted` by who waits, `NAME taken` by who has it
PLACE/take      what the server runs (restore_command): moves a segment to it, or waits until it is there
PLACE/NAME      a segment, whole and checked
"""

import os
import shlex
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from atp.limits import POSTGRESQL_SEGMENTS_AHEAD
from atp.ops.backups.act.kinds.postgresql.segments import Shipped

_OVER = "over"
# A code over 125 ends the server; it takes any other failure for the end of the log. Who served may have died.
_TAKE = """\
place=${0%/*}
if ! mv "$place/$1" "$2" 2>/dev/null; then
  grep -qxF "$1" "$place/names" || exit 1
  echo "$1 wanted" 1<>"$place/asked"
  until test -e "$place/$1"; do
    test -p "$place/asked" && kill -0 OWNER || exit 255
    sleep 0.01
  done
  mv "$place/$1" "$2" || exit 255
fi
echo "$1 taken" 1<>"$place/asked"
"""


@dataclass(slots=True)
class Feed:
    """What a server may ask for, in the order in which it will; `fetch` makes one a file, or raises."""

    place: Path
    following: Sequence[Shipped]
    fetch: Callable[[Shipped, Path], None]
    failure: BaseException | None = None
    _at: dict[str, int] = field(default_factory=dict)
    _under_way: dict[str, "Future[None]"] = field(default_factory=dict)
    _fetched: set[str] = field(default_factory=set)

    @property
    def restore_command(self) -> str:
        """What the server runs for each segment, in the words of the setting."""
        return f"sh {shlex.quote(str(self.place / 'take')).replace('%', '%%')} %f %p"

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve while the block lasts. Raises what kept a segment from coming, whatever the server made of that."""
        self._open()
        with ThreadPoolExecutor(POSTGRESQL_SEGMENTS_AHEAD, thread_name_prefix="segment") as pool:
            asked = os.open(self.place / "asked", os.O_RDWR | os.O_CLOEXEC)
            thread = threading.Thread(target=self._serve, args=(asked, pool), name="feed")
            thread.start()
            try:
                yield
            except Exception:
                if self.failure is None:
                    raise
            finally:
                self._close(asked, thread, pool)
        if self.failure is not None:
            raise self.failure

    def check_rest(self) -> None:
        """Fetch those that the server did not ask for. Raises what is wrong with one."""
        for one in self.following:
            if one.segment not in self._fetched:
                self.file_of(one)

    def file_of(self, one: Shipped) -> Path:
        """One of them as a file, when nobody is served any more; those that were there before are gone."""
        path = self.place / one.segment
        if not path.exists():
            self._keep(())
            self._bring(one)
        return path

    def _open(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(mode=0o700)
        self._at = {one.segment: at for at, one in enumerate(self.following)}
        (self.place / "names").write_text("".join(f"{one.segment}\n" for one in self.following))
        (self.place / "take").write_text(_TAKE.replace("OWNER", str(os.getpid())))
        os.mkfifo(self.place / "asked", 0o600)

    def _serve(self, asked: int, pool: ThreadPoolExecutor) -> None:
        with self._ending(), open(asked, encoding="ascii", closefd=False) as lines:
            self._look_ahead(0, pool)
            for line in lines:
                name, word = line.split()
                if word == _OVER:
                    return
                self._look_ahead(self._at[name] + (word == "taken"), pool)

    def _look_ahead(self, at: int, pool: ThreadPoolExecutor) -> None:
        """Have a few from there on, and no others."""
        wanted = self.following[at : at + POSTGRESQL_SEGMENTS_AHEAD]
        self._keep([one.segment for one in wanted])
        for one in wanted:
            if one.segment not in self._under_way and not (self.place / one.segment).exists():
                self._under_way[one.segment] = pool.submit(self._bring_or_end, one)

    def _keep(self, names: Sequence[str]) -> None:
        for name, coming in list(self._under_way.items()):
            if coming.cancel() or coming.done():
                del self._under_way[name]
        for path in self.place.iterdir():
            if path.name in self._at and path.name not in names:
                path.unlink(missing_ok=True)

    def _bring(self, one: Shipped) -> None:
        self.fetch(one, self.place / one.segment)
        self._fetched.add(one.segment)

    def _bring_or_end(self, one: Shipped) -> None:
        with self._ending():
            self._bring(one)

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """What fails is told by `serving`, and nobody waits any longer."""
        try:
            yield
        except BaseException as error:
            self.failure = self.failure or error
            (self.place / "asked").unlink(missing_ok=True)

    def _close(self, asked: int, thread: threading.Thread, pool: ThreadPoolExecutor) -> None:
        (self.place / "asked").unlink(missing_ok=True)
        os.write(asked, f"all {_OVER}\n".encode())
        thread.join()
        os.close(asked)
        pool.shutdown(cancel_futures=True)
