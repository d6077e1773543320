"""Health and numbers: the form that dashboards read, what each state says, and no tenant's name in any of it."""

import json
import re
from pathlib import Path

import httpx
import pytest

from atp.app.config import Config
from atp.app.health import EVERYTHING, SERVICES, format_duration
from atp.app.open import open_platform
from tests.api.calling import caller, event, events_path, problem, record
from tests.web.serving import Served, serving


@pytest.mark.parametrize("service", ["", *SERVICES])
def test_every_service_tells_how_it_is_to_anybody(served: Served, service: str) -> None:
    with caller(served, "") as nobody:
        answer = nobody.get(f"/health/{service}".rstrip("/"))
    report = answer.json()
    assert answer.status_code == 200
    assert report["status"] in ("Healthy", "Degraded")
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{7}", report["totalDuration"])
    assert set(report["entries"]) == set(SERVICES.get(service, EVERYTHING))


def test_an_unknown_service_is_missing(root: httpx.Client) -> None:
    assert "ingestion" in problem(root.get("/health/weather"), 404, "missing")["detail"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "00:00:00.0000000"),
        (0.0123456, "00:00:00.0123456"),
        (59.99999999, "00:01:00.0000000"),
        (3_725.5, "01:02:05.5000000"),
    ],
)
def test_a_duration_has_seven_digits(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_a_log_that_contradicts_itself_is_unhealthy_while_others_go_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    open_platform(Config(data)).platform.stop()
    (data / "stopped.json").write_text(json.dumps({"default": "tile/0/000 was changed"}))
    with serving(data) as served, caller(served) as client:
        for service in ("/integrity", ""):
            answer = client.get(f"/health{service}")
            assert (answer.status_code, answer.json()["status"]) == (503, "Unhealthy")
            assert "default" not in answer.text
        assert client.get("/health/live").status_code == 200
        refusal = client.post(events_path("default"), json=event(1))
        assert "tile/0/000 was changed" in problem(refusal, 503, "unavailable")["detail"]
        served.tenant("other")
        record(client, "other", event(1))
        (row,) = (log for log in client.get("/v1/status").json()["logs"] if log["tenant"] == "default")
        assert row["stopped"] == "tile/0/000 was changed"


def test_numbers_are_openmetrics_and_name_no_tenant(served: Served, root: httpx.Client) -> None:
    name = served.tenant("secretive-tenant")
    record(root, name, event(1), event(1))
    problem(root.get("/v1/tenants/unheard-of/events"), 404, "missing")
    with caller(served, "") as nobody:
        answer = nobody.get("/metrics")
        health = nobody.get("/health").text
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.text.endswith("# EOF\n")
    for line in answer.text.splitlines()[:-1]:
        assert re.fullmatch(r'# TYPE \w+ (counter|gauge|histogram)|\w+({(\w+="[^"\n]*",?)+})? [0-9.e+-]+', line), line
    for text in (answer.text, health):
        assert not re.search(r"secretive|unheard|alice|root|default", text)
    assert "atp_events_accepted_total" in answer.text
    assert re.search(r"^atp_disk_free_bytes [1-9]", answer.text, re.MULTILINE)
    assert 'atp_http_requests_total{method="POST",route="/v1/tenants/{tenant}/events",status="200"}' in answer.text


def test_paths_that_lead_nowhere_make_no_new_numbers(root: httpx.Client) -> None:
    for number in range(5):
        root.get(f"/nowhere/{number}/x")
    assert "/nowhere" not in root.get("/metrics").text
