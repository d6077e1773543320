"""What a measurement gives: a ratio against a yardstick, what it should be, and the verdict."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

HEAD = ("what", "measured", "yardstick", "ratio", "goal", "floor", "verdict")
MET, FLOOR, MISSED, SKIPPED, FAILED = "met", "over the floor", "MISSED", "skipped", "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measurement. `yardstick` is in the same unit; where the goal is absolute, it is the limit itself.

    The ratio has to reach `goal`, or to stay below it when `is_ceiling`; `floor` is what is just bearable.
    """

    what: str
    measured: float
    unit: str
    yardstick: float
    against: str
    goal: float = 1.0
    floor: float | None = None
    is_ceiling: bool = False
    note: str = ""

    @property
    def ratio(self) -> float:
        """Measured by yardstick."""
        return self.measured / self.yardstick if self.yardstick else math.inf

    @property
    def verdict(self) -> str:
        """Whether the goal is met, or at least the floor."""
        if self._reaches(self.goal):
            return MET
        return FLOOR if self.floor is not None and self._reaches(self.floor) else MISSED

    def _reaches(self, bound: float) -> bool:
        return self.ratio <= bound if self.is_ceiling else self.ratio >= bound


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A measurement that was not made: `verdict` says whether it was skipped or failed, `reason` why."""

    what: str
    verdict: str
    reason: str


Row = Figure | Unmeasured


def percentile(samples: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of raw samples; NaN of none."""
    if not samples:
        return math.nan
    return sorted(samples)[max(0, math.ceil(len(samples) * percent / 100) - 1)]


def as_json(row: Row) -> dict[str, object]:
    """A row for `--json`."""
    derived = {"ratio": row.ratio} if isinstance(row, Figure) else {}
    return asdict(row) | derived | {"verdict": row.verdict}


def as_table(rows: Iterable[Row]) -> str:
    """All rows for people, in aligned columns; notes and reasons stand below their row."""
    cells = [(HEAD, ""), *((_cells(row), row.note if isinstance(row, Figure) else row.reason) for row in rows)]
    widths = [max(len(line[column]) for line, _ in cells) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        + (f"\n    {note}" if note else "")
        for line, note in cells
    )


def _cells(row: Row) -> tuple[str, ...]:
    if isinstance(row, Unmeasured):
        return (row.what, "", "", "", "", "", row.verdict)
    sign = "≤" if row.is_ceiling else "≥"
    return (
        row.what,
        f"{_short(row.measured)} {row.unit}",
        f"{_short(row.yardstick)} ({row.against})",
        f"{row.ratio:.2f}",
        f"{sign} {row.goal:g}",
        f"{sign} {row.floor:g}" if row.floor is not None else "",
        row.verdict,
    )


def _short(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"
