"""A stream that one thread makes while another uses it: a few chunks ahead, never more."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TypeAlias

Put: TypeAlias = Callable[[bytes], None]
_CHUNKS = 8


class GoneError(Exception):
    """Nobody wants the rest: what `put` raises then, so that the maker ends."""


@contextmanager
def ahead(make: Callable[[Put], None], *, name: str) -> Iterator[Iterator[bytes]]:
    """Run `make` in a thread of its own and give what it puts, in order, then what it raised.

    When the block ends before the stream does, the maker is told with its next chunk, and waited for. What it raised is
    raised at the end of the block at the latest, unless the block raises itself.
    """
    room, ready, faults = threading.Semaphore(_CHUNKS), SimpleQueue[bytes | None](), list[BaseException]()
    is_gone = threading.Event()

    def put(chunk: bytes) -> None:
        if not is_gone.is_set():
            room.acquire()
        if is_gone.is_set():  # since before, or since it was waited for
            raise GoneError
        ready.put(chunk)

    def run() -> None:
        try:
            make(put)
        except GoneError:
            return
        except BaseException as error:  # told by the thread that uses it
            faults.append(error)
        finally:
            ready.put(None)

    def chunks() -> Iterator[bytes]:
        while (chunk := ready.get()) is not None:
            room.release()
            yield chunk
        if faults:
            raise faults[0]

    maker = threading.Thread(target=run, name=name, daemon=True)
    maker.start()
    try:
        yield chunks()
    finally:
        is_gone.set()
        room.release()
        maker.join()
    if faults:
        raise faults[0]
