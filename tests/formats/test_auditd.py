"""Linux audit: lines of one event found together, read and decoded."""

import random
from collections.abc import Iterator

from atp.formats.auditd import WINDOW_LINES, AuditWindow, is_audit_line, parse_audit
from tests.formats.converting import data_of, event, events, outcomes

SUDO = (
    b"type=USER_CMD msg=audit(1481077231.363:475): pid=1382 uid=1000 auid=1000 ses=3 "
    b'msg=\'cwd="/home/ada" cmd=2E2F6265617420 terminal=pts/0 res=success\'\x1dUID="ada" AUID="ada"'
)
SYSCALL = (
    b"type=SYSCALL msg=audit(1492037291.036:59): arch=c000003e syscall=59 success=no exit=-13 ppid=1 pid=2 auid=1000 "
    b'uid=0 ses=802 comm="grep" exe="/usr/bin/grep" key=(null)'
)
PATH = b'type=PATH msg=audit(1492037291.036:59): item=0 name="/etc/shadow" inode=9'


def test_the_fields_of_all_lines_are_read() -> None:
    parsed = parse_audit(SUDO.decode())
    assert parsed is not None
    assert (parsed["type"], parsed["time"], parsed["serial"]) == ("USER_CMD", "1481077231.363", "475")
    fields = parsed["USER_CMD"]
    assert (fields["cmd"], fields["cwd"], fields["res"], fields["AUID"]) == ("./beat", "/home/ada", "success", "ada")


def test_an_event_of_several_lines_is_named_after_its_chief_record() -> None:
    made = event(PATH + b"\n" + SYSCALL + b"\n")
    assert (made.action, made.actor.id, made.outcome) == ("syscall:59", "1000", "denied")
    assert (made.time, made.resource and made.resource.id) == ("2017-04-12T22:48:11.036Z", "/etc/shadow")
    avc = b"type=AVC msg=audit(1492037291.036:59): avc:  denied  { read } for  pid=2"
    assert event(b"\n".join([SYSCALL, PATH, avc])).action == "avc:59"


def test_the_lines_are_kept_verbatim() -> None:
    kept = data_of(event(SUDO))
    assert kept == b'{"lines":["' + SUDO.replace(b'"', b'\\"').replace(b"\x1d", b"\\u001d") + b'"]}'


def test_the_order_of_a_file_changes_no_event() -> None:
    lines = [line for number in range(9) for line in (SYSCALL, PATH, b"type=EOE msg=audit(1492037291.036:59): ")]
    lines = [line.replace(b":59)", b":%d)" % (number // 3)) for number, line in enumerate(lines)]
    shuffled = random.Random(7).sample(lines, len(lines))
    expected = {made.id: data_of(made) for made in events(b"\n".join(lines))}
    assert len(expected) == 9
    assert {made.id: data_of(made) for made in events(b"\n".join(shuffled))} == expected


def test_true_repeats_of_an_event_stay() -> None:
    again = b"\n".join([SUDO, *_filler(WINDOW_LINES + 1), SUDO])
    assert len({made.id for made in events(again) if made.action == "user_cmd"}) == 2


def test_the_window_forgets_groups_that_nothing_was_added_to() -> None:
    window = AuditWindow()
    early = [group for number, line in enumerate(_filler(WINDOW_LINES + 5)) for group in window.add(number, line)]
    assert [group.line for group in early] == [0, 1, 2, 3, 4]
    assert len(list(window.close())) == WINDOW_LINES


def test_a_node_makes_an_event_its_own() -> None:
    lines = [b"node=%b %b" % (node, line) for node in (b"a", b"b") for line in (SYSCALL, PATH)]
    assert len(events(b"\n".join(lines))) == 2


def test_what_is_no_audit_line_is_rejected_between_them() -> None:
    made = outcomes(b"# a comment\n" + SYSCALL + b"\n----\n" + PATH + b"\n")
    assert [type(one).__name__ for one in made] == ["Rejected", "Rejected", "Event"]
    assert not is_audit_line(b"audit(1:2): type=X")


def test_bytes_that_are_no_text_are_rejected() -> None:
    (made,) = outcomes(SYSCALL + b' name="\xff"')
    assert "UTF-8" in getattr(made, "reason", "")


def _filler(count: int) -> Iterator[bytes]:
    return (b"type=TTY msg=audit(1.000:%d): pid=1" % serial for serial in range(count))
