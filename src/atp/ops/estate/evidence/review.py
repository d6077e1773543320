"""The self-review: an estate held against what is proven of it, each answer with its colour and the next move."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from atp.ops.estate.declare.values import Estate
from atp.ops.estate.evidence.copies import Subject, copy_findings, subjects
from atp.ops.estate.evidence.finding import COLOURS, PROVEN_BY_EVIDENCE, Colour, Finding, Score, score_of, worst
from atp.ops.estate.evidence.proofs import Evidence
from atp.ops.estate.evidence.restores import drill_findings, objective_findings
from atp.ops.estate.evidence.standing import standing_of
from atp.ops.estate.evidence.stewardship import stewardship_findings


@dataclass(frozen=True, slots=True)
class Review:
    """All answers, worst first; the colour of each dataset; when the trail was read, if it was.

    The score is also told apart: of what the file declares, and of what evidence proves.
    """

    at: datetime
    evidence_at: datetime | None
    findings: tuple[Finding, ...]
    datasets: Mapping[str, Colour]
    score: Score
    declared: Score
    proven: Score

    @property
    def colour(self) -> Colour:
        """The worst colour of all answers and datasets."""
        return worst([*(finding.colour for finding in self.findings), *self.datasets.values()])

    def open_findings(self) -> tuple[Finding, ...]:
        """What is not green."""
        return tuple(finding for finding in self.findings if finding.colour != "green")


def review(estate: Estate, evidence: Evidence, now: datetime) -> Review:
    """Answer every question of the self-review. Pure: the same values give the same review.

    A dataset has the colour that `standing_of` gives it; where nothing is known it is grey, never green. Its answers
    ask more, and each has a colour of its own.
    """
    known = tuple(subjects(estate, evidence, now))
    found = [*stewardship_findings(estate, now), *(one for subject in known for one in _answers(subject))]
    datasets = {subject.name: standing_of(subject).colour for subject in known}
    if evidence.unreadable:
        told = f"{evidence.unreadable} events of backups and drills cannot be read: they prove nothing"
        found.append(Finding("amber", "estate", "evidence", told, "atp query --tenant operations --action backup.done"))
    found.sort(key=lambda finding: COLOURS.index(finding.colour))
    proven = [one for one in found if one.check in PROVEN_BY_EVIDENCE]
    declared = [one for one in found if one.check not in PROVEN_BY_EVIDENCE]
    scores = (score_of(found), score_of(declared), score_of(proven))
    return Review(now, evidence.read_at, tuple(found), datasets, *scores)


def _answers(subject: Subject) -> Iterator[Finding]:
    yield from objective_findings(subject)
    yield from copy_findings(subject)
    yield from drill_findings(subject)
