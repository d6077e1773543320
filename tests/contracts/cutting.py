"""A way to a server that breaks: after so many bytes of answers it cuts the connection, as often as it was told."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(slots=True)
class Cuts:
    """`left` cuts are to come, each after `after_bytes` of one connection's answers; `url` is where the way begins."""

    url: str
    after_bytes: int
    left: int


@contextmanager
def cutting(url: str, *, after_bytes: int, times: int) -> Iterator[Cuts]:
    """A way to the server at `url` while the block runs."""
    parts = urlsplit(url)
    there = parts.hostname or "127.0.0.1", parts.port or 80
    with socket.create_server(("127.0.0.1", 0)) as door:
        cuts = Cuts(f"http://127.0.0.1:{door.getsockname()[1]}", after_bytes, times)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    near, _ = door.accept()
                    far = socket.create_connection(there)
                    threading.Thread(target=_carry, args=(near, far, None), daemon=True).start()
                    threading.Thread(target=_carry, args=(far, near, cuts), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield cuts
        door.shutdown(socket.SHUT_RDWR)


def _carry(source: socket.socket, target: socket.socket, cuts: Cuts | None) -> None:
    carried = 0
    with suppress(OSError):
        while data := source.recv(1 << 16):
            if cuts is not None and cuts.left and carried + len(data) > cuts.after_bytes:
                cuts.left -= 1
                target.sendall(data[: max(0, cuts.after_bytes - carried)])
                break
            target.sendall(data)
            carried += len(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
