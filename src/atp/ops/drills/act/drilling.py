"""A drill from its number to its evidence: swept, numbered, intended, carried out, judged, signed, told."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from atp.merkle.dsse import read_signatures
from atp.merkle.encodings import format_base64
from atp.ops.backups.act.kinds.choose import ReadAddress
from atp.ops.backups.act.kinds.shape import Occasion
from atp.ops.backups.act.listing import Listed
from atp.ops.backups.act.step import Step, carry_out
from atp.ops.backups.evidence import UNASKED, Recorded
from atp.ops.backups.format.seal import Identity
from atp.ops.drills.act.fence import can_fence, fence_words
from atp.ops.drills.act.keeping import Keep
from atp.ops.drills.act.kinds.choose import production_of
from atp.ops.drills.act.kinds.elsewhere import Elsewhere
from atp.ops.drills.act.kinds.shape import Production
from atp.ops.drills.act.running import Fencing, Ran, Recall, Run
from atp.ops.drills.act.scratch import Scratch, scratch, sweep
from atp.ops.drills.act.telling import Around, figures
from atp.ops.drills.declare import EVIDENCE, Declared, check_apart, plan
from atp.ops.drills.evidence.event import event_of, statement_of
from atp.ops.drills.evidence.figures import Done, OsUser, Previous, Signed
from atp.ops.drills.evidence.history import missed_slots
from atp.ops.estate.declare.hosts import is_host
from atp.ops.estate.declare.values import Scenario
from atp.ops.record.act import Person
from atp.ops.record.recording import Recording, begin
from atp.ops.record.sink import Sink
from atp.ops.record.statement import Sealed, Statement
from atp.ports.clock import Clock
from atp.ports.repository import Repository
from atp.verify.remember import Memory

_LOCAL = ("/", "127.", "localhost:", "::1:")
"""How addresses begin that are on this machine: sockets, and the loopback."""


def unasked(_: Repository, __: Listed, ___: str) -> Recorded:
    """Nobody asks the trail."""
    return UNASKED


@dataclass(frozen=True, slots=True)
class Hands:
    """What a drill acts with. `opened` opens a repository by name, `sign` signs with the key that is at hand, `read`
    gives the address that a reference means, `memory` is what this machine verified of logs, `recall` gives what the
    operators' trail remembers of a backup (`unasked`: there is none, and nothing is judged by it), `fence` what starts
    a process behind one, `os_user` whom the kernel knows."""

    by: Person
    sink: Sink
    clock: Clock
    keep: Keep
    host: str
    opened: Callable[[str], Repository]
    sign: Callable[[Statement], Sealed]
    read: ReadAddress | None = None
    memory: Memory | None = None
    recall: Recall = unasked
    fence: Fencing = fence_words
    os_user: OsUser | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asked for. `known` is the newest number that the events tell, `previous` the newest statement that
    they name, `since` when the dataset was last drilled, or first had evidence. `only` is one repository, `at`
    when the data was damaged; `addresses` are those of production, which have to be out of reach behind the fence."""

    scenario: Scenario
    identities: Sequence[Identity]
    estate_sha256: str
    known: int = 0
    only: str | None = None
    at: datetime | None = None
    forced: str = ""
    addresses: tuple[str, ...] = ()
    previous: Previous | None = None
    since: datetime | None = None


def drill(declared: Declared, asked: Asked, hands: Hands) -> Done:
    """Carry one drill out. Whatever the backup, the repository or the scratch place do wrong is in the verdict.

    InvalidError when the scratch place overlaps what must not be touched, ConflictError while another drill of the
    dataset runs, UnavailableError, and the drill stops, when nothing takes its evidence.
    """
    steps = planned(declared, asked, hands.fence)
    with hands.keep.next_number(asked.known) as number:
        swept = sweep(declared.place)
        data = {
            "number": number,
            "scenario": asked.scenario,
            "rpo_seconds": declared.rpo.total_seconds() if declared.rpo else None,
            "rto_seconds": declared.rto.total_seconds() if declared.rto else None,
            "plan": [step.what for step in steps],
            "forced": asked.forced,
            "swept": swept,
        }
        record = begin(
            "drill",
            "run",
            by=hands.by,
            sink=hands.sink,
            clock=hands.clock,
            resource=declared.dataset,
            data=data,
            settling="repeat",
        )
        try:
            done = _drilled(declared, asked, hands, record, steps, number=number, swept=tuple(swept))
        except BaseException:
            if not record.act.unknown_steps:
                record.end("failed")
            raise
        record.end("done", {"verdict": done.verdict})
    return done


def planned(declared: Declared, asked: Asked, fence: Fencing = fence_words) -> list[Step]:
    """The steps that a drill would carry out now. InvalidError as for `drill`. Touches nothing."""
    check_apart(declared)
    return plan(declared, asked.scenario, is_fenced=is_fenced(fence), only=asked.only, at=asked.at)


def is_fenced(fence: Fencing) -> bool:
    """Whether the kernel grants a fence; asked with a process that does nothing in an empty directory."""
    with TemporaryDirectory() as folder:
        return bool(fence(Path(folder))) and can_fence(Path(folder))


def _drilled(
    declared: Declared,
    asked: Asked,
    hands: Hands,
    record: Recording,
    steps: Sequence[Step],
    *,
    number: int,
    swept: tuple[str, ...],
) -> Done:
    act, clock = record.act.id, hands.clock
    production, is_beside = _seen_from(hands.host, declared, production_of(declared, read=hands.read))
    ran = Ran(clock.now(), production.look())
    with scratch(declared.place, act=act, dataset=declared.dataset, clock=clock) as place:
        run = _run(declared, production, asked, hands, place, ran)
        run.carry_out([step for step in steps if step.name != EVIDENCE], record=record)
    around = Around(
        number=number,
        act=act,
        scenario=asked.scenario,
        place=str(place.folder),
        host=hands.host,
        user=hands.by.id,
        estate_sha256=asked.estate_sha256,
        forced=asked.forced,
        swept=swept,
        previous_sha256=_previous(asked, hands.keep, number),
        missed_slots=missed_slots(asked.since, declared.period, now=ran.lost_at),
        key_beside=is_beside,
        os_user=hands.os_user,
    )
    found = [figures(ran, declared, around)]

    def tell() -> dict[str, object]:
        found.append(_told(found[0], declared.dataset, hands))
        assert found[1].statement is not None
        return {"statement_sha256": found[1].statement.sha256}

    carry_out([step for step in steps if step.name == EVIDENCE], {EVIDENCE: tell}, record=record)
    return found[1]


def _seen_from(host: str, declared: Declared, production: Production) -> tuple[Production, bool | None]:
    """The living data as this machine sees it, and whether it is here; None: nobody can tell. On the machine that
    drills are declared to run on, apart from the data, something in its place is not looked at, and need not be it; on
    any other one that there is nothing shows nothing: it may be lost."""
    is_here = _is_here(declared, production)
    if not declared.runs_on:
        return production, is_here
    if is_host(declared.runs_on, host):
        return (Elsewhere(production), None) if is_here else (production, False)
    return production, is_here or None


def _is_here(declared: Declared, production: Production) -> bool:
    """Whether the living data is on this machine, as the private key is; a server that is asked over a
    network is not."""
    if declared.source is not None:
        return os.path.lexists(declared.source)
    return all(address.startswith(_LOCAL) for address in production.addresses)


def _previous(asked: Asked, keep: Keep, number: int) -> str | None:
    """The digest of the newest statement, that the events name or that lies here."""
    found = [one for one in (asked.previous, keep.newest_before(number)) if one is not None]
    return max(found).sha256 if found else None


def _run(declared: Declared, production: Production, asked: Asked, hands: Hands, place: Scratch, ran: Ran) -> Run:
    return Run(
        declared=declared,
        production=production,
        scenario=asked.scenario,
        opened=hands.opened,
        identities=asked.identities,
        scratch=place,
        fence=hands.fence,
        clock=hands.clock,
        ran=ran,
        occasion=Occasion(hands.by.id, hands.clock.now(), "a drill", hands.memory),
        recall=hands.recall,
        only=asked.only,
        at=asked.at,
        addresses=asked.addresses,
    )


def _told(done: Done, dataset: str, hands: Hands) -> Done:
    """Sign the figures, keep the envelope, and write the event that names it."""
    sealed = hands.sign(statement_of(done, dataset=dataset))
    signed = Signed(
        sha256=hands.keep.keep(done.number, sealed.envelope),
        signed_by=sealed.key.name,
        vkey=sealed.key.vkey,
        whose=sealed.whose,
        signature=format_base64(read_signatures(sealed.envelope)[0]),
    )
    told = msgspec.structs.replace(done, statement=signed)
    event = event_of(told, dataset=dataset, by=hands.by, at=hands.clock.now())
    hands.sink.write(event, expect={}, is_outcome=True)
    return told
