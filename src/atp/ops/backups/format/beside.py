"""A stream that goes through another process: what it costs there does not hold up the threads that make and use it.

Encryption and compression keep Python's interpreter lock or fight for it: beside a thread that asks the disk for
thousands of small files they take three times as long as in a process of their own.
"""

import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from io import FileIO
from typing import NoReturn, TypeAlias

from atp.errors import AtpError, TamperedError, UnauthorizedError, UnavailableError
from atp.ops.backups.format.ring import Reading, Ring, Writing
from atp.ports.repository import Sink

Work: TypeAlias = Callable[[Reading, Sink], None]
_DONE = "done"
_FIRST = 3  # the descriptor after standard input, output and error
_ERRORS = {kind.__name__: kind for kind in (TamperedError, UnauthorizedError, UnavailableError)}


@contextmanager
def beside(work: Work, chunks: Iterable[bytes], *, what: str) -> Iterator["Worked"]:
    """What `work`, in a process of its own, makes of the chunks; a thread draws them, a ring's length ahead.

    When the block ends, that process is ended. What `chunks` or `work` raise comes from `read`, where the stream ends.
    `work` may raise errors of this platform alone; all else is told as UnavailableError, "could not `what`".
    """
    given, made, (told, telling) = Ring(), Ring(), os.pipe()
    with warnings.catch_warnings():
        # Other threads may hold locks that the child would wait for: it uses none but its own rings, zstd and age.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _work(work, given, made, telling, what)
    os.close(telling)
    worked = Worked(made.reading(), told, chunks, given, what)
    try:
        yield worked
    finally:
        worked.close()
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        worked.wait()


class Worked:
    """The stream that comes out; to be read to its end, only then it is known that nothing is wrong."""

    def __init__(self, made: Reading, told: int, chunks: Iterable[bytes], given: Ring, what: str) -> None:
        self._made = made
        self._told = FileIO(told)
        self._what = what
        self._said = ""
        self._faults: list[BaseException] = []
        self._feeder = threading.Thread(target=self._feed, args=(chunks, given.writing()), name="feed", daemon=True)
        self._feeder.start()

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        data = self._made.read(size)
        if len(data) < size:
            self.check()
        return data

    def readline(self, size: int, /) -> bytes:
        """At most `size` bytes, up to and with the next line feed."""
        line = self._made.readline(size)
        if not line.endswith(b"\n") and len(line) < size:
            self.check()
        return line

    def check(self) -> None:
        """Raise what was wrong, the stream being at its end."""
        self._said = self._said or self._told.read().decode()
        self._feeder.join()
        if self._faults:
            raise self._faults[0]
        if self._said != _DONE:
            name, _, rest = self._said.partition("\n")
            sentence, _, hint = rest.partition("\n")
            raise _ERRORS.get(name, UnavailableError)(
                sentence or f"could not {self._what}: it was killed", hint=hint or None
            )

    def close(self) -> None:
        """Nobody reads on."""
        self._made.close()
        self._told.close()

    def wait(self) -> None:
        """The thread that draws has ended."""
        self._feeder.join()

    def _feed(self, chunks: Iterable[bytes], given: Writing) -> None:
        try:
            with closing(given):
                for chunk in chunks:
                    given.write(chunk)
        except BrokenPipeError:
            return  # the other side ended, and says why
        except BaseException as error:  # told by the thread that reads
            self._faults.append(error)


def _work(work: Work, given: Ring, made: Ring, telling: int, what: str) -> NoReturn:
    """The life of the other process. It holds nothing but its two rings and a pipe, and never returns."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the process that reads decides
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        said = _DONE
        try:
            with closing(given.reading()) as source, closing(made.writing()) as target:
                _close_all_but({*given.reading_ends, *made.writing_ends, telling})
                work(source, target)
        except AtpError as error:
            said = "\n".join((type(error).__name__, error.sentence, error.hint or ""))
        except BaseException as error:
            said = f"{UnavailableError.__name__}\ncould not {what}: {type(error).__name__}: {error}\n"
        os.write(telling, said.encode()[:4096])
    finally:
        os._exit(0)


def _close_all_but(kept: set[int]) -> None:
    first = _FIRST
    for end in sorted(kept):
        os.closerange(first, end)
        first = end + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))
