"""A drill from its number to its evidence: swept, numbered, intended, carried out, judged, signed, told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from atp.merkle.keys import VerifierKey
from atp.ops.act import Person
from atp.ops.backups.act.kinds.choose import ReadAddress
from atp.ops.backups.act.kinds.shape import Occasion
from atp.ops.backups.act.step import carry_out
from atp.ops.backups.format.seal import Identity
from atp.ops.drills.act.asking import fence_words
from atp.ops.drills.act.keeping import Keep
from atp.ops.drills.act.kinds.choose import production_of
from atp.ops.drills.act.kinds.shape import Production
from atp.ops.drills.act.running import Ran, Run
from atp.ops.drills.act.scratch import Scratch, scratch, sweep
from atp.ops.drills.act.telling import Around, figures
from atp.ops.drills.declare import EVIDENCE, Declared, check_apart, plan
from atp.ops.drills.evidence.event import event_of, statement_of
from atp.ops.drills.evidence.figures import Done, Signed
from atp.ops.estate.declare.values import Scenario
from atp.ops.record import Recording, begin
from atp.ops.sink import Sink
from atp.ops.statement import Statement
from atp.ports.clock import Clock
from atp.ports.repository import Repository
from atp.verify.remember import Memory

WHOSE = "the key of this machine, as the beginning of its spool names it; not that of an installation"


@dataclass(frozen=True, slots=True)
class Hands:
    """What a drill acts with. `opened` opens a repository by name, `sign` signs with the key that is at
    hand, `read` gives the address that a reference means, `memory` is what this machine verified of logs."""

    by: Person
    sink: Sink
    clock: Clock
    keep: Keep
    host: str
    opened: Callable[[str], Repository]
    sign: Callable[[Statement], tuple[bytes, VerifierKey]]
    read: ReadAddress | None = None
    memory: Memory | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asked for. `known` is the newest number that the events tell; `only` one repository."""

    scenario: Scenario
    identities: Sequence[Identity]
    estate_sha256: str
    known: int = 0
    only: str | None = None
    forced: str = ""


def drill(declared: Declared, asked: Asked, hands: Hands) -> Done:
    """Carry one drill out. Whatever the backup, the repository or the scratch place do wrong is in the verdict.

    InvalidError when the scratch place overlaps what must not be touched, ConflictError while another drill of the
    dataset runs, UnavailableError, and the drill stops, when nothing takes its evidence.
    """
    check_apart(declared)
    fence = fence_words()
    steps = plan(declared, asked.scenario, is_fenced=bool(fence), only=asked.only)
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
            done = _drilled(declared, asked, hands, record, number=number, swept=tuple(swept), fence=fence)
        except BaseException:
            if not record.act.unknown_steps:
                record.end("failed")
            raise
        record.end("done", {"verdict": done.verdict})
    return done


def _drilled(
    declared: Declared,
    asked: Asked,
    hands: Hands,
    record: Recording,
    *,
    number: int,
    swept: tuple[str, ...],
    fence: Sequence[str],
) -> Done:
    act, clock = record.act.id, hands.clock
    steps = plan(declared, asked.scenario, is_fenced=bool(fence), only=asked.only)
    production = production_of(declared, read=hands.read)
    ran = Ran(clock.now(), production.look())
    with scratch(declared.place, act=act, dataset=declared.dataset, clock=clock) as place:
        run = _run(declared, production, asked, hands, place, fence, ran)
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
    )
    found = [figures(ran, declared, around)]

    def tell() -> dict[str, object]:
        found.append(_told(found[0], declared.dataset, hands))
        assert found[1].statement is not None
        return {"statement_sha256": found[1].statement.sha256}

    carry_out([step for step in steps if step.name == EVIDENCE], {EVIDENCE: tell}, record=record)
    return found[1]


def _run(
    declared: Declared,
    production: Production,
    asked: Asked,
    hands: Hands,
    place: Scratch,
    fence: Sequence[str],
    ran: Ran,
) -> Run:
    return Run(
        declared=declared,
        production=production,
        scenario=asked.scenario,
        opened=hands.opened,
        identities=asked.identities,
        scratch=place,
        fence=fence,
        clock=hands.clock,
        ran=ran,
        occasion=Occasion(hands.by.id, hands.clock.now(), "a drill", hands.memory),
        only=asked.only,
    )


def _told(done: Done, dataset: str, hands: Hands) -> Done:
    """Sign the figures, keep the envelope, and write the event that names it."""
    envelope, key = hands.sign(statement_of(done, dataset=dataset))
    signed = Signed(hands.keep.keep(done.number, envelope), key.name, key.vkey, WHOSE)
    told = msgspec.structs.replace(done, statement=signed)
    micros = int(hands.clock.now().timestamp() * 1_000_000)
    hands.sink.write(event_of(told, dataset=dataset, by=hands.by, micros=micros), expect={}, is_outcome=True)
    return told
