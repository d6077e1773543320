"""What a drill claims can be checked by a stranger: entry, proof, statement and report are one and the same figures."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature

from atp.client import Client
from tests.ops.drills.world import filled
from tests.services.fsck import Fsck
from tests.whole import by_hand
from tests.whole.served import Served, serving

pytestmark = [pytest.mark.whole, pytest.mark.slow]

ESTATE = """\
version: atp.estate/1
name: A small archive
environments: [production]
datasets:
  catalogue:
    kind: sqlite
    source: {{place: {here}/catalogue.db}}
    rpo: 1h
    rto: 1h
    backup: {{repository: vault, schedule: 30min, recipients: [{recipient}]}}
    drill:
      place: {here}/scratch
      checks:
        - {{sql: "select 'a | b', count(*) from letter where title is null", expect: [["a | b", 0]]}}
        - rows: {{table: letter, at_least: 100}}
      heartbeat: {{every: 1min, ledger: {here}/ledger}}
repositories:
  vault: {{kind: directory, place: {here}/vault}}
"""
Event = dict[str, Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server, and three drills of a catalogue, the last of them red; its key is beside it."""
    here = tmp_path_factory.mktemp("proof")
    filled(here / "catalogue.db")
    (here / "vault").mkdir()
    with serving(here) as served, pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        recipient = served.atp.document("backup", "key", "-o", "KEY.txt")["recipient"]
        (here / "estate.yaml").write_text(ESTATE.format(here=here, recipient=recipient))
        served.atp.document("drill", "heartbeat", "catalogue")
        served.atp.document("backup", "run", "catalogue")
        served.atp("drill", "run", "catalogue", "--identity", "KEY.txt")
        served.atp("drill", "run", "catalogue", "--identity", "KEY.txt", "--scenario", "corruption")
        text = (here / "estate.yaml").read_text()
        (here / "estate.yaml").write_text(text.replace("at_least: 100", "at_least: 1000"))
        served.atp("drill", "run", "catalogue", "--identity", "KEY.txt")
        yield served


@pytest.fixture
def events(server: Served, monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """What the log has of drills, in its order."""
    monkeypatch.chdir(server.folder)
    found = server.atp.document("query", "--tenant", "operations", "--action", "drill.done")["events"]
    assert [one["data"]["number"] for one in found] in ([1, 2, 3], [3, 2, 1])
    return sorted(found, key=lambda one: int(one["index"]))


def test_a_stranger_proves_each_drill_and_the_foreign_verifier_accepts_its_log(
    server: Served, events: list[Event], fsck: Fsck
) -> None:
    key = server.key_file.read_text().strip()
    with Client(server.url, key=key) as client:
        vkey = client.get("/log/operations/vkey").body.decode()
    Path("log.vkey").write_text(vkey)
    verify = ("verify", "x.tlog-proof", "--entry", "x.json", "--vkey", "log.vkey")
    for event in events:
        server.atp.document("prove", event["id"], "--tenant", "operations", "-o", "x.tlog-proof", "--entry", "x.json")
        proof, entry = Path("x.tlog-proof").read_text(), Path("x.json").read_bytes()
        assert by_hand.prove(proof, entry, vkey) == event["index"]
        assert json.loads(entry)["event"]["data"] == event["data"], "the entry holds the figures that are shown"
        assert not server.atp.document(*verify)["tampered"]
        Path("x.json").write_bytes(forged := entry.replace(b'"verdict":"', b'"verdict":"p'))
        with pytest.raises(AssertionError):
            by_hand.prove(proof, forged, vkey)
        assert server.atp(*verify).code == 1
    server.atp.document("export", "--tenant", "operations", "--whole", "-o", "mirror")
    assert fsck.complaint(f"file://{Path('mirror').absolute()}/", vkey=vkey) == ""
    assert fsck.complaint(f"{server.url}/log/operations/", vkey=vkey, bearer_token=key) == ""
    assert server.atp("verify", "mirror", "--vkey", "log.vkey").code == 0


def test_the_statement_of_each_drill_says_what_its_event_says(server: Served, events: list[Event]) -> None:
    first = server.atp.document("show", "@0", "--tenant", "operations")
    for event in events:
        signed = event["data"]["statement"]
        assert signed["vkey"] == first["data"]["evidence_vkey"], "the log names the key in its first entry"
        envelope = (server.folder / f"state/drills/catalogue/{event['data']['number']}.dsse.json").read_bytes()
        statement = by_hand.open_statement(envelope, signed["vkey"])
        assert statement["predicate"] == {name: one for name, one in event["data"].items() if name != "statement"}
        with pytest.raises(InvalidSignature):
            document = json.loads(envelope)
            document["payloadType"] += "x"
            by_hand.open_statement(json.dumps(document).encode(), signed["vkey"])


def test_every_figure_of_the_reports_is_that_of_the_events(server: Served, events: list[Event]) -> None:
    wanted_rows = [row for event in events for row in rows_of(event)]
    wanted_lines = [line for event in events for line in lines_of(event)]
    for name, read in (("drills.md", read_markdown), ("drills.html", read_html)):
        server.atp.document("drill", "report", "-o", name)
        rows, text = read(Path(name).read_text())
        assert sorted(rows) == sorted(wanted_rows), name
        for line in wanted_lines:
            assert text.count(line) == wanted_lines.count(line), (name, line)
        assert f"Drills: 3, of which passed: {sum(one['data']['verdict'] == 'pass' for one in events)}" in text


def rows_of(event: Event) -> Iterator[tuple[str, ...]]:
    """The rows of the tables that are about a drill."""
    done = event["data"]
    lost_at = re.sub(r"\.\d+", "", done["lost_at"])
    lengths = [f"{done[name]:,.3f} s" if name in done else "not measured" for name in ("rto_seconds", "rpo_seconds")]
    name = f"{event['resource']['id']}/{done['number']}"
    damage = " of " + re.sub(r"\.\d+", "", done["damaged_at"]) if "damaged_at" in done else ""
    yield name, lost_at, done["scenario"] + damage, done["verdict"], *lengths, done["backup"], event["actor"]["id"]
    yield from ((one["name"], one["verdict"], one["told"]) for one in done["objectives"])
    yield from ((one["name"], "yes" if one["passed"] else "NO", one["told"]) for one in done["answers"])


def lines_of(event: Event) -> Iterator[str]:
    """The sentences about it."""
    done = event["data"]
    signed, before = done["statement"], done.get("previous_sha256")
    yield f"catalogue/{done['number']}: {done['verdict']}"
    yield f"Legs after the loss: {', '.join(f'{name} {seconds:.3f} s' for name, seconds in map(leg, done['legs']))}."
    yield f"Backup {done['backup']} from {done['repository']}, manifest sha256 {done['manifest_sha256']}."
    yield "Held against the operators' trail: the manifest is the one in the trail."
    yield f"Lock of vault: {done['lock']['verdict']}."
    if "ratio_to_raw_copy" in done:
        yield f"The restore took {done['ratio_to_raw_copy']:.2f} times as long as a raw copy of its bytes."
    yield f"Statement sha256 {signed['sha256']}, signed by {signed['signed_by']} ({signed['whose']})."
    yield f"The statement before it: {f'sha256 {before}' if before else 'none'}."


def leg(one: dict[str, Any]) -> tuple[str, float]:
    return one["name"], one["seconds"]


def read_markdown(page: str) -> tuple[list[tuple[str, ...]], str]:
    """The rows of all tables without their heads, and all of the text."""
    lines = [line for line in page.split("\n") if line.startswith("| ")]
    heads = {at - 1 for at, line in enumerate(lines) if set(line) <= set("| -")}
    rows = [line for at, line in enumerate(lines) if at not in heads and at - 1 not in heads]
    return [tuple(map(plain, re.split(r"(?<!\\) \| ", row[2:-2]))) for row in rows], plain(page)


def plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def read_html(page: str) -> tuple[list[tuple[str, ...]], str]:
    """The same of the page."""
    reader = Cells()
    reader.feed(page)
    return [tuple(row) for row in reader.rows if row], "\n".join(reader.texts)


class Cells(HTMLParser):  # what the standard library asks to inherit
    """The cells of tables that are no heads, and every text."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self._at = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._at = tag
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self._at == "td":
            self.rows[-1][-1] += data.rstrip("\n")

    def handle_endtag(self, tag: str) -> None:
        self._at = ""
