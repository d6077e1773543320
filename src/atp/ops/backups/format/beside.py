"""A stream that goes through another process: what it costs there does not hold up the threads that make and use it.

Encryption and compression keep Python's interpreter lock or fight for it: beside a thread that asks the disk for
thousands of small files they take three times as long as in a process of their own.
"""

import fcntl
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, FileIO
from typing import NoReturn, Protocol, TypeAlias

from atp.errors import AtpError, TamperedError, UnauthorizedError, UnavailableError

Work: TypeAlias = Callable[[BufferedReader, FileIO], None]
_BUFFER_BYTES = 1 << 18
_PIPE_BYTES = 1 << 20
_DONE = "done"
_FIRST = 3  # the descriptor after standard input, output and error
_ERRORS = {kind.__name__: kind for kind in (TamperedError, UnauthorizedError, UnavailableError)}


@contextmanager
def beside(work: Work, chunks: Iterable[bytes], *, what: str) -> Iterator["Worked"]:
    """What `work`, in a process of its own, makes of the chunks; a thread draws them, a pipe's length ahead.

    When the block ends, that process is ended. What `chunks` or `work` raise comes from `read`, where the stream ends.
    `work` may raise errors of this platform alone; all else is told as UnavailableError, "could not `what`".
    """
    (taken, given), (made, making), (told, telling) = _pipe(), _pipe(), os.pipe()
    with warnings.catch_warnings():
        # Other threads may hold locks that the child would wait for: it uses none but its own pipes, zstd and age.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _work(work, taken, making, telling, what)
    for end in (taken, making, telling):
        os.close(end)
    worked = Worked(_reading(made), _reading(told), chunks, given, what)
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

    def __init__(
        self, made: BufferedReader, told: BufferedReader, chunks: Iterable[bytes], given: int, what: str
    ) -> None:
        self._made = made
        self._told = told
        self._what = what
        self._said = ""
        self._faults: list[BaseException] = []
        self._feeder = threading.Thread(target=self._feed, args=(chunks, given), name="feed", daemon=True)
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

    def _feed(self, chunks: Iterable[bytes], given: int) -> None:
        try:
            with open(given, "wb", buffering=0) as into:
                for chunk in chunks:
                    write_all(into, chunk)
        except BrokenPipeError:
            return  # the other side ended, and says why
        except BaseException as error:  # told by the thread that reads
            self._faults.append(error)


def _pipe() -> tuple[int, int]:
    """With room for more than a chunk, so that the two sides wait for each other less often."""
    ends = os.pipe()
    with suppress(OSError):  # a user has only so much room in all pipes
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return ends


def _reading(end: int) -> BufferedReader:
    return BufferedReader(FileIO(end), _BUFFER_BYTES)


class Takes(Protocol):
    """A file without a buffer, or what stands for one."""

    def write(self, data: memoryview, /) -> int:
        """Take some of it, and say how much."""


def write_all(into: Takes, data: bytes) -> None:
    """Write all of it: a pipe may take less at once."""
    view = memoryview(data)
    while view:
        view = view[into.write(view) :]


def _work(work: Work, taken: int, making: int, telling: int, what: str) -> NoReturn:
    """The life of the other process. It holds nothing but its three pipes, and never returns."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the process that reads decides
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _close_all_but({taken, making, telling})
        said = _DONE
        try:
            with _reading(taken) as source, open(making, "wb", buffering=0) as target:
                work(source, target)
        except AtpError as error:
            said = "\n".join(
                (type(error).__name__, str(error).removesuffix(f" (hint: {error.hint})"), error.hint or "")
            )
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
