"""Appends, swaps and trims until it is killed; prints the size of the log after each acknowledged step."""

import sys
from pathlib import Path

from atp.adapters.sqlite import open_order
from atp.ports.event_store import Swap
from tests.contracts.keepers import batch


def main(directory: Path) -> None:
    store = open_order(directory, ids_in_memory_max=50)
    note = store.checkpoint("acme")
    size = store.size("acme")
    while True:
        count = size % 11 + 1
        store.append([batch("acme", size, count)], {})
        size += count
        if size % 5 == 0:
            new = f"note {size}".encode()
            store.swap_checkpoints([Swap("acme", note, new, size)])
            note = new
        if size % 7 == 0:
            store.trim({"acme": size - 40})
        sys.stdout.write(f"{size}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
