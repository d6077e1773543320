"""Linux audit text: records of the kernel that share `audit(SECONDS.MS:SERIAL)` are one event, also when interleaved.

Source of the layout: audit-userspace, `docs` and `lib/libaudit.h`; `auditd.conf(5)` on `log_format`. One line is one
record, `type=TYPE msg=audit(1492037291.036:59): name=value ...`. Strings that hold blanks or quotes are written as hex
without quotes, everything else as `"..."`. User space puts its own pairs into `msg='...'`. With ENRICHED, a byte 0x1D
and the names of numeric ids (`AUID="alice"`) follow.
"""

import re
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple

from atp import limits

WINDOW_LINES = 1_024  # a group is complete when so many audit lines came after its last one

_HEAD = re.compile(
    r"(?:\bnode=(?P<node>\S+) )?type=(?P<type>[A-Z0-9_\[\]]+) (?:msg=)?audit\((?P<time>\d+\.\d+):(?P<serial>\d+)\):?"
)
_PAIR = re.compile(r"""([A-Za-z_][\w.\-\[\]]*)=("[^"]*"|'[^']*'|\{[^}]*\}|\[[^\]]*\]|[^\s'"\x1d]*)""")
_VERDICT = re.compile(r"avc:\s+(denied|granted)")
_HEX = re.compile(r"(?:[0-9A-F]{2})+")
_HEX_FIELDS = frozenset(("acct", "cmd", "comm", "cwd", "exe", "key", "name", "path", "proctitle", "data", "vm", "unit"))
# Records that only say more about another one of the same event.
_AUXILIARY = frozenset(
    (
        "SYSCALL",
        "PATH",
        "CWD",
        "EXECVE",
        "PROCTITLE",
        "SOCKADDR",
        "EOE",
        "FD_PAIR",
        "OBJ_PID",
        "MMAP",
        "BPRM_FCAPS",
        "IPC",
    )
)


class AuditGroup(NamedTuple):
    """The lines of one event, in the order of the file; `line` is the number of the first."""

    line: int
    lines: list[bytes]


class AuditWindow:
    """Collects audit lines into events. Holds at most WINDOW_LINES lines' worth of groups; costs O(1) a line."""

    def __init__(self) -> None:
        self._groups: OrderedDict[tuple[str, ...], tuple[int, AuditGroup]] = OrderedDict()
        self._seen = 0

    def add(self, number: int, line: bytes) -> Iterator[AuditGroup]:
        """Take one audit line; gives the groups that are complete by it."""
        head = _HEAD.search(line.decode("latin-1"))
        assert head is not None, "the caller asks is_audit_line first"
        key = (head["node"] or "", head["time"], head["serial"])
        self._seen += 1
        _, group = self._groups.pop(key, (0, AuditGroup(number, [])))
        group.lines.append(line)
        if sum(map(len, group.lines)) > limits.ENTRY_BYTES_MAX:
            yield group  # too large to record: give it up now instead of letting it grow
        else:
            self._groups[key] = (self._seen, group)
        while self._groups and next(iter(self._groups.values()))[0] <= self._seen - WINDOW_LINES:
            yield self._groups.popitem(last=False)[1][1]

    def close(self) -> Iterator[AuditGroup]:
        """The groups that are left, oldest first."""
        while self._groups:
            yield self._groups.popitem(last=False)[1][1]


def is_audit_line(line: bytes) -> bool:
    """Whether the line holds a record of Linux audit."""
    return b"audit(" in line and _HEAD.search(line.decode("latin-1")) is not None


def audit_order(lines: list[bytes]) -> list[bytes]:
    """The lines of an event in byte order, so that a file in another order gives the same event."""
    return sorted(lines)


def parse_audit(text: str) -> dict[str, Any] | None:
    """The fields of an event's lines, or None when the first holds no audit record.

    `type`, `time`, `serial`, `node`; `records`, a list with the fields of each line; and each record once more under
    its type, the first one when there are several. Hex strings are decoded, NUL bytes in them become blanks.
    """
    records = [fields for line in text.split("\n") if (fields := _parse_line(line))]
    if not records:
        return None
    types = [fields["type"] for fields in records]
    chief = next((kind for kind in types if kind not in _AUXILIARY), "SYSCALL" if "SYSCALL" in types else types[0])
    parsed: dict[str, Any] = {fields["type"]: fields for fields in reversed(records)}
    stamp = {name: records[0][f"@{name}"] for name in ("node", "time", "serial")}
    return parsed | stamp | {"type": chief, "records": records}


def _parse_line(line: str) -> dict[str, str] | None:
    head = _HEAD.search(line)
    if head is None:
        return None
    rest = line[head.end() :]
    fields = {"type": head["type"]} | {f"@{name}": head[name] or "" for name in ("node", "time", "serial")}
    if verdict := _VERDICT.search(rest):
        fields["avc"] = verdict[1]
    _add_pairs(fields, rest)
    return fields


def _add_pairs(fields: dict[str, str], text: str) -> None:
    for name, value in _PAIR.findall(text):
        if name == "msg" and value.startswith("'"):
            _add_pairs(fields, value[1:-1])
        elif name not in fields:
            fields[name] = _unquote(name, value)


def _unquote(name: str, value: str) -> str:
    if value[:1] in ('"', "'"):
        return value[1:-1]
    if name in _HEX_FIELDS and _HEX.fullmatch(value):
        return bytes.fromhex(value).replace(b"\0", b" ").decode("utf-8", "replace").strip()
    return value
