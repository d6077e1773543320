"""What a verification found: a verdict per level and log, whom it trusted, and every place that is wrong."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Level = Literal["structure", "payload", "index"]
Verdict = Literal["ok", "failed", "partly", "not possible here", "not asked"]

LEVELS: tuple[Level, ...] = ("structure", "payload", "index")
FINDINGS_MAX = 1_000
"""How many findings a log's report keeps; beyond it they are only counted."""

_TEXT_FINDINGS_MAX = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: where it lies, and which entries it concerns: from `index` to before `stop`."""

    level: Level
    place: str
    reason: str
    index: int | None = None
    stop: int | None = None

    @property
    def sentence(self) -> str:
        """`<place>: <entries>: <reason>`."""
        return ": ".join(part for part in (self.place, self._entries, self.reason) if part)

    @property
    def _entries(self) -> str:
        if self.index is None:
            return ""
        if self.stop is None or self.stop == self.index + 1:
            return f"entry {self.index}"
        return f"entries {self.index} to {self.stop - 1}"


@dataclass(frozen=True, slots=True)
class LevelVerdict:
    """What holds at one level; `reason` says why it is not plainly ok, or what it rests on."""

    verdict: Verdict
    reason: str = ""


class Findings:
    """Collects what is wrong: keeps the first `FINDINGS_MAX` and counts them all."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.total: dict[Level, int] = {}

    def add(self, *findings: Finding) -> None:
        """Keep them, or only count them when there are too many."""
        for finding in findings:
            self.total[finding.level] = self.total.get(finding.level, 0) + 1
            if len(self.kept) < FINDINGS_MAX:
                self.kept.append(finding)

    def sorted(self) -> tuple[Finding, ...]:
        """By level, then by the first wrong entry; what names no entry comes last."""
        last = 1 << 64
        return tuple(sorted(self.kept, key=lambda f: (LEVELS.index(f.level), last if f.index is None else f.index)))


@dataclass(frozen=True, slots=True)
class LogReport:
    """The verdicts about one log. `complete_up_to` is the last entry's received_at, or None where none can be read.

    `note` is the checkpoint where it holds; `forks` are signed notes that contradict it, and with it prove to anyone
    that the log has two histories. `losses` are entries that were signed and are gone, as a restore declared: nobody
    tampered with the log, and it is not whole.
    """

    name: str
    origin: str = ""
    size: int = 0
    root: str = ""
    complete_up_to: str | None = None
    trusted: str = ""
    levels: Mapping[Level, LevelVerdict] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    findings_total: int = 0
    notes: tuple[str, ...] = ()
    note: bytes = b""
    forks: tuple[bytes, ...] = ()
    losses: tuple[Finding, ...] = ()

    @property
    def is_tampered(self) -> bool:
        """Whether any level failed."""
        return any(level.verdict == "failed" for level in self.levels.values())

    def with_level(self, level: Level, verdict: LevelVerdict, findings: Iterable[Finding] = ()) -> "LogReport":
        """The report with the verdict of one more level: the index is compared by another reader than this one."""
        more = tuple(findings)
        return replace(
            self,
            levels={**self.levels, level: verdict},
            findings=self.findings + more,
            findings_total=self.findings_total + len(more),
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values for one JSON object."""
        return {
            "log": self.name,
            "origin": self.origin,
            "size": self.size,
            "root": self.root,
            "complete_up_to": self.complete_up_to,
            "trusted": self.trusted,
            "levels": {name: {"verdict": at.verdict, "reason": at.reason} for name, at in self.levels.items()},
            "findings": [_finding_json(finding) for finding in self.findings],
            "findings_total": self.findings_total,
            "losses": [_finding_json(loss) for loss in self.losses],
            "notes": list(self.notes),
        }

    def as_text(self) -> str:
        """A few lines for a person."""
        lines = [f"{self.name}: {self.size} entries, root {self.root or 'unknown'}"]
        if self.trusted:
            lines.append(f"  trusted    {self.trusted}")
        for name, at in self.levels.items():
            lines.append(f"  {name:<10} {at.verdict}{': ' if at.reason else ''}{at.reason}")
        if self.size and not self.is_tampered and not self.losses:
            lines.append(f"  complete up to {self.complete_up_to or f'entry {self.size - 1}'}, nothing newer known")
        lines += [f"  ! {finding.sentence}" for finding in self.findings[:_TEXT_FINDINGS_MAX]]
        if self.findings_total > _TEXT_FINDINGS_MAX:
            lines.append(f"  ! and {self.findings_total - _TEXT_FINDINGS_MAX} more")
        lines += [f"  ! {loss.sentence}" for loss in self.losses]
        return "\n".join([*lines, *(f"  - {note}" for note in self.notes)])


@dataclass(frozen=True, slots=True)
class Report:
    """The verdicts about a place: `findings` are those that belong to no single log."""

    place: str
    kind: str
    logs: tuple[LogReport, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_tampered(self) -> bool:
        """Whether anything is wrong."""
        return bool(self.findings) or any(log.is_tampered for log in self.logs)

    @property
    def first_sentence(self) -> str:
        """The first thing that is wrong, and in which log; empty when nothing is."""
        found = [finding.sentence for finding in self.findings]
        found += [f"{log.name}: {finding.sentence}" for log in self.logs for finding in log.findings]
        failed = (
            f"{log.name}: {at.reason}" for log in self.logs for at in log.levels.values() if at.verdict == "failed"
        )
        return found[0] if found else next(failed, "")

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong, and nothing that is known to have been signed is lost."""
        return not self.is_tampered and not any(log.losses for log in self.logs)

    def as_json(self) -> dict[str, Any]:
        """Plain values for one JSON document."""
        return {
            "place": self.place,
            "kind": self.kind,
            "tampered": self.is_tampered,
            "whole": self.is_whole,
            "logs": [log.as_json() for log in self.logs],
            "findings": [_finding_json(finding) for finding in self.findings],
            "notes": list(self.notes),
        }

    def as_text(self) -> str:
        """What a person reads; the last line is the verdict."""
        lines = [f"{self.place}: {self.kind}", *(log.as_text() for log in self.logs)]
        lines += [f"! {finding.sentence}" for finding in self.findings]
        lines += [f"- {note}" for note in self.notes]
        return "\n".join([*lines, self._verdict])

    @property
    def _verdict(self) -> str:
        if self.is_tampered:
            return "TAMPERED"
        return "nothing wrong found" if self.is_whole else "LOST, DECLARED: entries that were signed are gone"


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "level": finding.level,
        "place": finding.place,
        "first_index": finding.index,
        "stop_index": finding.stop,
        "sentence": finding.sentence,
    }
