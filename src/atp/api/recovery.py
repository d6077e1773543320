"""How each dataset stands, its drills, and what is due. For whoever may read the operators' log."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from atp.api.estate import admit, instant, instant_or_none, seconds
from atp.api.gate import Gate
from atp.api.parameters import read_number, read_parameters, refusal
from atp.api.shapes import answer
from atp.limits import DRILLS_DEFAULT, DRILLS_MAX
from atp.ops.declaration.writing import plain
from atp.ops.drills.evidence.event import envelope_of
from atp.ops.drills.evidence.figures import Done
from atp.ops.drills.evidence.history import Drill
from atp.ops.estate.evidence.due import Due, Kind, State
from atp.ops.estate.evidence.finding import Colour
from atp.ops.estate.evidence.signoff import Review
from atp.ops.estate.evidence.standing import Standing, last_drills
from atp.tenants.names import OPERATIONS

_INDEX_MAX = 2**53


class DueItem(msgspec.Struct):
    """Something that is done again and again; null instants are at once, or never. `runs_on` is the machine that a
    drill has to be run on."""

    dataset: str
    kind: Kind
    state: State
    last_at: str | None
    tried_at: str | None
    due_at: str | None
    overdue_at: str | None
    every_seconds: float
    scenario: str | None
    runs_on: str | None


class DueItems(msgspec.Struct):
    """All that is due or overdue at a moment, the latest first."""

    at: str
    due: list[DueItem]


class ReasonItem(msgspec.Struct):
    """Why a dataset is not green."""

    colour: Colour
    sentence: str
    next_move: str


class CopyItem(msgspec.Struct):
    """The newest copy in a repository; `point_at` is the last instant whose data is in it."""

    repository: str
    backup: str
    made_at: str
    point_at: str
    encrypted: bool | None


class LastDrill(msgspec.Struct):
    """The newest drill of a scenario."""

    scenario: str
    verdict: str
    at: str
    by: str
    rpo_seconds: float | None
    rto_seconds: float | None
    failed: list[str]


class DatasetStanding(msgspec.Struct):
    """How a dataset stands, and every reason for its colour."""

    name: str
    kind: str
    owner: str | None
    classification: str
    colour: Colour
    reasons: list[ReasonItem]
    rpo_seconds: float | None
    rto_seconds: float | None
    retention_seconds: float | None
    copies: list[CopyItem]
    read_back_at: str | None
    last_drills: list[LastDrill]
    due: list[DueItem]


class Datasets(msgspec.Struct):
    """Every dataset of the estate, as of a moment."""

    at: str
    datasets: list[DatasetStanding]


class DatasetDetail(msgspec.Struct):
    """One dataset: how it stands, what is declared of it, the numbers of drills that nothing was told of."""

    at: str
    standing: DatasetStanding
    declared: Any
    missing_drills: list[int]


class ReviewItem(msgspec.Struct):
    """What somebody found of a drill, and what has to follow; `index` says where its proof is."""

    at: str
    by: str
    is_own: bool
    note: str
    follow_up: str | None
    index: int | None


class DrillItem(msgspec.Struct):
    """One drill with all its figures and its reviews; `event` and `index` say where its proof is."""

    id: str
    event: str
    index: int | None
    at: str
    by: str
    dataset: str
    drill: Done
    reviews: list[ReviewItem]


class Drills(msgspec.Struct):
    """A page of drills, newest first."""

    drills: list[DrillItem]
    next: str | None


def routes(gate: Gate) -> list[Route]:
    """The doors of this noun."""
    return [
        Route("/v1/datasets", partial(list_datasets, gate), methods=["GET"]),
        Route("/v1/datasets/{name}", partial(read_dataset, gate), methods=["GET"]),
        Route("/v1/drills", partial(list_drills, gate), methods=["GET"]),
        Route("/v1/drills/{dataset}/{number}", partial(read_drill, gate), methods=["GET"]),
        Route("/v1/drills/{dataset}/{number}/statement", partial(read_statement, gate), methods=["GET"]),
        Route("/v1/due", partial(read_due, gate), methods=["GET"]),
    ]


def list_datasets(gate: Gate, request: Request) -> Response:
    """How each dataset stands."""
    seen = admit(gate, request, "datasets.read")
    return answer(Datasets(instant(seen.at), [_standing(one) for one in seen.standings.values()]))


def read_dataset(gate: Gate, request: Request) -> Response:
    """How one dataset stands."""
    seen, name = admit(gate, request, "datasets.read"), str(request.path_params["name"])
    found = seen.standing(name)
    missing = gate.platform.recovery.missing(name)
    return answer(DatasetDetail(instant(seen.at), _standing(found), plain(found.subject.dataset), missing))


def list_drills(gate: Gate, request: Request) -> Response:
    """A page of drills. One event is read for each, and for each review."""
    caller, recovery = gate.caller(request), gate.platform.recovery
    gate.platform.reader(OPERATIONS, by=caller)
    found = read_parameters(request, ("dataset", "cursor", "limit"))
    limit = read_number(found, "limit", default=DRILLS_DEFAULT, most=DRILLS_MAX)
    below = read_number(found, "cursor", default=_INDEX_MAX, least=0, most=_INDEX_MAX)
    seen, dataset = recovery.look(), found.get("dataset")
    if dataset is not None:
        seen.standing(dataset)
    placed = [one for one in recovery.drills(dataset) if one.index < below]
    page = placed[:limit]
    drills = _drills(gate, [drill for one in page if (drill := recovery.drill(one)) is not None])
    gate.read(request, "drills.read", {"dataset": dataset} if dataset else {}, by=caller, tenant=OPERATIONS)
    return answer(Drills(drills, str(page[-1].index) if len(placed) > limit else None))


def read_drill(gate: Gate, request: Request) -> Response:
    """One drill."""
    [drill] = _drills(gate, [_find(gate, request)])
    return answer(drill)


def read_statement(gate: Gate, request: Request) -> Response:
    """The signed statement of a drill, made again of its event."""
    found = _find(gate, request)
    return Response(envelope_of(found.done, dataset=found.dataset), media_type="application/json")


def _find(gate: Gate, request: Request) -> Drill:
    seen = admit(gate, request, "drills.read")
    dataset, number = str(request.path_params["dataset"]), str(request.path_params["number"])
    seen.standing(dataset)
    if not number.isascii() or not number.isdecimal() or len(number) > 9:
        raise refusal("number", "has to be a number")
    return gate.platform.recovery.find_drill(dataset, int(number))


def read_due(gate: Gate, request: Request) -> Response:
    """What is due or overdue."""
    seen = admit(gate, request, "due.read")
    return answer(DueItems(instant(seen.at), [_due(one) for one in seen.due()]))


def _standing(found: Standing) -> DatasetStanding:
    subject, dataset = found.subject, found.subject.dataset
    return DatasetStanding(
        name=subject.name,
        kind=dataset.kind,
        owner=dataset.owner,
        classification=dataset.classification,
        colour=found.colour,
        reasons=[ReasonItem(one.colour, one.sentence, one.next_move) for one in found.reasons],
        rpo_seconds=seconds(dataset.rpo),
        rto_seconds=seconds(dataset.rto),
        retention_seconds=seconds(dataset.retention),
        copies=[
            CopyItem(name, copy.backup, instant(copy.made_at), instant(copy.point_at), copy.encrypted)
            for name, copy in subject.copies().items()
        ],
        read_back_at=instant_or_none(subject.proofs.read_back_at),
        last_drills=[
            LastDrill(
                one.scenario,
                one.verdict,
                instant(one.at),
                one.by,
                seconds(one.rpo),
                seconds(one.rto),
                list(one.failed),
            )
            for one in last_drills(subject).values()
        ],
        due=[_due(one) for one in found.due],
    )


def _due(one: Due) -> DueItem:
    return DueItem(
        dataset=one.dataset,
        kind=one.kind,
        state=one.state,
        last_at=instant_or_none(one.last_at),
        tried_at=instant_or_none(one.tried_at),
        due_at=instant_or_none(one.due_at),
        overdue_at=instant_or_none(one.overdue_at),
        every_seconds=one.every.total_seconds(),
        scenario=one.scenario or None,
        runs_on=one.runs_on or None,
    )


def _drills(gate: Gate, drills: Sequence[Drill]) -> list[DrillItem]:
    reviews = gate.platform.recovery.reviews(drills)
    return [
        DrillItem(
            drill.name,
            drill.id,
            drill.index,
            instant(drill.at),
            drill.by,
            drill.dataset,
            drill.done,
            [_review(one) for one in reviews.get(drill.id, ())],
        )
        for drill in drills
    ]


def _review(one: Review) -> ReviewItem:
    return ReviewItem(instant(one.at), one.by, one.is_own, one.said.note, one.said.follow_up, one.index)
