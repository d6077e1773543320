"""What a machine keeps of its drills: the number of the newest of each dataset, and every signed statement.

FOLDER/DATASET/number        the newest number that was given away; locked (flock) while a drill of the dataset runs
FOLDER/DATASET/N.dsse.json   the envelope of drill N
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from atp.durable import disk_move
from atp.errors import ConflictError, MalformedError, UnavailableError
from atp.limits import DRILL_ENVELOPE_BYTES_MAX
from atp.ops.drills.evidence.figures import Previous

_DIGITS_MAX = 9
_ENVELOPE = re.compile(r"([1-9][0-9]{0,8})\.dsse\.json")


@dataclass(frozen=True, slots=True)
class Keep:
    """The folder of one dataset."""

    folder: Path

    @contextmanager
    def next_number(self, known: int) -> Iterator[int]:
        """The next number, given away, synced, when the block begins; `known` is the newest that the events tell.

        ConflictError while another drill of the dataset runs. A drill that dies has used its number up.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.folder / "number", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unwritable(self.folder, error) from None
        try:
            self._lock(handle)
            number = max(known, self._read(handle)) + 1
            self._write(handle, number)
            yield number
        finally:
            os.close(handle)

    def keep(self, number: int, envelope: bytes) -> str:
        """Store a statement, synced, never over another one; its digest."""
        path = self.folder / f"{number}.dsse.json"
        try:
            with open(path, "xb") as file:
                file.write(envelope)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unwritable(path, error) from None
        return sha256(envelope).hexdigest()

    def kept(self, number: int) -> bytes | None:
        """The statement of a drill; None when it is not here."""
        try:
            with open(self.folder / f"{number}.dsse.json", "rb") as file:
                return file.read(DRILL_ENVELOPE_BYTES_MAX)
        except OSError:
            return None

    def newest_before(self, number: int) -> Previous | None:
        """The newest statement that is kept here of a drill with a smaller number. Costs listing the folder."""
        names = os.listdir(self.folder) if self.folder.is_dir() else []
        numbers = [int(found[1]) for name in names if (found := _ENVELOPE.fullmatch(name))]
        newest = max((one for one in numbers if one < number), default=None)
        envelope = None if newest is None else self.kept(newest)
        return None if newest is None or envelope is None else Previous(newest, sha256(envelope).hexdigest())

    def _lock(self, handle: int) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConflictError(
                f"could not drill {self.folder.name!r}: another drill of it runs", hint="wait for it to end"
            ) from None

    def _read(self, handle: int) -> int:
        text = os.pread(handle, _DIGITS_MAX + 2, 0).decode("ascii", "replace").strip()
        if text and not (text.isdecimal() and len(text) <= _DIGITS_MAX):
            raise MalformedError(
                f"could not number the drill: {self.folder / 'number'} holds no number", hint="write the newest there"
            )
        return int(text or 0)

    def _write(self, handle: int, number: int) -> None:
        try:
            os.pwrite(handle, f"{number:0{_DIGITS_MAX}}\n".encode(), 0)
            os.fsync(handle)
        except OSError as error:
            raise _unwritable(self.folder, error) from None


def _unwritable(path: Path, error: OSError) -> UnavailableError:
    return UnavailableError(
        f"could not write {path}: {error.strerror}",
        hint=disk_move(error, path, otherwise="name another place with ATP_STATE_DIR"),
    )
