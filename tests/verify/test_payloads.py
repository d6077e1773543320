"""The four states of a payload: present, sealed, erased, expired; and what is found when none of them holds."""

import json
import random
from base64 import b64encode
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.verify.options import Options
from atp.verify.place import check_place
from atp.verify.report import Report
from tests.verify.stored import (
    TENANT,
    entries,
    entry,
    range_files,
    selection_files,
    write_bundle,
    write_file,
    write_place,
    write_tiles,
)

SALT = bytes(range(32))
VALUES = {3: b'{"name":"Zo\xc3\xab","born":1.0}', 5: b'"12345678901234567890"', 9: b"[1, 2]"}
FIELD = "data.person"
PACK = "packs/hr/2026-01.ndjson"


def sealed_entries(*, endings: Sequence[dict[str, object]] = (), action: str = "atp.payload.erased") -> list[bytes]:
    """Twelve entries, three of them with a commitment in place of a value, and then those that end payloads."""
    stored = [entry(number, sealed=commitment(VALUES[number]) if number in VALUES else "") for number in range(12)]
    return stored + [entry_that_ends(number, said, action=action) for number, said in enumerate(endings, len(stored))]


def entry_that_ends(number: int, said: dict[str, object], *, action: str) -> bytes:
    """An entry that ends the payloads of one range."""
    body = {"actor": {"id": "alice"}, "action": action, "data": {"ranges": [said]}}
    return entry(number, body=json.dumps(body, separators=(",", ":")))


def commitment(value: bytes) -> str:
    return f'"sealed":{{"class":"hr","fields":{{"{FIELD}":"{sha256(SALT + value).hexdigest()}"}},"subject":"s-1"}}'


def present(index: int, *, value: bytes | None = None, field: str = FIELD) -> bytes:
    return b'{"index":%d,"field":"%b","salt":"%b","value":%b}\n' % (
        index,
        field.encode(),
        SALT.hex().encode(),
        value or VALUES[index],
    )


def encrypted(index: int) -> bytes:
    return b'{"index":%d,"field":"%b","sealed":"%b"}\n' % (index, FIELD.encode(), b64encode(b"ciphertext"))


def missing(index: int) -> bytes:
    """No line."""
    return b""


FORMS, ENDINGS = st.sampled_from([present, encrypted, missing]), st.sampled_from(["", "erased", "expired"])


def check(path: Path, stored: Sequence[bytes], *lines: bytes) -> Report:
    """The report about a data directory with these lines in its pack; a plain directory has to say the same."""
    place = write_place(path / "place", stored)
    tiles = write_tiles(path / "tiles", stored)
    for folder in (place.log, tiles):
        write_file(folder / PACK, b"".join(lines))
    reports = [check_place(str(folder), Options()) for folder in (place.path, tiles)]
    assert reports[0].logs[0].findings == reports[1].logs[0].findings
    assert place.log.name == TENANT
    return reports[0]


def said(report: Report) -> str:
    return report.logs[0].levels["payload"].reason


def test_payloads_are_present_or_sealed(tmp_path: Path) -> None:
    report = check(tmp_path, sealed_entries(), present(3), encrypted(5), present(9))
    assert not report.is_tampered, report.as_text()
    assert "2 present, 1 sealed, 0 erased, 0 expired" in said(report)


@pytest.mark.parametrize("state", ["erased", "expired"])
@pytest.mark.parametrize("fields", [[FIELD], []])
def test_a_payload_may_be_gone_when_a_later_entry_says_so(state: str, fields: list[str], tmp_path: Path) -> None:
    ending: dict[str, object] = {"first": 4, "stop": 10} | ({"fields": fields} if fields else {})
    stored = sealed_entries(endings=[ending], action=f"atp.payload.{state}")
    report = check(tmp_path, stored, present(3))
    assert not report.is_tampered, report.as_text()
    assert f"2 {state}" in said(report)


@pytest.mark.parametrize(
    "ending",
    [
        {"first": 6, "stop": 9, "fields": [FIELD]},
        {"first": 9, "stop": 10, "fields": ["data.other"]},
        {"first": 9, "stop": 13, "fields": [FIELD]},  # reaches beyond itself: an entry ends what was there before it
        {"first": 9, "stop": 9},
        {"first": "9", "stop": 10},
        {"first": 9},
    ],
)
def test_a_payload_that_is_gone_without_an_entry_that_says_so_is_found(
    ending: dict[str, object], tmp_path: Path
) -> None:
    report = check(tmp_path, sealed_entries(endings=[ending]), present(3), present(5))
    assert [(f.level, f.index) for f in report.logs[0].findings] == [("payload", 9)]
    assert "no entry says that it was erased or expired" in report.as_text()


@pytest.mark.parametrize(
    ("line", "index"),
    [
        (present(5, value=b'"12345678901234567891"'), 5),
        (present(5, value=b' "12345678901234567890"'), 5),
        (b"no pack\n", 3),
        (b'{"index":5,"field":"data.person","sealed":"?"}\n', 3),
        (present(9), 9),
    ],
)
def test_a_pack_that_is_not_what_the_entries_commit_to_is_found(line: bytes, index: int, tmp_path: Path) -> None:
    report = check(tmp_path, sealed_entries(), present(3), line, present(9))
    assert index in [finding.index for finding in report.logs[0].findings]
    assert report.logs[0].levels["structure"].verdict == "ok"


@given(payloads=st.lists(st.tuples(FORMS, ENDINGS), min_size=len(VALUES), max_size=len(VALUES)))
def test_a_payload_is_there_exactly_when_no_entry_ended_it(
    payloads: list[tuple[Callable[[int], bytes], str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    stored, lines, wrong = sealed_entries(), list[bytes](), list[tuple[str, int]]()
    for index, (form, state) in zip(VALUES, payloads, strict=True):
        lines.append(form(index))
        if state:
            stored.append(
                entry_that_ends(len(stored), {"first": index, "stop": index + 1}, action=f"atp.payload.{state}")
            )
        if lines[-1] and state:
            wrong.append((f"'{FIELD}' is still there, and entry {len(stored) - 1} says that it was {state}", index))
        if not lines[-1] and not state:
            wrong.append((f"the payload of '{FIELD}' is gone, and no entry says that it was erased or expired", index))
    report = check(tmp_path_factory.mktemp("payloads"), stored, *lines)
    assert sorted((finding.reason, finding.index) for finding in report.logs[0].findings) == sorted(wrong)


@pytest.mark.parametrize("fields", [["data.other"], [FIELD, "data.other"]])
def test_what_is_still_there_is_found_by_its_field(fields: list[str], tmp_path: Path) -> None:
    stored = sealed_entries(endings=[{"first": 0, "stop": 12, "fields": fields}])
    report = check(tmp_path, stored, present(3), present(5), encrypted(9))
    still_there = [(f.level, f.place, f.index) for f in report.logs[0].findings]
    assert still_there == [("payload", PACK, index) for index in VALUES if FIELD in fields]


@pytest.mark.parametrize("kind", ["range", "range.zip", "selection"])
def test_a_bundle_that_holds_what_its_own_entry_ended_is_found(kind: str, tmp_path: Path) -> None:
    stored = sealed_entries(endings=[{"first": 5, "stop": 10}])
    files = selection_files(stored, [3, 5, 12]) if kind == "selection" else range_files(stored, 2, len(stored))
    path = write_bundle(tmp_path / kind, files | {PACK: present(3) + present(5)})
    (finding,) = check_place(str(path), Options()).logs[0].findings
    assert (finding.place, finding.index) == (PACK, 5)
    assert "entry 12 says that it was erased" in finding.reason


def test_a_payload_that_no_entry_commits_to_is_found(tmp_path: Path) -> None:
    lines = (present(3), present(4, value=b"1"), present(5), present(9), present(9, value=b"1", field="data.x"))
    report = check(tmp_path, sealed_entries(), *lines)
    assert [(f.place, f.index) for f in report.logs[0].findings] == [(PACK, 4), (PACK, 9)]


def test_received_at_that_goes_back_is_found(tmp_path: Path) -> None:
    stored = [entry(number) for number in range(600)]
    stored[300] = entry(0)
    report = check(tmp_path, stored)
    assert [(f.place, f.index) for f in report.logs[0].findings] == [("received_at", 300)]


def test_an_entry_that_was_signed_cut_off_is_found(tmp_path: Path, rng: random.Random) -> None:
    stored = entries(300)
    whole = stored[9]
    for cut in {0, 1, len(whole) - 1, *rng.sample(range(len(whole)), 5)}:
        stored[9] = whole[:cut]
        place = write_place(tmp_path / str(cut), stored)
        # Behind an end that is not its own, only parsing finds it.
        for level in ("index",) if stored[9].endswith(b"}}") else ("index", "payload"):
            (log,) = check_place(str(place.path), Options(level=level)).logs
            assert [(f.level, f.reason, f.index) for f in log.findings] == [("payload", "it is not of format 1", 9)]


@pytest.mark.parametrize("index", [5, 299])
def test_only_the_index_level_reads_between_head_and_end(index: int, tmp_path: Path) -> None:
    stored = entries(300)
    stored[index] = stored[index].replace(b'"outcome":"success",', b'"outcome"!"success",')
    place = write_place(tmp_path / "place", stored)
    assert "each is JSON of format 1" not in said(check_place(str(place.path), Options(level="payload")))
    (log,) = check_place(str(place.path), Options()).logs
    assert [(f.reason, f.index) for f in log.findings] == [("it is not of format 1", index)]


def test_an_entry_of_another_format_is_found_in_a_data_directory_and_said_of_a_foreign_log(tmp_path: Path) -> None:
    stored = [b"record 0", b"", entry(2)]
    report = check_place(str(write_place(tmp_path / "place", stored).path), Options())
    assert [(f.reason, f.index) for f in report.logs[0].findings] == [
        ("it is not of format 1", 0),
        ("it is not of format 1", 1),
    ]
    foreign = check_place(str(write_tiles(tmp_path / "tiles", stored)), Options())
    assert not foreign.is_tampered
    assert "2 of another format were hashed, not read" in said(foreign)
