"""A bucket whose server goes away while a drill reads from it: one verdict, in its time, and nothing is left."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from atp.log.event import Event
from atp.ops.drills.act.kinds.choose import production_of
from atp.ops.estate.evidence.proofs import DRILL_DONE
from atp.ops.record.act import read_mark
from tests.contracts.vaults import s3_client
from tests.ops.drills.world import World, left_in, verdicts
from tests.services import s3
from tests.services.absent import AbsentError

pytestmark = [pytest.mark.whole, pytest.mark.slow]


@dataclass(slots=True)
class Fateful:
    """A sink that does something when the intention of a step is written down; it keeps what it was told."""

    step: str
    deed: Callable[[], object]
    events: list[Event] = field(default_factory=list)

    def write(self, event: Event, *, expect: Mapping[str, int], is_outcome: bool) -> None:
        mark, _ = read_mark(event)
        if mark is not None and (mark.step, mark.phase) == (self.step, "intended"):
            self.deed()
        self.events.append(event)


@pytest.fixture
def server() -> Iterator[ExitStack]:
    """A server of this test alone, which ends when the stack is closed."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def stored(world: World, server: ExitStack) -> World:
    """The world's backup is in a bucket of that server."""
    try:
        endpoint = server.enter_context(s3.serving())
    except AbsentError as error:
        pytest.skip(str(error))
    s3_client(endpoint).create_bucket(Bucket="vault", ObjectLockEnabledForBucket=True)
    (world.root / "vault.key").write_text(f"{endpoint.access_key}:{endpoint.secret_key}\n")
    place = f"vault: {{kind: directory, place: {world.root}/vault}}"
    bucket = f"kind: s3, place: 's3://vault/x', endpoint: '{endpoint.url}', lock: compliance"
    world.changes = [(place, f"vault: {{{bucket}, credentials: {{file: {world.root}/vault.key}}}}")]
    world.beat()
    world.back_up()
    return world


@pytest.mark.parametrize("step", ["choose", "restore/fetch", "restore/check", "ask"])
def test_a_server_that_stops_answering_is_a_repository_that_is_gone(
    stored: World, server: ExitStack, step: str
) -> None:
    before = production_of(stored.declared).look()
    sink = Fateful(step, server.close)
    done = stored.drill(sink=sink)
    assert (done.verdict, done.cause, verdicts(done)["content"]) == ("fail", "repository-gone", "fail"), done
    assert done.reason.startswith("could not ") and done.rto_seconds is None
    assert [event.outcome for event in sink.events if event.action == DRILL_DONE] == ["failure"]
    assert production_of(stored.declared).look() == before and left_in(stored.scratch) == []


def test_a_server_that_answers_to_the_end_is_green(stored: World) -> None:
    done = stored.drill("ransomware")
    assert (verdicts(done)["content"], verdicts(done)["lock"]) == ("pass", "pass"), done
    assert [one.tried for one in done.attempts if one.refused and one.answer.startswith("4")] == [
        *("move its day forward", "release it to governance", "remove the version", "remove the version by force"),
        "suspend versioning",
    ]
