"""What a plan is made of, and how each of its steps is written down: the intention before, the outcome after."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One step, by its name in the record, and what it does, for people."""

    name: str
    what: str


class Record(Protocol):
    """As far as an act needs it: `atp.ops.record.recording.Recording`."""

    def intend(self, step: str, data: Data | None = None) -> None:
        """Durable when it returns; else the step must not begin."""

    def outcome(self, step: str, data: Data | None = None) -> None:
        """The step was done."""

    def failed(self, step: str, error: BaseException | str, data: Data | None = None) -> None:
        """It was not, and why."""


def carry_out(steps: Sequence[Step], doing: Mapping[str, Callable[[], Data | None]], *, record: Record) -> None:
    """Do every step in order; what one raises is written down, and raised again."""
    for step in steps:
        record.intend(step.name)
        try:
            outcome = doing[step.name]()
        except BaseException as error:
            record.failed(step.name, error)
            raise
        record.outcome(step.name, outcome)
