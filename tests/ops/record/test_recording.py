"""No evidence, no act: whatever is done was intended durably before, and nothing secret is written down."""

import pytest

from atp.adapters.memory import FrozenClock
from atp.errors import ConflictError, InvalidError, MissingError, RefusedError, UnavailableError
from atp.ops.record.act import Found, Settling, Step
from atp.ops.record.recording import Recording, begin, resume
from atp.ops.secrecy import check_no_secrets, is_secret_name, without_secrets
from tests.ops.acting import ALICE, ListSink

CLOCK = FrozenClock()


def begun(sink: ListSink, *, settling: Settling = "person") -> Recording:
    data = {"to": "s3"}
    return begin("backup", "run", by=ALICE, sink=sink, clock=CLOCK, resource="b-1", data=data, settling=settling)


def test_an_act_is_told_before_and_after_each_step() -> None:
    sink = ListSink()
    act = begun(sink)
    act.intend("copy", {"bytes": 7})
    act.outcome("copy", {"seconds": 1.5})
    act.intend("check")
    act.failed("check", OSError("no such file"))
    act.intend("check")
    act.outcome("check")
    act.end("done", {"files": 2})
    assert sink.act() == act.act
    assert [event.outcome for event in sink.events] == [
        "unknown",
        "unknown",
        "success",
        "unknown",
        "failure",
        "unknown",
        "success",
        "success",
    ]
    assert {event.action for event in sink.events} == {"backup.run"}
    assert len({event.id for event in sink.events}) == len(sink.events)
    assert (act.act.steps["check"].attempts, act.act.steps["copy"].outcome) == (2, {"seconds": 1.5})


def test_ids_of_acts_sort_by_time_and_are_not_predictable() -> None:
    clock = FrozenClock()
    ids = list[str]()
    for _ in range(20):
        ids.append(begin("backup", "run", by=ALICE, sink=ListSink(), clock=clock).act.id)
        clock.advance(0.000_001)
    assert ids == sorted(ids) and len({act.rpartition("-")[2] for act in ids}) == 20


def test_what_nobody_takes_is_not_begun() -> None:
    with pytest.raises(UnavailableError, match="no evidence, no act"):
        begun(ListSink(refused=[0]))
    sink = ListSink(refused=[1])
    act = begun(sink)
    with pytest.raises(UnavailableError):
        act.intend("copy")
    assert act.act.steps == {} and sink.act() == act.act
    act.intend("copy")
    assert act.act.steps["copy"].attempts == 1


def test_an_outcome_that_was_lost_leaves_the_step_unknown() -> None:
    sink = ListSink(refused=[2])
    act = begun(sink)
    act.intend("copy")
    with pytest.raises(UnavailableError):
        act.outcome("copy")
    assert [step.name for step in sink.act().unknown_steps] == ["copy"]
    with pytest.raises(ConflictError, match="nobody knows"):
        act.end("done")
    with pytest.raises(ConflictError, match=r"nobody knows.*\(hint: look, then atp act settle\)"):
        resume(sink.act(), by=ALICE, sink=sink, clock=CLOCK).intend("copy")


def test_what_is_repeatable_is_run_again_and_both_are_told() -> None:
    sink = ListSink()
    begun(sink, settling="repeat").intend("copy")
    again = resume(sink.act(), by=ALICE, sink=sink, clock=CLOCK)
    again.intend("copy")
    again.outcome("copy")
    assert (sink.act().steps["copy"].state, sink.act().steps["copy"].attempts) == ("done", 2)


def test_a_person_settles_what_nobody_knows() -> None:
    sink = ListSink()
    begun(sink).intend("copy")
    later = resume(sink.act(), by=ALICE, sink=sink, clock=CLOCK)
    with pytest.raises(InvalidError, match="no reason"):
        later.settle("copy", "nothing", " ")
    later.settle("copy", "nothing", "the target is empty")
    settled = sink.act().steps["copy"].settled
    assert settled is not None
    assert (settled.by, settled.reason, settled.is_observed) == ("alice", "the target is empty", False)
    with pytest.raises(ConflictError, match="it is nothing already"):
        later.settle("copy", "done", "seen")
    later.intend("copy")
    later.outcome("copy")
    later.end("done")
    with pytest.raises(ConflictError, match="it has ended"):
        resume(sink.act(), by=ALICE, sink=sink, clock=CLOCK)


def test_a_probe_settles_by_what_it_observes_and_says_so() -> None:
    sink = ListSink()
    begun(sink, settling="probe").intend("start")
    later = resume(sink.act(), by=ALICE, sink=sink, clock=CLOCK)

    def observe(step: Step) -> tuple[Found, str]:
        assert step.state == "unknown"
        return "done", "it runs"

    assert later.probe("start", observe) == "done"
    settled = sink.act().steps["start"].settled
    assert settled is not None and settled.is_observed and settled.reason == "it runs"


def test_an_outcome_needs_its_intention() -> None:
    act = begun(ListSink())
    with pytest.raises(MissingError, match="never intended"):
        act.outcome("copy")
    act.intend("copy")
    act.outcome("copy")
    with pytest.raises(ConflictError, match="it is done already"):
        act.failed("copy", "late")


def test_what_is_expected_goes_to_the_sink() -> None:
    sink = ListSink()
    begin("incident", "declare", by=ALICE, sink=sink, clock=CLOCK, resource="i-1", expect={"i-1": -1})
    assert sink.expected == [{"i-1": -1}]


@pytest.mark.parametrize("name", ["act", "step", "phase", "spool", "sent_as"])
def test_names_of_the_record_are_its_own(name: str) -> None:
    with pytest.raises(InvalidError, match=f"'{name}' is a name of the record's own"):
        begin("backup", "run", by=ALICE, sink=ListSink(), clock=CLOCK, data={name: "x"})


@pytest.mark.parametrize(("noun", "verb"), [("", "run"), ("a.b", "run"), ("atp", "erase"), ("backup", "run now")])
def test_an_act_is_a_noun_and_a_verb(noun: str, verb: str) -> None:
    with pytest.raises(InvalidError, match="not a noun and a verb"):
        begin(noun, verb, by=ALICE, sink=ListSink(), clock=CLOCK)


KEY = f"atp_{'0' * 12}_{'a' * 64}"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"password": "x"}, "password"),
        ({"db": {"accessToken": "x"}}, "db.accessToken"),
        ({"api_key": "x"}, "api_key"),
        ({"secrets": ["a"]}, "secrets[0]"),
        ({"credentials": {"user": "a"}}, "credentials.user"),
        ({"note": KEY}, "note"),
        ({"list": ["x", "PRIVATE+KEY+a+00000000+AQ=="]}, "list[1]"),
        ({"url": "postgres://atp:hunter2@db/atp"}, "url"),
        ({"text": "-----BEGIN OPENSSH PRIVATE KEY-----"}, "text"),
        ({"header": "Bearer abcdefghijklmnopqrstuvwxyz"}, "header"),
        ({KEY: 1}, "a name in it"),
    ],
)
def test_secrets_are_refused_by_name_and_never_shown(data: dict[str, object], field: str) -> None:
    sink = ListSink()
    with pytest.raises(RefusedError) as refused:
        begin("backup", "run", by=ALICE, sink=sink, clock=CLOCK, data=data)
    assert f"{field} looks like a secret" in str(refused.value) and sink.events == []
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    "data",
    [
        {"token_count": 5, "has_password": True, "secret": None},
        {"public_key": "AQ==", "key_id": "00000000", "vkey": "a+b+c"},
        {"url": "https://example.org:443/a@b", "passed": "yes", "keyboard": "x", "monkey": "y"},
    ],
)
def test_what_is_no_secret_passes(data: dict[str, object]) -> None:
    check_no_secrets(data)


def test_a_failure_is_told_without_the_secret_in_its_words() -> None:
    sink = ListSink()
    act = begun(sink)
    act.intend("copy")
    act.failed("copy", f"could not log in with {KEY}")
    error = sink.act().steps["copy"].error
    assert error == without_secrets(KEY) and KEY not in (error or "")


def test_names_are_read_word_by_word() -> None:
    secret = ("PASSWORD", "dbPassword", "x-api-key", "APIKey", "privateKey")
    assert [name for name in secret if not is_secret_name(name)] == []
    assert [name for name in ("tokenizer", "compass", "key", "keys", "apiVersion") if is_secret_name(name)] == []
