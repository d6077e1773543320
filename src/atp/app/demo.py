"""A small day of a payment office, made up here, and the hand that changes one of its entries afterwards."""

import json
from collections.abc import Iterator
from pathlib import Path

from atp.app.config import Config
from atp.app.open import open_platform
from atp.app.platform import Platform, Record
from atp.errors import MissingError
from atp.log.bundles import pack_bundle, unpack_bundle
from atp.log.event import prepare
from atp.log.query import Page, Question
from atp.merkle.entries import decode_entries
from atp.merkle.tiles import EntryBundle
from atp.observe import Lines
from atp.tenants.access import ROOT, SCOPES, Caller
from atp.tenants.names import DEFAULT

REFUND = "refund-0311"
_CALLER = Caller(ROOT, "", SCOPES)
_CLERKS = ("clerk-1", "clerk-2", "clerk-3")
_WAIT_SECONDS = 30.0


class Demo:
    """An installation in a directory of its own, without a server."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with (directory / "log.jsonl").open("w") as stream:
            self._platform = open_platform(Config(directory / "atp"), lines=Lines(stream)).platform
            self._platform.start()

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "atp"

    def record_day(self) -> int:
        """Record the day and wait until all of it is under a checkpoint; how many events that were."""
        events = [prepare(json.dumps(event).encode()) for event in _day()]
        outcome = self._platform.record(events, by=_CALLER, tenant=DEFAULT).result(_WAIT_SECONDS)
        self._platform.pipeline.when_published(DEFAULT, outcome.receipts[-1].index).result(_WAIT_SECONDS)
        return outcome.accepted

    def ask(self, **conditions: str) -> Page:
        """A page of the day."""
        return self._platform.ask(Question(**conditions), by=_CALLER, tenant=DEFAULT)  # type: ignore[arg-type]

    def prove(self) -> tuple[Record, bytes, bytes]:
        """The refund: where it stands, its proof, and the log's public key."""
        record = self._platform.find(REFUND, by=_CALLER, tenant=DEFAULT)
        proof = self._platform.prove(REFUND, by=_CALLER, tenant=DEFAULT).encode()
        return record, proof, "\n".join([*self._platform.vkeys(DEFAULT, by=_CALLER), ""]).encode()

    def close(self) -> Platform:
        """Stop the installation; its directory stays."""
        self._platform.stop()
        return self._platform


def tamper(data: Path) -> tuple[Path, str, str]:
    """Change who approved the refund, in the stored bundle itself, as somebody with the disk could do.

    Returns the file, and the text before and after.
    """
    before, after = "clerk-2", "clerk-3"
    for number in range(256):
        path = data / "logs" / DEFAULT / (EntryBundle(number).path + ".zst")
        if not path.exists():
            break
        entries = decode_entries(unpack_bundle(path.read_bytes()))
        for at, entry in enumerate(entries):
            if REFUND.encode() in entry:
                entries[at] = entry.replace(before.encode(), after.encode())
                path.write_bytes(pack_bundle(entries))
                return path, before, after
    raise MissingError("could not tamper with the demo: its refund is in no stored bundle")


def _day() -> Iterator[dict[str, object]]:
    yield _event("06:55", "door-controller", "door.unlock", "front-door", "door")
    for number, clerk in enumerate(_CLERKS):
        yield _event(f"07:{number + 1:02d}", clerk, "session.login", "office", "session", ip=f"192.0.2.{number + 10}")
    for number in range(240):
        minutes = 8 * 60 + number * 2
        clerk = _CLERKS[number % 3]
        action = ("invoice.create", "invoice.send", "payment.match")[number % 3]
        at = f"{minutes // 60:02d}:{minutes % 60:02d}"
        amount = {"amount": f"{37 + number}.50"}
        yield _event(at, clerk, action, f"invoice-{1000 + number // 3}", "invoice", data=amount)
    for number in range(5):
        yield _event(f"11:0{number}", "unknown", "session.login", "office", "session", "denied", ip="203.0.113.66")
    yield {
        **_event("11:09", "clerk-2", "refund.approve", "invoice-1041", "invoice", data={"amount": "9400.00"}),
        "id": REFUND,
    }
    for number in range(30):
        yield _event(f"17:{number:02d}", "nightly-report", "report.line", f"account-{number}", "account")
    for clerk in _CLERKS:
        yield _event("18:05", clerk, "session.logout", "office", "session")


def _event(
    at: str, actor: str, action: str, resource: str, kind: str, outcome: str = "success", **more: object
) -> dict[str, object]:
    event: dict[str, object] = {
        "time": f"2026-03-10T{at}:00Z",
        "actor": {"id": actor, "type": "user" if actor.startswith("clerk") else "system"},
        "action": action,
        "resource": {"id": resource, "type": kind},
        "outcome": outcome,
    }
    if ip := more.get("ip"):
        event["context"] = {"ip": ip}
    if data := more.get("data"):
        event["data"] = data
    return event
