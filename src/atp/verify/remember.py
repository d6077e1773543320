"""Remembers the newest checkpoint of each log that this person verified, so that the next one is held against it."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import mkstemp

from atp.errors import MissingError, RefusedError, TamperedError, UnavailableError
from atp.merkle.keys import VerifierKey
from atp.verify.source import NOTE_FILE_BYTES_MAX, read_file
from atp.verify.trust import VKEY_FILE_BYTES_MAX, claimed_checkpoint, parse_vkeys


@dataclass(frozen=True, slots=True)
class Memory:
    """A directory with one signed note an origin and the keys that it verified under, readable by its owner alone."""

    directory: Path

    def remembered(self, origin: str) -> bytes | None:
        """The note that was remembered for an origin; None when there is none that can be read."""
        try:
            note = read_file(self._path(origin), bytes_max=NOTE_FILE_BYTES_MAX)
            return note if claimed_checkpoint(note).origin == origin else None
        except (MissingError, TamperedError, UnavailableError, RefusedError):
            return None

    def notes(self) -> Iterator[bytes]:
        """Every note that is remembered and can be read, one an origin."""
        for path in sorted((self.directory / "checkpoints").glob("[0-9a-f]*")):
            try:
                note = read_file(path, bytes_max=NOTE_FILE_BYTES_MAX)
                if self._path(claimed_checkpoint(note).origin) == path:
                    yield note
            except (MissingError, TamperedError, UnavailableError, RefusedError):
                continue

    def remember(self, note: bytes) -> None:
        """Replace what is remembered, unless that is of the same size or newer.

        The caller has verified the note, and that the log begins with what was remembered. UnavailableError when it
        cannot be written.
        """
        checkpoint = claimed_checkpoint(note)
        before = self.remembered(checkpoint.origin)
        if before is None or claimed_checkpoint(before).size < checkpoint.size:
            self._write(self._path(checkpoint.origin), note)

    def keys(self, origin: str) -> tuple[VerifierKey, ...]:
        """The keys under which this person saw the log's checkpoints; none when that was never."""
        try:
            return parse_vkeys(read_file(self._keys_path(origin), bytes_max=VKEY_FILE_BYTES_MAX))
        except (MissingError, TamperedError, UnavailableError, RefusedError):
            return ()

    def remember_keys(self, origin: str, keys: Sequence[VerifierKey]) -> None:
        """Replace the keys of a log. UnavailableError when they cannot be written."""
        if self.keys(origin) != tuple(keys):
            self._write(self._keys_path(origin), "".join(f"{key.vkey}\n" for key in keys).encode())

    def keep_evidence(self, *notes: bytes) -> Path:
        """Keep notes that contradict each other, both signed: they prove to anyone that the log was forked."""
        folder = self.directory / "forks"
        for note in notes:
            checkpoint = claimed_checkpoint(note)
            name = f"{_name(checkpoint.origin)}-{checkpoint.size}-{sha256(note).hexdigest()[:16]}"
            self._write(folder / name, note)
        return folder

    def _path(self, origin: str) -> Path:
        return self.directory / "checkpoints" / _name(origin)

    def _keys_path(self, origin: str) -> Path:
        return self.directory / "keys" / _name(origin)

    def _write(self, path: Path, note: bytes) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, written = mkstemp(dir=path.parent, prefix=".tmp-")  # mode 0600
            with os.fdopen(handle, "wb") as file:
                file.write(note)
                file.flush()
                os.fsync(file.fileno())
            Path(written).replace(path)
        except OSError as error:
            raise UnavailableError(f"could not remember it in {path}: {error.strerror}") from None


def default_memory() -> Memory:
    """In `$ATP_STATE_DIR`, else `$XDG_STATE_HOME/atp`, else `~/.local/state/atp`."""
    if state := os.environ.get("ATP_STATE_DIR"):
        return Memory(Path(state))
    home = os.environ.get("XDG_STATE_HOME")
    return Memory(Path(home) / "atp" if home else Path("~/.local/state/atp").expanduser())


def _name(origin: str) -> str:
    return sha256(origin.encode()).hexdigest()
