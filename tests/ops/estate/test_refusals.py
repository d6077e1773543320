"""Every refusal names file, line, column, field, cause and next move, all at once, and shows no secret."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atp import limits
from atp.errors import DeclaredError
from atp.ops.declaration.writing import plain
from atp.ops.estate.declare.parse import parse_estate
from tests.ops.estate.estates import EXAMPLE, SMALL, faults, small

# (what is replaced, by what, field, line, words of the reason, words of the hint)
REFUSED = [
    ("version: atp.estate/1", "version: atp.estate/2", "version", 1, "has to be atp.estate/1", "format of this file"),
    ("version: atp.estate/1\n", "", "version", 1, "missing", "format of this file"),
    ("name: Small", "nmae: Small", "nmae", 2, "unknown", "did you mean name?"),
    ("name: Small", "name:", "name", 2, "no value", "remove the key"),
    ("name: Small", 'name: " "', "name", 2, "empty", "called"),
    ("name: Small", f"name: {'x' * 5_000}", "name", 2, "over 4,096", "shorten"),
    ("name: Small", "name: [Small]", "name", 2, "one value", "called"),
    ("[production]", "production", "environments", 3, "a list", "run"),
    ("[production]", "[]", "environments", 3, "too short", "at least 1"),
    ("[production]", "[Production]", "environments[0]", 3, "not look", "Lower-case"),
    ("[production]", "[production, production]", "environments", 3, "stands twice", "keep one"),
    ("confirmed_at: 2026-11-01", "confirmed_at: yesterday", "contacts.owner.confirmed_at", 5, "instant", "2026-03-01"),
    ("  owner: {", "  Owner!: {", "contacts.Owner!", 5, "not look", "Lower-case"),
    ("  owner: {", "  7: {", "contacts.?", 5, "no text", "quotes"),
    ("  owner: {", "  [a]: {", "contacts.?", 5, "no text", "quotes"),
    ("{owner: owner, dep", "{owner: onwer, dep", "services.web.owner", 7, "onwer is not among", "did you mean owner?"),
    ("depends_on: [data]", "depends_on: [dta]", "services.web.depends_on[0]", 7, "dta is not among", "mean data?"),
    ("depends_on: [data]", "depends_on: [web]", "services.web.depends_on", 7, "depends on itself", "remove"),
    ("criticality: critical", "criticality: crit", "services.web.criticality", 7, "critical or high", "stops"),
    ("services:", "services:\n  data: {}", "datasets.data", 11, "service has that name", "rename"),
    ("kind: sqlite", "kind: sqllite", "datasets.data.kind", 10, "perhaps sqlite", "backed up"),
    ("{place: /var/lib/data.db}", "/var/lib/data.db", "datasets.data.source", 11, "literal", "one of place, env"),
    ("{place: /var/lib/data.db}", "{}", "datasets.data.source", 11, "0 keys", "exactly one of place"),
    ("{place: /var/lib/data.db}", "{place: /x, env: X}", "datasets.data.source", 11, "2 keys", "exactly one of"),
    ("{place: /var/lib/data.db}", "{env: 9X}", "datasets.data.source.env", 11, "not look", "Environment variable"),
    ("rpo: 1h", "rpo: 1 hour", "datasets.data.rpo", 13, "no duration", "15min"),
    ("rpo: 1h", "rpo: 30min", "datasets.data.backup.schedule", 16, "cannot keep an RPO of 30min", "continuous"),
    ("retention: 30d", "retention: 1h", "datasets.data.retention", 15, "gone before", "longer than"),
    ("kind: sqlite", "kind: sqlite\n    erasable: yes", "datasets.data.erasable", 11, "true or false", "never locked"),
    (
        "    retention: 30d\n",
        "    erasable: true\n",
        "datasets.data.erasable",
        15,
        "nothing says when its copies are gone",
        "add retention: at most 30d",
    ),
    (
        "retention: 30d\n",
        "retention: 31d\n    erasable: true\n",
        "datasets.data.retention",
        15,
        "outlive their destruction by 31d",
        "at most 30d",
    ),
    ("kind: sqlite", "kind: trail\n    erasable: true", "datasets.data.erasable", 11, "never erased", "their own"),
    (
        "retention: 30d\n    backup: {repository: vault, schedule: 1h, recipients: [age1public]}\n"
        "    drill: {place: /srv/drill, checks: [{rows: {table: t, at_least: 1}}], scenarios: [deletion, corruption]}",
        "retention: 30d\n    erasable: true\n    backup: {repository: vault, schedule: 1h}\n"
        "    drill: {place: /srv/drill, checks: [{rows: {table: t, at_least: 1}}], scenarios: [ransomware]}",
        "datasets.data.drill.scenarios",
        18,
        "leaves no copy",
        "leave ransomware out",
    ),
    ("schedule: 1h", "schedule: hourly", "datasets.data.backup.schedule", 16, "no duration", "15min"),
    (
        "repository: vault",
        "repository: valt",
        "datasets.data.backup.repository",
        16,
        "valt is not among",
        "mean vault?",
    ),
    (
        "schedule: 1h",
        "schedule: 1h, continuous: yes",
        "datasets.data.backup.continuous",
        16,
        "true or false",
        "shipped",
    ),
    ("schedule: 1h", "schedule: 1h, copies_in: [vault]", "datasets.data.backup.copies_in", 16, "itself", "others"),
    ("place: /srv/drill", "place: /var/lib/data.db/", "datasets.data.drill.place", 17, "living data", "scratch"),
    ("at_least: 1", "at_least: -1", "datasets.data.drill.checks[0].rows.at_least", 17, "at least 0", "fewest"),
    (
        "rows: {table: t, at_least: 1}",
        "verify: true",
        "datasets.data.drill.checks[0].verify",
        17,
        "sqlite cannot",
        "for",
    ),
    ("[{rows: {table: t, at_least: 1}}]", "[{}]", "datasets.data.drill.checks[0]", 17, "asks 0 things", "exactly one"),
    (
        "{rows: {table: t, at_least: 1}}",
        "{sql: select 1}",
        "datasets.data.drill.checks[0].sql",
        17,
        "nothing",
        "expect",
    ),
    ("[deletion, corruption]", "[deletion, deletion]", "datasets.data.drill.scenarios", 17, "twice", "keep one"),
    ("kind: s3", "kind: directory", "repositories.vault.place", 19, "absolute path", "/srv"),
    ("kind: s3", "kind: directory", "repositories.vault.lock", 19, "cannot lock", "local or none"),
    ("s3://vault/x", "vault/x", "repositories.vault.place", 19, "no address", "s3://"),
    ("offsite: true", "offsite: true, password: hunter2", "repositories.vault.password", 19, "secret", "by reference"),
    ("[web, data]", "[web, web]", "critical_paths.sell", 21, "twice", "keep one"),
    ("from: web, to: data", "from: web, to: web", "data_flows[0].to", 23, "where it begins", "another"),
    ("what: orders", "what: orders, audited_in: data", "data_flows[0].audited_in", 23, "of kind sqlite", "kind trail"),
    ("name: Small", "name: &a Small", "name", 2, "anchor", "remove"),
    ("name: Small", "name: *a", "name", 2, "alias", "write the value out"),
    ("name: Small", "name: !!str Small", "name", 2, "tag", "remove"),
    ("name: Small", "name: Small\nname: Large", "name", 3, "twice, first in line 2", "keep one"),
    ("name: Small", "name: {{a: 1}: b}", "name.?", 2, "no text", "quotes"),
    ("name: Small", "name: 'Small", "the file", 24, "not YAML", "quotes"),
    ("name: Small", "name: Small\n\tx: 1", "the file", 3, "tab", "indentation"),
    ("name: Small", "name: [", "the file", 4, "',' or ']'", "quotes"),
    ("name: Small", "name: a: b", "the file", 2, "not YAML", "colons"),
    ("name: Small", "name: Small\x07", "the file", 2, "U+0007", "remove"),
]


@pytest.mark.parametrize(("old", "new", "field", "line", "reason", "hint"), REFUSED)
def test_a_refusal_says_where_why_and_what_next(
    old: str, new: str, field: str, line: int, reason: str, hint: str
) -> None:
    found = faults(small((old, new)))
    (fault, *_) = [one for one in found if one.field == field] or found
    assert (fault.file, fault.field, fault.line) == ("estate.yaml", field, line), found
    assert reason in fault.reason and hint in fault.hint, fault
    assert fault.column >= 1


def test_columns_count_from_one() -> None:
    (fault,) = faults(small(("rpo: 1h", "rpo: 1 hour")))
    assert (fault.line, fault.column) == (13, 10)
    assert str(fault).startswith("estate.yaml:13:10: datasets.data.rpo: it is no duration (hint: ")


def test_all_faults_are_told_at_once_in_the_order_of_the_file() -> None:
    data = small(("name: Small", "nmae: Small"), ("rpo: 1h", "rpo: soon"), ("depends_on: [data]", "depends_on: [dta]"))
    assert [fault.field for fault in faults(data)] == [
        "name",
        "nmae",
        "services.web.depends_on[0]",
        "datasets.data.rpo",
    ]
    with pytest.raises(DeclaredError, match=r"could not use the estate file .*: 4 places are wrong"):
        parse_estate(data, file="estate.yaml")


def test_all_that_keeps_a_dataset_from_being_erasable_is_told_at_once() -> None:
    data = small(
        ("kind: sqlite", "kind: trail\n    erasable: true"),
        ("retention: 30d", "retention: 90d"),
        ("{rows: {table: t, at_least: 1}}", "verify: true"),
        ("[deletion, corruption]", "[ransomware]"),
    )
    assert [(fault.field, fault.line) for fault in faults(data)] == [
        ("datasets.data.erasable", 11),
        ("datasets.data.retention", 16),
        ("datasets.data.drill.scenarios", 18),
    ]


def test_thirty_days_are_not_too_long_for_any_kind_but_a_trail() -> None:
    for kind in ("sqlite", "postgresql"):
        source = ("{place: /var/lib/data.db}", "{env: DATA}")
        assert faults(small(("kind: sqlite", f"kind: {kind}\n    erasable: true"), source)) == []
    for kind in ("files", "configuration"):
        check = ("rows: {table: t, at_least: 1}", "digests: true")
        assert faults(small(("kind: sqlite", f"kind: {kind}\n    erasable: true"), check)) == []


def test_only_so_many_faults_are_listed() -> None:
    data = ("\n".join(f"x{number}: 1" for number in range(1_000))).encode()
    with pytest.raises(DeclaredError, match="the first 200 are listed") as raised:
        parse_estate(data, file="estate.yaml")
    assert len(raised.value.faults) == limits.DECLARATION_FAULTS_MAX


SECRET = "hunter2-correct-horse"
PLACES = [
    ("name: Small", f"name: postgresql://u:{SECRET}@db/x"),
    ("name: Small", f"name: Small\npassword: {SECRET}"),
    ("name: Small", f"name: Small\npassword: [{SECRET}]"),
    ("name: Small", f"name: Small\npassword: {{value: {SECRET}}}"),
    ("name: Small", f"name: Small\npostgresql://u:{SECRET}@db/x: 1"),
    ("name: Small", f"name: &{SECRET} Small"),
    ("name: Small", f"name: *{SECRET}"),
    ("name: Small", f"name: !{SECRET} Small"),
    ("name: Small", f"name: !e!{SECRET} Small"),
    ("name: Small", f"name: '{SECRET}"),
    ("rpo: 1h", f"rpo: {SECRET}"),
    ("kind: sqlite", f"kind: {SECRET}"),
    ("{place: /var/lib/data.db}", SECRET),
    ("{place: /var/lib/data.db}", f"{{env: {SECRET}}}"),
    ("repository: vault", "repository: Hunter2/" + SECRET),
    ("offsite: true", f"credentials: {SECRET}"),
    ("offsite: true", f"credentials: {{token: {SECRET}}}"),
]


@pytest.mark.parametrize(("old", "new"), PLACES)
def test_a_secret_is_never_shown(old: str, new: str) -> None:
    found = faults(small((old, new)))
    assert found
    assert SECRET not in " ".join(map(str, found))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"# nothing\n", "empty"),
        (b"just text", "a mapping"),
        (b"- a\n- b\n", "a mapping"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a: 1\n---\nb: 2\n", "second document"),
        (b"a: " + b"[" * 50 + b"]" * 50, "nested deeper"),
        (b"a: [" + b"x," * 30_000 + b"x]", "over 20,000 values"),
        (b"a: " + b"x" * limits.DECLARATION_BYTES_MAX, "over 262,144 bytes"),
        (b'a: "\\UFFFFFFFF"', "not YAML"),
        (b"%YAML " + b"9" * 5_000 + b".1\n---\na: 1", "not YAML"),
        (b"a: &x [1]\nb: [*x,*x,*x]\nc: &y [*x]\n", "anchor"),
        (b"<<: {a: 1}\n", "unknown"),
    ],
)
def test_bounds_and_wrong_documents_are_refused(data: bytes, reason: str) -> None:
    assert any(reason in fault.reason for fault in faults(data)), faults(data)


def test_a_bomb_of_aliases_is_refused_before_it_goes_off() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    found = faults("\n".join(lines).encode())
    assert any("alias" in fault.reason for fault in found)


@given(st.binary(max_size=200) | st.text(alphabet=st.sampled_from("abc:{}[],&*!|>'\"#%@-?\n \t<~1"), max_size=80))
@example(b"? ? ? a")
@example("{a: b: c}")
def test_any_bytes_are_read_or_refused(data: bytes | str) -> None:
    assert faults(data if isinstance(data, bytes) else data.encode())


@given(st.data())
def test_any_change_of_a_file_is_read_or_refused(data: st.DataObject) -> None:
    text = SMALL.encode()
    at = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 30))
    put = data.draw(st.binary(max_size=12) | st.sampled_from([b"\n", b": ", b"- ", b"{", b"]", b"'", b"&a ", b"*a"]))
    faults(text[:at] + put + text[at + length :])


def test_what_was_read_is_written_so_that_it_reads_the_same() -> None:
    for data in (EXAMPLE, SMALL.encode()):
        estate = parse_estate(data, file="estate.yaml")
        assert parse_estate(json.dumps(plain(estate)).encode(), file="estate.json") == estate


def test_a_thing_may_be_called_after_a_secret() -> None:
    assert faults(small(("sell: [web", "reset-password: [web"), ("services:", "services:\n  token: {}"))) == []


def test_nothing_is_taken_for_what_it_is_not() -> None:
    """YAML 1.1 reads these as a truth value and as a number in base 60; a text is a text here."""
    estate = parse_estate(small(("name: Small", "name: no"), ("/srv/drill", "09:30")), file="estate.yaml")
    drill = estate.datasets["data"].drill
    assert estate.name == "no" and drill is not None and drill.place == "09:30"
