"""Real records of every source, imported by the command line, found again, and accepted by a foreign verifier."""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from atp.merkle.tiles import EntryBundle
from tests.cli.running import Atp
from tests.services.fsck import Fsck
from tests.whole.served import Served, serving

pytestmark = [pytest.mark.whole, pytest.mark.slow]


@dataclass(frozen=True)
class Source:
    """Files of one source, and how many records its own definition gives each (None: one a line that is not blank)."""

    format: str
    files: str
    count: Callable[[bytes], int] | None = None


def _lines(data: bytes) -> int:
    return sum(1 for line in data.split(b"\n") if line.strip())


def _envelope(data: bytes) -> int:
    return len(json.loads(data)["Records"])


SOURCES = [
    Source("cloudtrail", "aws_cloudtrail/*.ndjson.gz"),
    Source("cloudtrail", "aws_cloudtrail/envelopes/*", _envelope),
    Source("m365", "m365_unified_audit/*"),
    Source("google-workspace", "google_workspace/*"),
    Source("github", "github_webhooks/*"),
    Source("windows", "windows_security/*.ndjson.gz"),
    Source("kubernetes", "kubernetes_audit/*.ndjson.gz"),
    Source("okta", "saas_rule_tests/Okta*"),
    Source("kubernetes", "saas_rule_tests/Amazon.EKS*"),
    Source("cloudtrail", "saas_rule_tests/AWS.CloudTrail*"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("imports")) as served:
        yield served


@pytest.mark.parametrize("number", range(len(SOURCES)), ids=lambda n: f"{SOURCES[n].format}-{n}")
def test_every_record_is_counted_and_found_again(
    number: int, server: Served, shared: Path, rng: Random, count: Callable[..., int]
) -> None:
    source, tenant, atp = SOURCES[number], f"import-{number}", server.atp
    atp.document("tenant", "create", tenant)
    files = sorted((shared / "data" / "events").glob(source.files))
    expected = sum((source.count or _lines)(_plain(file)) for file in files)
    first = atp.document("ingest", "--tenant", tenant, "--format", "auto", *files)
    assert (first["records"], first["accepted"] + first["duplicates"] + first["parked"]) == (expected, expected)
    assert first["accepted"] > 0

    again = atp.document("ingest", "--tenant", tenant, *_renamed(files, server.folder / tenant))
    assert (again["accepted"], again["records"]) == (0, expected)
    assert again["parked"] == first["parked"]
    parked = atp.document("dlq", "list", "--tenant", tenant)
    assert parked["count"] <= first["parked"]

    for index in rng.sample(range(first["accepted"]), min(first["accepted"], count(bounded=8, soak=200))):
        _find_again(atp, tenant, index)


def test_audit_records_of_linux_are_grouped_and_nothing_is_lost(server: Served, shared: Path) -> None:
    server.atp.document("tenant", "create", "auditd")
    files = sorted(path for path in (shared / "data/events/linux_auditd").rglob("*") if path.is_file())
    first = server.atp.document("ingest", "--tenant", "auditd", *files)
    assert first["accepted"] + first["duplicates"] + first["parked"] == first["records"]
    again = server.atp.document("ingest", "--tenant", "auditd", *files)
    assert (again["accepted"], again["records"]) == (0, first["records"])


def test_a_foreign_verifier_accepts_the_log_and_refuses_one_changed_byte(
    server: Served, shared: Path, fsck: Fsck, rng: Random
) -> None:
    server.atp.document("tenant", "create", "foreign")
    server.atp.document(
        "ingest", "--tenant", "foreign", shared / "data/events/aws_cloudtrail/invictus_cloudtrail.ndjson.gz"
    )
    mirror = server.folder / "mirror"
    server.atp.document("export", "--tenant", "foreign", "--whole", "-o", mirror)
    vkey = (mirror / "vkey").read_text()
    key = server.key_file.read_text().strip()
    assert fsck.complaint(f"{server.url}/log/foreign/", vkey=vkey, bearer_token=key) == ""
    assert fsck.complaint(f"file://{mirror}/", vkey=vkey) == ""

    bundle = mirror / EntryBundle(0).path
    data = bytearray(bundle.read_bytes())
    at = rng.randrange(2, len(data))
    data[at] ^= 1 << rng.randrange(8)
    bundle.write_bytes(data)
    assert fsck.complaint(f"file://{mirror}/", vkey=vkey) != ""
    refused = server.atp("verify", mirror, "--json")
    assert refused.code == 1 and refused.json["tampered"]


def _find_again(atp: Atp, tenant: str, index: int) -> None:
    """By actor, by action, by time, and by a word of its data."""
    event = atp.document("show", f"@{index}", "--tenant", tenant)
    assert event["index"] == index
    at = event.get("time") or event["received_at"]
    for conditions in (
        ("--actor", event["actor"]["id"], "--action", event["action"]),
        ("--action", event["action"], "--since", at),
        ("--text", _word(event)),
    ):
        assert index in _all(atp, tenant, conditions), conditions


def _all(atp: Atp, tenant: str, conditions: tuple[str, ...]) -> set[int]:
    found = atp.document("query", "--tenant", tenant, "--limit", "100000", *conditions)
    return {event["index"] for event in found["events"]}


def _word(event: dict[str, Any]) -> str:
    """The longest plain word of the record itself."""
    text = " ".join(_strings(event["data"]))
    words = "".join(char if char.isascii() and (char.isalnum() or char == "_") else " " for char in text).split()
    return max(words, key=len)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
    elif isinstance(value, str):
        yield value


def _plain(file: Path) -> bytes:
    data = file.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def _renamed(files: list[Path], folder: Path) -> list[Path]:
    """The same files under other names, unpacked."""
    folder.mkdir()
    renamed = []
    for number, file in enumerate(files):
        path = folder / f"{number}.txt"
        path.write_bytes(_plain(file))
        renamed.append(path)
    return renamed
