"""Records around a record: what a drill has to know of how its steps are written down."""

from collections.abc import Iterator
from contextlib import contextmanager

from atp.ops.backups.act.step import Data, Record


class Watched:
    """A record that knows whether it was the record itself that failed."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self.is_broken = False

    def intend(self, step: str, data: Data | None = None) -> None:
        """See Record."""
        with self._watched():
            self._record.intend(step, data)

    def outcome(self, step: str, data: Data | None = None) -> None:
        """See Record."""
        with self._watched():
            self._record.outcome(step, data)

    def failed(self, step: str, error: BaseException | str, data: Data | None = None) -> None:
        """See Record."""
        with self._watched():
            self._record.failed(step, error, data)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.is_broken = True
            raise


class Within:
    """A record whose steps are those of a larger one."""

    def __init__(self, record: Record, outer: str) -> None:
        self._record = record
        self._outer = outer

    def intend(self, step: str, data: Data | None = None) -> None:
        """See Record."""
        self._record.intend(f"{self._outer}/{step}", data)

    def outcome(self, step: str, data: Data | None = None) -> None:
        """See Record."""
        self._record.outcome(f"{self._outer}/{step}", data)

    def failed(self, step: str, error: BaseException | str, data: Data | None = None) -> None:
        """See Record."""
        self._record.failed(f"{self._outer}/{step}", error, data)
