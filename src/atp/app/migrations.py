"""`DIR/FORMAT`: which version of the stored formats a directory has, and the steps that bring an older one forward."""

from collections.abc import Callable, Mapping
from pathlib import Path

from atp.durable import replace_file
from atp.errors import MalformedError, UnavailableError

FORMAT = 2
FILE = "FORMAT"
Steps = Mapping[int, Callable[[Path], None]]
"""From the version that a step reads to what it does: it leaves the next version behind, and may be repeated."""


def migrate(data: Path, *, steps: Steps, newest: int = FORMAT) -> int:
    """Bring a directory to the newest version, one durable step after the other; the version that it had.

    An empty directory gets the newest one. MalformedError for a version of the future: nothing is touched then.
    UnavailableError when the disk refuses; whatever was done stands, and the next start goes on from there.
    """
    try:
        found = _read(data, newest)
        for version in range(found, newest):
            steps[version](data)
            _write(data, version + 1)
        if not (data / FILE).exists():
            _write(data, newest)
    except OSError as error:
        raise UnavailableError(
            f"could not open {data}: {error.strerror}", hint="a directory that this user may write to, with free space"
        ) from None
    return found


def _read(data: Path, newest: int) -> int:
    try:
        text = (data / FILE).read_bytes()[:100].decode("ascii", "replace").strip()
    except FileNotFoundError:
        return newest
    if not (text.isascii() and text.isdigit()) or int(text) > newest:
        raise MalformedError(
            f"could not open {data}: its format is {text[:20]!r}, this program knows up to {newest}",
            hint="use the newer program that wrote it",
        )
    return int(text)


def _write(data: Path, version: int) -> None:
    replace_file(data / FILE, b"%d\n" % version, mode=0o644)
