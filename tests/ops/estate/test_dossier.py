"""The dossier holds everything, and what others wrote does nothing in it."""

from atp.cli.dossier import as_html, as_markdown
from atp.cli.inventory import forest
from atp.ops.estate.declare.parse import parse_estate
from atp.ops.estate.declare.values import Estate
from atp.ops.estate.evidence.dossier import Dossier, dossier
from atp.ops.estate.evidence.proofs import Evidence, fold
from atp.ops.estate.evidence.review import review
from tests.ops.estate.estates import EXAMPLE, NOW, read
from tests.ops.estate.proving import HOUR, ROTATION, backup, drilled, listed, reviewed, verified

SHIPPED = parse_estate(EXAMPLE, file="example.yaml")
HOSTILE = '<script>alert("x")</script> | `*_#[a](b)\x1b[31m\u202e'


def made(estate: Estate, evidence: Evidence) -> Dossier:
    return dossier(estate, review(estate, evidence, NOW), evidence, NOW)


def test_everything_that_is_declared_stands_in_it() -> None:
    found = made(SHIPPED, Evidence())
    text = as_markdown(found, tree=forest(SHIPPED))
    declared = [*SHIPPED.things(), *SHIPPED.contacts, *SHIPPED.repositories, *SHIPPED.critical_paths]
    declared += [one.what for one in (*SHIPPED.hard_failures.values(), *SHIPPED.decisions, *SHIPPED.data_flows)]
    assert not [word for word in declared if word not in text.replace("\\", "")]
    assert "unknown: the trail was not read" in text
    assert "No drill is recorded: a restore is a hope." in text


def test_the_last_proofs_and_all_drills_stand_in_it() -> None:
    named = {"number": 7, "lock": {"verdict": "held"}, "statement": {"sha256": "a" * 64}}
    newest = drilled(HOUR, verdict="fail", failed=["rows"], **named)
    review = reviewed(number=7, statement_sha256="a" * 64, note="a disk was slow", follow_up="another one")
    other = reviewed(number=7, statement_sha256="b" * 64, note="of a drill that was made anew")
    evidence = fold([backup(), verified(), *ROTATION, newest, review, other], now=NOW)
    sections = {section.title: section for section in made(read(), evidence).sections}
    proofs = sections["Last proofs"].table
    assert proofs is not None
    assert proofs.rows == (
        (
            "data",
            "2026-11-26 09:30 (30min ago)",
            "2026-11-25 10:00 (1d ago)",
            "vault: yes",
            "vault: yes",
            "safe-1, apart from the data",
            "2026-11-16 10:00 (10d ago)",
            "data/7: fail",
        ),
    )
    drills = sections["Register of drills"].table
    assert drills is not None
    assert [row[2:4] for row in drills.rows] == [("deletion", "fail"), ("deletion", "pass"), ("corruption", "pass")]
    told = "2026-11-26 operator, who ran it: a disk was slow; to do: another one"
    assert drills.rows[0][6:] == ("held", "operator", "rows", told, "a" * 64)
    assert (drills.rows[0][1], drills.rows[1][1], drills.rows[1][-2:]) == ("data/7", "data", ("no", "–"))


def test_of_erasable_keys_it_says_that_copies_go_and_that_a_missing_lock_is_right() -> None:
    estate = read(("kind: sqlite", "kind: sqlite\n    erasable: true"))
    later = fold([listed(), listed(HOUR / 8, repository="cellar", locked_until="2026-12-24T00:00:00Z")], now=NOW)
    for evidence, told in ((later, "vault: no, as it must be, cellar: locked"), (Evidence(), "–")):
        sections = {section.title: section.table for section in made(estate, evidence).sections}
        inventory, proofs = sections["Datasets and objectives"], sections["Last proofs"]
        assert inventory is not None and "30d, then gone; never locked" in inventory.rows[0]
        assert proofs is not None and proofs.rows[0][4] == told


def test_what_others_wrote_does_nothing() -> None:
    named = {"number": 1, "lock": {"verdict": HOSTILE}, "statement": {"sha256": HOSTILE}}
    drill = drilled(by=HOSTILE, host=HOSTILE, failed=[HOSTILE], verdict="fail", **named)
    review = reviewed(number=1, statement_sha256=HOSTILE, note=HOSTILE, by=HOSTILE)
    evidence = fold([backup(), drill, review], now=NOW)
    found = made(read(), evidence)
    page, text = as_html(found, tree=""), as_markdown(found, tree="")
    assert "<script" not in page and "\x1b" not in page + text and "\u202e" not in page + text
    assert "<script" not in text.replace("\\<script", "")
    cells = {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("| 2026")}
    assert cells == {12}, "a bar in a value ends no cell"


def test_the_page_loads_nothing_and_speaks_of_light_and_dark_and_paper() -> None:
    page = as_html(made(SHIPPED, Evidence()), tree=forest(SHIPPED))
    assert page.startswith("<!doctype html>")
    assert not [word for word in ("<script", "<link", "<img", "url(", "@import", "src=") if word in page]
    assert "prefers-color-scheme: dark" in page and "@media print" in page and "default-src 'none'" in page


def test_things_in_a_cycle_are_drawn_too() -> None:
    estate = read(("[data], crit", "[api, data], crit"), ("services:", "services:\n  api: {depends_on: [web]}"))
    assert {"api", "web", "data"} <= set(forest(estate).replace("(", " ").split())
