"""The self-review: one question and one change at a time; no data is grey; the arithmetic is exact."""

from datetime import timedelta

import pytest

from atp.ops.estate.declare.parse import parse_estate
from atp.ops.estate.evidence.finding import PROVEN_BY_EVIDENCE, Finding, score_of, worst
from atp.ops.estate.evidence.proofs import UNKNOWN, Fact
from atp.ops.estate.evidence.review import Review, review
from tests.ops.estate.estates import EXAMPLE, NOW, SMALL, read
from tests.ops.estate.proving import HOUR, ROTATION, backup, drilled, evidence, fact, listed, verified

DAY = timedelta(days=1)
# A second repository, so that three copies lie on two kinds of media.
STORES = ("repositories:", "repositories:\n  cellar: {kind: directory, place: /srv/backups, lock: local}")
SECOND = ("{repository: vault,", "{repository: vault, copies_in: [cellar],")
AUDITED = ("{from: web, to: data, what: orders}", "{from: web, to: data, what: orders, audited_in: trail}")
TRAIL = ("datasets:", "datasets:\n  trail: {kind: trail, source: {place: /t}}")
WEEK = "{zone: UTC, weekdays: [mon], opens: '08:00', closes: '09:00'}"
HOURS = ("critical_paths:", f"revenue_hours: {WEEK}\ncritical_paths:")
EARNING = ("criticality: critical", "criticality: critical, in_revenue_hours: true")
GOOD = [backup(), backup(repository="cellar"), verified(), *ROTATION]


def judge(*changes: tuple[str, str], facts: list[Fact] | None = None) -> Review:
    return review(read(STORES, SECOND, *changes), evidence(*(GOOD if facts is None else facts)), NOW)


def answer(found: Review, check: str, subject: str = "dataset data") -> Finding:
    (finding,) = [one for one in found.findings if (one.check, one.subject) == (check, subject)]
    return finding


def test_what_is_declared_and_proven_is_green() -> None:
    found = judge(AUDITED, HOURS, EARNING, TRAIL)
    assert found.datasets["data"] == "green"
    assert {one.subject for one in found.open_findings()} == {"dataset trail"}, "of which little is declared"


# (facts in place of the good ones, check, colour, words of the sentence, words of the next move)
PROOFS: list[tuple[list[Fact], str, str, str, str]] = [
    ([], "fresh", "grey", "unknown: nothing is recorded", "atp backup run data"),
    ([backup(HOUR)], "fresh", "green", "reaches to 1h ago, the RPO is 1h", ""),
    ([backup(HOUR + timedelta(seconds=1))], "fresh", "red", "1h 0s"[:2], "atp backup run data"),
    ([backup(2 * HOUR), backup(HOUR, verdict="fail")], "fresh", "red", "reaches to 2h ago", "atp backup run"),
    ([backup(HOUR), backup(HOUR / 2, verdict="error")], "fresh", "amber", "the last backup failed", "atp backup run"),
    ([backup(repository="elsewhere")], "fresh", "grey", "unknown", "atp backup run"),
    ([backup(point_at="2026-11-26T08:00:00Z")], "fresh", "red", "reaches to 2h ago", "atp backup run"),
    ([backup(HOUR, point_at="2026-11-27T08:00:00Z")], "fresh", "green", "reaches to 1h ago", ""),
    ([], "isolated", "grey", "unknown", "atp backup run data && atp backup verify data"),
    ([verified(isolated=None)], "isolated", "grey", "unknown", "atp backup verify"),
    ([verified(isolated=False)], "isolated", "red", "can change vault", "take that right"),
    ([verified(9 * DAY), verified(isolated=False)], "isolated", "red", "can change", "take that right"),
    ([verified(9 * DAY, isolated=False), verified()], "isolated", "green", "could not change vault", ""),
    ([verified(repository="cellar")], "isolated", "grey", "unknown", "verify"),
    ([], "immutable", "grey", "unknown", "atp backup verify data"),
    ([verified()], "immutable", "green", "its lock is compliance", ""),
    ([verified(repository="cellar")], "immutable", "amber", "its lock is local", "compliance"),
    ([verified(immutable=False)], "immutable", "red", "tried, and done", "atp backup verify"),
    ([], "encrypted", "grey", "unknown", "atp backup run"),
    ([backup(encrypted=None)], "encrypted", "grey", "unknown", "atp backup run"),
    ([backup(), backup(repository="cellar", encrypted=False)], "encrypted", "red", "in cellar is not", "run"),
    ([backup()], "encrypted", "amber", "no drill told yet where the private key lies", "atp drill run data"),
    ([backup(), drilled(key_beside=None)], "encrypted", "amber", "where the private key lies", "atp drill run data"),
    (
        [backup(), drilled(key_beside=True)],
        "encrypted",
        "amber",
        "key and backup on the source machine, safe-1",
        "drill.runs_on: HOST",
    ),
    ([backup(), drilled(key_beside=True), drilled(DAY)], "encrypted", "green", "apart from the data, on safe-1", ""),
    ([], "verified", "grey", "unknown", "atp backup verify"),
    ([verified(7 * DAY)], "verified", "green", "7d ago, due every 7d", ""),
    ([verified(8 * DAY)], "verified", "amber", "8d ago", "atp backup verify"),
    ([verified(DAY, read_back=False)], "verified", "grey", "unknown", "atp backup verify"),
    ([verified(2 * DAY), verified(DAY, verdict="fail")], "verified", "red", "is not what was written", "verify"),
    ([verified(2 * DAY, verdict="fail"), verified(DAY)], "verified", "green", "read back whole", ""),
    (
        [],
        "drilled",
        "grey",
        "unknown: nothing is recorded",
        "atp drill run data --scenario deletion --identity KEY.txt",
    ),
    ([drilled(by="night-shift")], "drilled", "green", "by night-shift (deletion) says pass", ""),
    ([drilled(verdict="fail", failed=["rows"])], "drilled", "red", "says fail: rows", "find the cause"),
    ([drilled(verdict="error")], "drilled", "red", "says error", "--scenario deletion"),
    ([drilled(verdict="insufficient")], "drilled", "amber", "insufficient", "find the cause"),
    ([drilled(90 * DAY)], "drill-due", "green", "90d ago, one is due every 90d", ""),
    ([drilled(104 * DAY)], "drill-due", "amber", "104d ago", "atp drill run data --scenario corruption"),
    ([drilled(105 * DAY)], "drill-due", "red", "105d ago", "atp drill run"),
    ([drilled(200 * DAY), drilled(DAY, verdict="fail")], "drill-due", "red", "200d ago", "atp drill run"),
    ([drilled(DAY, verdict="fail")], "drill-due", "red", "no drill ever passed", "atp drill run"),
    ([drilled(rpo_seconds=3_600)], "drill-rpo", "green", "an RPO of 1h, wanted is 1h", ""),
    ([drilled(rpo_seconds=3_601)], "drill-rpo", "red", "wanted is 1h", "atp drill run"),
    ([drilled(rpo_seconds=None)], "drill-rpo", "grey", "did not measure", "atp drill run"),
    ([drilled(rto_seconds=7_201)], "drill-rto", "red", "wanted is 2h", "restore faster"),
    ([drilled()], "drill-rto", "green", "an RTO of 10min, wanted is 2h", ""),
    ([drilled()], "scenarios", "amber", "1 of 2 scenarios passed so far, not yet corruption", "--scenario corruption"),
    (ROTATION, "scenarios", "green", "2 of 2", ""),
    ([drilled(), drilled(scenario="corruption", verdict="fail")], "scenarios", "amber", "1 of 2", "corruption"),
    ([], "3-2-1-1-0", "grey", "how many copies there are", "atp backup run data"),
    ([backup()], "3-2-1-1-0", "grey", "can be restored", "atp drill run"),
    (GOOD, "3-2-1-1-0", "green", "3-2-1-1-0 of 3-2-1-1-0", ""),
    ([backup(), verified(), *ROTATION], "3-2-1-1-0", "amber", "2-2-1-1-0 of 3-2-1-1-0: copies fall", "backup run"),
    ([*GOOD, drilled(DAY, verdict="fail", failed=["a", "b"])], "3-2-1-1-0", "amber", "3-2-1-1-2", "atp drill run"),
    ([*GOOD[:2], *ROTATION], "3-2-1-1-0", "amber", "3-2-1-0-0", "atp backup verify data"),
]


@pytest.mark.parametrize(("facts", "check", "colour", "words", "move"), PROOFS)
def test_evidence_answers(facts: list[Fact], check: str, colour: str, words: str, move: str) -> None:
    finding = answer(judge(facts=facts), check)
    assert finding.colour == colour, finding
    assert words in finding.sentence and move in finding.next_move, finding
    assert bool(finding.next_move) == (colour != "green")


def test_the_next_move_of_what_is_shipped_continuously_is_to_follow_it_once_there_is_a_copy() -> None:
    trail = [("kind: sqlite", "kind: trail"), ("rows: {table: t, at_least: 1}", "verify: true")]
    shipped = [*trail, ("schedule: 1h", "schedule: 1h, continuous: true")]
    assert answer(judge(*shipped, facts=[backup(2 * HOUR)]), "fresh").next_move == "atp backup follow data"
    assert answer(judge(*shipped, facts=[]), "fresh").next_move == "atp backup run data"


def test_nobody_is_told_to_run_a_drill_that_is_not_declared() -> None:
    (drill,) = [line for line in SMALL.splitlines(keepends=True) if line.startswith("    drill:")]
    moves = [one.next_move for one in judge((drill, "")).findings]
    assert "edit estate.yaml: datasets.data.drill: {place: ..., checks: [...]}" in moves
    assert not any("atp drill run" in move for move in moves)


ERASABLE = ("kind: sqlite", "kind: sqlite\n    erasable: true")
LISTED = [listed(), listed(repository="cellar")]
UNLOCKED = [*GOOD[:2], verified(immutable=None), *ROTATION, *LISTED]
# (facts, check, colour, words, next move) of keys whose destruction erases data
ERASURE: list[tuple[list[Fact], str, str, str, str]] = [
    (UNLOCKED, "unlocked", "green", "no copy is locked, as it must be", ""),
    (GOOD, "unlocked", "grey", "copies in cellar, vault are locked is unknown", "atp backup prune data"),
    ([*GOOD, LISTED[0]], "unlocked", "grey", "copies in cellar are locked is unknown", "atp backup prune data"),
    ([*UNLOCKED, listed(locked_until="2026-12-24T00:00:00Z")], "unlocked", "red", "until 2026-12-24", "locks nothing"),
    ([*UNLOCKED, listed(locked_until="2026-11-26T10:00:00Z")], "unlocked", "green", "as it must be", ""),
    ([*UNLOCKED, listed(repository="attic", locked_until="2027-01-01T00:00:00Z")], "unlocked", "red", "attic", "prune"),
    (UNLOCKED, "gone", "green", "the oldest copy is 3d old, each is gone after 30d", ""),
    (GOOD, "gone", "grey", "how old copies in cellar, vault are is unknown", "atp backup prune data"),
    ([*UNLOCKED, listed(oldest_at="2026-10-27T10:00:00Z")], "gone", "green", "30d old", ""),
    ([*UNLOCKED, listed(oldest_at="2026-10-27T09:59:59Z")], "gone", "red", "in vault is 30d", "atp backup prune data"),
    ([*UNLOCKED, listed(repository="attic", oldest_at="2026-10-17T00:00:00Z")], "gone", "red", "attic", "attic back"),
    ([listed(ago=40 * DAY, oldest_at="2026-10-17T00:00:00Z"), *GOOD], "gone", "red", "in vault", "backup prune"),
    ([*GOOD, listed(oldest_at=None), listed(repository="cellar", oldest_at=None)], "gone", "green", "no copy", ""),
    (UNLOCKED, "isolated", "green", "shares no ground with it; without a lock", ""),
    (UNLOCKED, "3-2-1-1-0", "green", "3-2-1-0-0 of 3-2-1-0-0", ""),
]


@pytest.mark.parametrize(("facts", "check", "colour", "words", "move"), ERASURE)
def test_copies_of_erasable_keys_are_unlocked_and_gone_in_time(
    facts: list[Fact], check: str, colour: str, words: str, move: str
) -> None:
    finding = answer(judge(ERASABLE, facts=facts), check)
    assert finding.colour == colour, finding
    assert words in finding.sentence and move in finding.next_move, finding
    assert bool(finding.next_move) == (colour != "green")


def test_a_missing_lock_costs_erasable_keys_nothing_and_the_arithmetic_is_exact() -> None:
    bare = ("lock: compliance", "lock: none"), ("lock: local}", "lock: none}")
    found = judge(ERASABLE, *bare, facts=UNLOCKED)
    assert found.datasets["data"] == "green"
    assert not {one.check for one in found.findings} & {"lock", "immutable"}
    other = judge(*bare, facts=GOOD)
    assert found.proven.total == other.proven.total + 2, "unlocked and gone; lock is declared, not proven"
    assert found.score.points == sum({"green": 2, "amber": 1}.get(one.colour, 0) for one in found.findings)
    assert answer(other, "lock").colour == "red" and other.datasets["data"] == "amber", "a copy is better than none"


# (what is changed in the file, subject, check, colour, words of the sentence)
DECLARED = [
    (("    rpo: 1h\n", ""), "dataset data", "rpo", "red", "no rpo is set"),
    (("    rto: 2h\n", ""), "dataset data", "rto", "red", "no rto is set"),
    (("    retention: 30d\n", ""), "dataset data", "retention", "amber", "no retention is set"),
    (("    owner: owner\n", ""), "dataset data", "owner", "amber", "nobody answers"),
    (("{owner: owner, dep", "{dep"), "service web", "owner", "amber", "nobody answers"),
    ((', health: "https://web.example.org/"', ""), "service web", "health", "amber", "nothing says"),
    ((", confirmed_at: 2026-11-01", ""), "contact owner", "contact", "amber", "nobody ever"),
    (("2026-11-01", "2026-08-29"), "contact owner", "contact", "green", "89d 10h"),
    (("2026-11-01", "2026-08-28"), "contact owner", "contact", "amber", "90d 10h"),
    (("2026-11-01", "2026-12-01"), "contact owner", "contact", "amber", "yet to come"),
    (("isolated_from: [production], ", ""), "dataset data", "isolation", "red", "no copy is isolated from production"),
    (("lock: compliance", "lock: governance"), "dataset data", "immutable", "amber", "lock is governance"),
    (("lock: compliance", "lock: none"), "dataset data", "immutable", "grey", "cellar"),
    ((", recipients: [age1public]", ""), "dataset data", "recipients", "red", "encrypted to nobody"),
    (("offsite: true", "offsite: false"), "dataset data", "3-2-1-1-0", "amber", "3-2-0-1-0"),
    (("critical_paths:\n  sell: [web, data]\n", ""), "estate", "critical-paths", "amber", "no critical path"),
    (HOURS, "estate", "revenue-hours", "amber", "no service runs in them"),
    (("what: orders", "what: orders"), "flow web -> data", "audited", "amber", "no trail records orders"),
    (("rto: 2h", "rto: 2h\n    classification: public"), "flow web -> data", "audited", "green", "public"),
]


@pytest.mark.parametrize(("change", "subject", "check", "colour", "words"), DECLARED)
def test_the_file_answers(change: tuple[str, str], subject: str, check: str, colour: str, words: str) -> None:
    finding = answer(judge(change), check, subject)
    assert finding.colour == colour and words in finding.sentence, finding
    assert colour == "green" or finding.next_move


HARD = "critical_paths:", "hard_failures:\n  flood: {what: water, %s}\ncritical_paths:"
SIGNED = "acceptance: {by: owner, at: %s, until: %s, reason: it is dry}"


@pytest.mark.parametrize(
    ("text", "colour", "words"),
    [
        ("hits: [web]", "red", "neither mitigated nor accepted"),
        ("mitigation: pumps", "green", "mitigated: pumps"),
        (SIGNED % ("2026-01-01", "2027-01-01"), "green", "owner accepted it on 2026-01-01 until 2027-01-01"),
        (SIGNED % ("2025-01-01", "2026-11-26T10:00:00Z"), "red", "has expired"),
        (SIGNED % ("2025-01-01", "2026-11-26T10:00:01Z"), "green", "accepted"),
        (SIGNED % ("2026-12-01", "2027-01-01"), "red", "yet to come"),
    ],
)
def test_hard_failures_are_mitigated_or_accepted_for_a_time(text: str, colour: str, words: str) -> None:
    finding = answer(judge((HARD[0], HARD[1] % text)), "hard-failure", "hard failure flood")
    assert finding.colour == colour and words in finding.sentence, finding


def test_no_backup_and_no_drill_are_one_finding_each() -> None:
    lines = [f"{line}\n" for line in SMALL.splitlines() if line.startswith(("    backup:", "    drill:"))]
    found = review(read(*((line, "") for line in lines)), evidence(*GOOD), NOW)
    assert answer(found, "backup").colour == "red"
    assert answer(found, "drill").sentence == "no drill is declared: that it can be restored is a hope"
    assert not [one for one in found.findings if one.check in PROVEN_BY_EVIDENCE]


def test_what_is_not_even_locked_is_red() -> None:
    found = review(read(("lock: compliance", "lock: none")), evidence(*GOOD), NOW)
    assert answer(found, "lock").sentence == "no copy is locked: whoever takes the key removes them all"


def test_without_a_trail_nothing_that_needs_proof_is_green() -> None:
    found = review(parse_estate(EXAMPLE, file="example.yaml"), UNKNOWN, NOW)
    proofs = [one for one in found.findings if one.check in PROVEN_BY_EVIDENCE]
    assert proofs and {one.colour for one in proofs} == {"grey"}
    assert set(found.datasets.values()) == {"grey"}
    assert all("the operators' trail was not read" in one.sentence for one in proofs)
    assert found.proven.percent == 0


def test_the_arithmetic_is_exact() -> None:
    found = judge()
    assert found.score.counts == {"red": 0, "amber": 2, "grey": 0, "green": len(found.findings) - 2}
    total = len(found.findings)
    assert found.score.points == 2 * total - 2
    assert found.score.percent == 100 * (2 * total - 2) // (2 * total)
    assert found.declared.points + found.proven.points == found.score.points
    assert found.proven.arithmetic == (
        "(2 x 11 green + 1 x 0 amber + 0 x 0 grey + 0 x 0 red) / (2 x 11 checks) = 22 / 22 = 100 %"
    )
    assert score_of([]).percent == 0
    assert worst([]) == "grey" and worst(["green", "grey", "amber"]) == "amber" and worst(["green"]) == "green"


def test_a_hundred_percent_is_all() -> None:
    answers = [Finding("green", "x", "x", "")] * 999
    assert score_of([*answers, Finding("amber", "x", "x", "")]).percent == 99
    assert score_of(answers).percent == 100


def test_facts_count_in_any_order_and_not_from_the_future() -> None:
    assert judge(facts=GOOD[::-1]) == judge()
    assert judge(facts=[*GOOD, backup(-HOUR, encrypted=False), drilled(-HOUR, verdict="fail")]) == judge()


@pytest.mark.parametrize(
    "spoiled",
    [
        fact("backup.done", ago=HOUR),
        fact("backup.done", ago=HOUR, verdict="perhaps", backup="b", repository="vault"),
        backup(point_at="yesterday"),
        backup(point_at="2026-11-26T09:00:00"),
        backup(encrypted="yes"),
        drilled(rto_seconds=-1),
        drilled(rto_seconds=1e300),
        drilled(failed="rows"),
        drilled(verdict=None),
    ],
)
def test_what_cannot_be_read_proves_nothing_and_is_told(spoiled: Fact) -> None:
    found = judge(facts=[spoiled])
    assert found.datasets == {"data": "grey"}
    assert answer(found, "evidence", "estate").colour == "amber"
    assert judge(facts=[*GOOD, spoiled]).datasets == {"data": "green"}


def test_a_review_is_the_same_for_the_same_values() -> None:
    assert judge() == judge()
    assert [one.colour for one in judge(facts=[]).findings] == sorted(
        (one.colour for one in judge(facts=[]).findings), key=["red", "amber", "grey", "green"].index
    )
