"""Exports: whatever is asked for, the zip verifies offline; nothing is left of one that is refused."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from atp.verify.options import Options
from atp.verify.place import check_place
from tests.api.calling import event, faults, problem, record
from tests.web.serving import Served


@pytest.fixture(scope="module")
def told(served: Served, root: httpx.Client) -> str:
    """A tenant with three hundred events of two actors."""
    name = served.tenant("exported")
    record(root, name, *(event(number, actor={"id": f"clerk-{number % 2}"}) for number in range(300)))
    return name


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({}, 300),
        ({"first": 250, "stop": 270}, 20),
        ({"first": 299}, 1),
        ({"stop": 3}, 3),
        ({"actor": "clerk-1"}, 150),
        ({"actor": "nobody"}, 0),
        ({"received_since": "2020-01-01T00:00:00Z"}, 300),
        ({"received_until": "2020-01-01T00:00:00Z"}, 0),
    ],
)
def test_a_bundle_verifies_offline(
    root: httpx.Client, told: str, tmp_path: Path, asked: dict[str, Any], count: int
) -> None:
    answer = root.get(f"/v1/tenants/{told}/export", params=asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="{told}.zip"'
    assert int(answer.headers["content-length"]) == len(answer.content)
    bundle = tmp_path / "bundle.zip"
    bundle.write_bytes(answer.content)
    assert not check_place(str(bundle), Options()).is_tampered
    changed = answer.content.replace(b'"action":"invoice.approve"', b'"action":"invoice.decline"')
    if changed != answer.content:
        bundle.write_bytes(changed)
        assert check_place(str(bundle), Options()).is_tampered


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"first": -1}, "first"),
        ({"stop": "all"}, "stop"),
        ({"first": 1, "actor": "a"}, "actor"),
        ({"first": 1, "received_since": "2026-01-01T00:00:00Z"}, "received_since"),
        ({"received_since": "today"}, "received_since"),
        ({"since": "today"}, "since"),
        ({"limit": 5}, "limit"),
    ],
)
def test_a_wrong_wish_is_refused_by_name(root: httpx.Client, told: str, asked: dict[str, Any], field: str) -> None:
    answer = root.get(f"/v1/tenants/{told}/export", params=asked)
    problem(answer, 422, "invalid")
    assert faults(answer) == [(0, field)]


@pytest.mark.parametrize("asked", [{"first": 300}, {"first": 5, "stop": 5}, {"first": 7, "stop": 2}, {"stop": 301}])
def test_a_range_that_is_not_there_is_missing(root: httpx.Client, told: str, asked: dict[str, int]) -> None:
    problem(root.get(f"/v1/tenants/{told}/export", params=asked), 404, "missing")
