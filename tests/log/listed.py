"""A log that is a list, and entries around real records of every kind."""

import gzip
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from atp.errors import RefusedError
from atp.limits import FRAME_ENTRIES
from atp.log.event import entry_bytes, entry_head, format_instant, prepare

KINDS = (
    "aws_cloudtrail/invictus_cloudtrail.ndjson",
    "github_webhooks/api.github.com.ndjson",
    "google_workspace/admin.ndjson",
    "host_syslog/loghub_OpenSSH_2k.log",
    "kubernetes_audit/perfspec_part1.csv",
    "linux_auditd/go-libaudit_audit-rhel7.log",
    "m365_unified_audit/m365_ual.ndjson",
    "raw_product_messages/raw_messages.ndjson",
    "saas_rule_tests/Okta.SystemLog.ndjson",
    "windows_security/windows_security.ndjson",
)
ACTORS = ("root", "Zoë", "svc-backup@example.com", "a" * 300, 'say "hi"\\now', "root\u200e", "用户")
OUTCOMES = ("success", "failure", "denied", "unknown")
RECEIVED_AT = 1_790_000_000_000_000
OCCURRED_AT = 1_700_000_000_000_000


class ListedLog:
    """Published entries in memory; what is appended to `published` is published."""

    def __init__(self, published: Iterable[bytes] = ()) -> None:
        self.published = list(published)
        self.frames_read = 0

    def size(self) -> int:
        return len(self.published)

    def frame(self, number: int) -> list[bytes]:
        self.frames_read += 1
        return self.published[number * FRAME_ENTRIES : (number + 1) * FRAME_ENTRIES]

    def entries(self, start: int, stop: int) -> list[bytes]:
        return self.published[start:stop]


def entry_of(event: bytes, *, number: int = 0) -> bytes:
    """The entry of an event; three of them are received within each second."""
    head = entry_head(received_at=format_instant(RECEIVED_AT + number // 3 * 1_000_000), by="collector")
    return entry_bytes(head, prepare(event))


def event_with(data: bytes, *, number: int = 0) -> bytes:
    """An event about some JSON: half of all are by one actor, some members are left out, times jump."""
    event: dict[str, object] = {
        "actor": {"id": ACTORS[0 if number % 2 else number * number % len(ACTORS)]},
        "action": f"action-{number % 5}",
    }
    if number % 7:
        event["resource"] = {"id": f"resource/{number % 11}"}
    if number % 3:
        event["outcome"] = OUTCOMES[number * 5 % len(OUTCOMES)]
    if number % 4:
        event["time"] = format_instant(OCCURRED_AT + (number * 7_919 % 1_000) * 60_000_000)
    text = json.dumps(event, ensure_ascii=number % 6 == 0, separators=(",", ":"))
    return text.encode()[:-1] + b',"data":%b}' % data


@cache
def real_entries(shared: Path, kind: str, *, count: int) -> tuple[bytes, ...]:
    """Entries around up to `count` real records of one kind, text or JSON."""
    made: list[bytes] = []
    for line in _lines(shared / "data/events" / kind):
        if len(made) == count:
            break
        try:
            made.append(entry_of(event_with(line, number=len(made)), number=len(made)))
        except RefusedError:
            text = json.dumps(line.decode("utf-8", "replace"), ensure_ascii=len(made) % 2 == 0)
            made.append(entry_of(event_with(text.encode(), number=len(made)), number=len(made)))
    return tuple(made)


def _lines(path: Path) -> Iterator[bytes]:
    packed = path.with_name(path.name + ".gz")
    with gzip.open(packed) if packed.exists() else path.open("rb") as file:
        yield from (line.rstrip(b"\r\n") for line in file)
