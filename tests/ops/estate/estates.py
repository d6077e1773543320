"""Estates to test with: the example, and a small one that tests change line by line."""

from datetime import UTC, datetime
from importlib.resources import files

from atp.errors import DeclaredError, Fault
from atp.ops.estate.declare.parse import parse_estate
from atp.ops.estate.declare.values import Estate

NOW = datetime(2026, 11, 26, 10, tzinfo=UTC)
EXAMPLE = files("atp.ops.estate").joinpath("example.yaml").read_bytes()

SMALL = """\
version: atp.estate/1
name: Small
environments: [production]
contacts:
  owner: {channel: the phone tree, confirmed_at: 2026-11-01}
services:
  web: {owner: owner, depends_on: [data], criticality: critical, health: "https://web.example.org/"}
datasets:
  data:
    kind: sqlite
    source: {place: /var/lib/data.db}
    owner: owner
    rpo: 1h
    rto: 2h
    retention: 30d
    backup: {repository: vault, schedule: 1h, recipients: [age1public]}
    drill: {place: /srv/drill, checks: [{rows: {table: t, at_least: 1}}], scenarios: [deletion, corruption]}
repositories:
  vault: {kind: s3, place: "s3://vault/x", isolated_from: [production], lock: compliance, offsite: true}
critical_paths:
  sell: [web, data]
data_flows:
  - {from: web, to: data, what: orders}
"""


def small(*changes: tuple[str, str]) -> bytes:
    """The small estate with some pieces replaced; each has to be there."""
    text = SMALL
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text.encode()


def read(*changes: tuple[str, str]) -> Estate:
    """The small estate, changed and read."""
    return parse_estate(small(*changes), file="estate.yaml")


def faults(data: bytes) -> list[Fault]:
    """What is wrong with an estate file; nothing when it is read."""
    try:
        parse_estate(data, file="estate.yaml")
    except DeclaredError as error:
        return list(error.faults)
    return []
