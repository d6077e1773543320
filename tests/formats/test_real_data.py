"""Real records of every source: each one is converted, none lost, told by content alone, also when files are mixed."""

import gzip
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from atp.formats import Occurrences, Rejected, convert, read_records
from atp.formats.catalogue import is_recognised
from atp.log.event import Event, prepare_event
from tests.formats.converting import FORMATS, chunks, data_of, lines

EVENTS = "data/events"
SOURCES = {
    "aws_cloudtrail/*.ndjson*": "cloudtrail",
    "saas_rule_tests/AWS.CloudTrail.ndjson*": "cloudtrail",
    "m365_unified_audit/*.ndjson*": "m365",
    "google_workspace/*.ndjson*": "google-workspace",
    "saas_rule_tests/GSuite.ActivityEvent.ndjson*": "google-workspace",
    "github_webhooks/*.ndjson*": "github",
    "windows_security/*.ndjson*": "windows",
    "kubernetes_audit/*.ndjson*": "kubernetes",
    "saas_rule_tests/Amazon.EKS.Audit.ndjson*": "kubernetes",
    "saas_rule_tests/Okta.SystemLog.ndjson*": "okta",
    "linux_auditd/*.ndjson*": "auditd",
}
NDJSON = sorted(SOURCES)


def converted(content: Iterator[bytes], *, name: str = "auto") -> Iterator[tuple[str | None, bytes, Event | Rejected]]:
    occurrences = Occurrences()
    for record in read_records(content, format=name, formats=FORMATS):
        yield record.format, record.raw, convert(record, formats=FORMATS, occurrences=occurrences)


def files(shared: Path, pattern: str) -> list[Path]:
    found = sorted((shared / EVENTS).glob(pattern))
    assert found, f"{pattern} finds nothing"
    return found


@pytest.mark.parametrize("pattern", NDJSON)
def test_every_record_becomes_an_event_that_the_log_takes(
    shared: Path, pattern: str, rng: random.Random, count: Callable[..., int]
) -> None:
    for file in files(shared, pattern):
        expected = lines(file)
        made = list(converted(chunks(file)))
        assert len(made) == len(expected)
        assert {name for name, _, _ in made} == {SOURCES[pattern]}
        assert [one for _, _, one in made if isinstance(one, Rejected)] == []
        for line, (_, _, one) in rng.sample(
            list(zip(expected, made, strict=True)), min(len(made), count(bounded=500, soak=10**6))
        ):
            assert isinstance(one, Event) and one.actor.id and one.id
            assert data_of(one) == line.strip()
            prepare_event(one)


@pytest.mark.parametrize("pattern", NDJSON)
def test_a_second_import_in_another_order_makes_the_same_ids(shared: Path, pattern: str, rng: random.Random) -> None:
    for file in files(shared, pattern):
        some = lines(file)[:2_000]
        first = Counter(one.id for _, _, one in converted(iter([b"\n".join(some)])) if isinstance(one, Event))
        rng.shuffle(some)
        packed = gzip.compress(b"\r\n".join(some))
        assert (
            Counter(one.id for _, _, one in converted(iter([packed]), name=SOURCES[pattern]) if isinstance(one, Event))
            == first
        )


def test_true_repeats_of_windows_stay_and_repeats_of_an_export_do_not(shared: Path) -> None:
    (windows,) = files(shared, "windows_security/*.ndjson*")
    (m365,) = files(shared, "m365_unified_audit/*.ndjson*")
    assert len({one.id for _, _, one in converted(chunks(windows)) if isinstance(one, Event)}) == len(lines(windows))
    exported = lines(m365)
    assert (
        len({one.id for _, _, one in converted(chunks(m365)) if isinstance(one, Event)})
        == len(set(exported))
        < len(exported)
    )


def test_the_records_of_delivery_files_are_those_of_the_lines(shared: Path) -> None:
    known = {
        json.loads(line)["eventID"]: line for file in files(shared, "aws_cloudtrail/*.ndjson*") for line in lines(file)
    }
    for file in files(shared, "aws_cloudtrail/envelopes/*.json*"):
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        expected = json.loads(content)["Records"]
        made = list(converted(chunks(file, size=777)))
        assert [json.loads(raw) for _, raw, _ in made] == expected
        assert all(raw in content for _, raw, _ in made)
        for name, _, one in made:
            assert name == "cloudtrail" and isinstance(one, Event)
            assert json.loads(known[str(one.id)]) == json.loads(data_of(one))


def test_lines_of_linux_audit_are_put_together_and_none_is_lost(shared: Path) -> None:
    for file in [*files(shared, "linux_auditd/*.log"), *files(shared, "linux_auditd/laurel/*.txt")]:
        expected = Counter(line.removesuffix(b"\r") for line in lines(file))
        stamps = {line.split(b"audit(")[1].split(b")")[0] for line in expected if b"audit(" in line}
        made = list(converted(chunks(file)))
        kept = [line for _, raw, _ in made for line in raw.split(b"\n")]
        assert Counter(kept) == expected
        assert sum(isinstance(one, Event) for _, _, one in made) == len(stamps)
        assert all(b"audit(" not in raw for _, raw, one in made if isinstance(one, Rejected))


def test_lines_out_of_order_make_the_same_events(shared: Path) -> None:
    normal, shuffled = (
        {one.id: data_of(one) for _, _, one in converted(chunks(file)) if isinstance(one, Event)}
        for file in files(shared, "linux_auditd/go-libaudit_[no]*.log")
    )
    assert normal == shuffled


def test_all_sources_shuffled_into_one_stream_are_told_apart(shared: Path, rng: random.Random) -> None:
    mixed = [
        (line, name)
        for pattern, name in SOURCES.items()
        for file in files(shared, pattern)
        for line in lines(file)[:400]
    ]
    rng.shuffle(mixed)
    confused: Counter[tuple[str, str | None]] = Counter()
    stream = gzip.compress(b"\n".join(line for line, _ in mixed))
    for (line, expected), (name, _, _) in zip(mixed, converted(iter([stream])), strict=True):
        confused[expected, name] += 1
        value = json.loads(line)  # and by one mapping alone, so that the order of the formats does not matter
        assert [own.name for own in FORMATS.mappings.values() if is_recognised(value, own)] == [expected]
    assert {pair for pair in confused if pair[0] != pair[1]} == set()
    assert confused.total() == len(mixed)


def test_records_of_other_products_are_not_mistaken(shared: Path) -> None:
    ours = {pattern.split("/")[1].removesuffix("*") for pattern in SOURCES if "saas" in pattern}
    # These hold records of our sources by their own label, and GitHub's are read although they are edited by hand.
    mixed = {"Asana.Audit.ndjson", "Atlassian.Audit.ndjson", "GitHub.Audit.ndjson", "GitHub.Webhook.ndjson"}
    for file in files(shared, "saas_rule_tests/*.ndjson*"):
        if file.name.removesuffix(".gz") not in ours | mixed:
            assert {name for name, _, _ in converted(chunks(file))} == {None}, file.name
