"""One answer of the self-review, its colour, and the arithmetic that makes a score of many."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Colour = Literal["red", "amber", "grey", "green"]
COLOURS: tuple[Colour, ...] = ("red", "amber", "grey", "green")
"""Worst first. Grey is not known: better than known to be wrong, never as good as known to be right."""

POINTS = {"green": 2, "amber": 1, "grey": 0, "red": 0}
POINTS_MAX = 2


_OF_COPIES = ("fresh", "isolated", "immutable", "unlocked", "gone", "encrypted", "verified", "3-2-1-1-0")
_OF_DRILLS = ("drilled", "drill-due", "drill-rpo", "drill-rto", "scenarios")
PROVEN_BY_EVIDENCE = frozenset([*_OF_COPIES, *_OF_DRILLS])
"""Checks that only the operators' trail can turn green; all others are answered by the file and the clock."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was asked of a subject (`dataset bookings`), and the answer; `next_move` is empty when it is green."""

    colour: Colour
    subject: str
    check: str
    sentence: str
    next_move: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """Points of a review: two for each green answer, one for each amber one, none for the rest."""

    counts: dict[Colour, int]

    @property
    def total(self) -> int:
        """How many answers there are."""
        return sum(self.counts.values())

    @property
    def points(self) -> int:
        """The points that were made."""
        return sum(POINTS[colour] * count for colour, count in self.counts.items())

    @property
    def points_max(self) -> int:
        """The points that could be made."""
        return POINTS_MAX * self.total

    @property
    def percent(self) -> int:
        """Points of those that could be made, rounded down: 100 is all. 0 when nothing was asked."""
        return 100 * self.points // self.points_max if self.total else 0

    @property
    def arithmetic(self) -> str:
        """How the score comes about, to be done again by hand."""
        green, amber, grey, red = (self.counts[colour] for colour in ("green", "amber", "grey", "red"))
        made = f"2 x {green} green + 1 x {amber} amber + 0 x {grey} grey + 0 x {red} red"
        return f"({made}) / (2 x {self.total} checks) = {self.points} / {self.points_max} = {self.percent} %"


def score_of(findings: Sequence[Finding]) -> Score:
    """The score of findings."""
    return Score({colour: sum(one.colour == colour for one in findings) for colour in COLOURS})


def worst(colours: Iterable[Colour]) -> Colour:
    """The worst of some colours; grey of none."""
    return min(colours, key=COLOURS.index, default="grey")
