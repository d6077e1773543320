"""The event `drill.done` and the signed statement that it names by its digest."""

import msgspec

from atp.log.event import Actor, Event, Resource, format_instant
from atp.ops.drills.evidence.figures import Done, predicate
from atp.ops.estate.evidence.proofs import DRILL_DONE
from atp.ops.record.act import Person
from atp.ops.record.statement import Statement, Subject

PREDICATE = "urn:atp:drill:1"


def statement_of(done: Done, *, dataset: str) -> Statement:
    """What is signed: of the estate file, and of the backup when one was chosen, that the drill gave these figures."""
    subjects = [Subject("estate.yaml", {"sha256": done.estate_sha256})]
    if done.manifest_sha256:
        name = f"{dataset}/{done.backup}/manifest.json"
        subjects.append(Subject(name, {"sha256": done.manifest_sha256}))
    return Statement(subject=tuple(subjects), predicate_type=PREDICATE, predicate=msgspec.Raw(predicate(done)))


def event_of(done: Done, *, dataset: str, by: Person, micros: int) -> Event:
    """The event that is written down; its id says dataset and number, so that a number is never told twice."""
    return Event(
        actor=Actor(by.id, type="person" if by.is_bound else "os-user"),
        action=DRILL_DONE,
        id=f"{DRILL_DONE}.{dataset}.{done.number}.{done.act}",
        time=format_instant(micros),
        resource=Resource(dataset, type="dataset"),
        outcome="success" if done.verdict == "pass" else "failure",
        data=msgspec.Raw(msgspec.json.encode(done)),
    )
