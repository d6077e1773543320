"""The event `drill.done` and the signed statement that it names by its digest."""

from datetime import datetime
from hashlib import sha256

import msgspec

from atp.errors import MissingError, TamperedError
from atp.log.event import Event
from atp.merkle.encodings import parse_base64
from atp.merkle.keys import parse_vkey
from atp.ops.drills.evidence.figures import Done, predicate
from atp.ops.estate.evidence.proofs import DRILL_DONE
from atp.ops.record.act import Person
from atp.ops.record.fact import dataset_resource, fact_event
from atp.ops.record.statement import Statement, Subject, check_statement, pack_statement

PREDICATE = "urn:atp:drill:1"


def statement_of(done: Done, *, dataset: str) -> Statement:
    """What is signed: of the estate file, and of the backup when one was chosen, that the drill gave these figures."""
    subjects = [Subject("estate.yaml", {"sha256": done.estate_sha256})]
    if done.manifest_sha256:
        name = f"{dataset}/{done.backup}/manifest.json"
        subjects.append(Subject(name, {"sha256": done.manifest_sha256}))
    return Statement(subject=tuple(subjects), predicate_type=PREDICATE, predicate=msgspec.Raw(predicate(done)))


def envelope_of(done: Done, *, dataset: str) -> bytes:
    """The signed statement of a drill, made again of its event. TamperedError unless it is the one that was signed:
    its digest is the event's, and its signature is good."""
    signed = done.statement
    if signed is None:
        raise MissingError("could not make the statement of the drill again: its event names none")
    key, value = parse_vkey(signed.vkey), parse_base64(signed.signature)
    unsigned = msgspec.structs.replace(done, statement=None)
    envelope = pack_statement(statement_of(unsigned, dataset=dataset), key=key, signature=value or b"")
    if sha256(envelope).hexdigest() != signed.sha256:
        raise TamperedError("could not make the statement of the drill again: its event says something else")
    check_statement(envelope, trusted_keys=[key])
    return envelope


def event_of(done: Done, *, dataset: str, by: Person, at: datetime) -> Event:
    """The event that is written down; its id says dataset and number, so that a number is never told twice."""
    event_id = f"{DRILL_DONE}.{dataset}.{done.number}.{done.act}"
    return fact_event(DRILL_DONE, done, of=dataset_resource(dataset), by=by, at=at, event_id=event_id)
