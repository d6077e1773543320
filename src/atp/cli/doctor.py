"""`atp doctor`: looks at everything that has to be right on this machine and on the server, and says what to do."""

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal

import click

from atp import __version__
from atp.app.migrations import FORMAT
from atp.cli.output import Output, safe
from atp.cli.server import find_server, json_option, key_file_option, url_option
from atp.client import Client, Reply
from atp.errors import AtpError
from atp.verify.remember import default_memory

_DATA_DEFAULT = Path("var/atp")
_FREE_BYTES_MIN = 1024**3
_FREE_BYTES_ENOUGH = 10 * 1024**3
_CLOCK_SECONDS_OK = 5
_CLOCK_SECONDS_MAX = 60
_LAG_SECONDS_OK = 60
_PYTHON_MIN = (3, 11)

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at and found, and the next move when it is not all right."""

    what: str
    state: State
    found: str
    next: str = ""


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help=f"A data directory here.  [default: {_DATA_DEFAULT}]")
@url_option
@key_file_option
@json_option
def command(data: Path | None, url: str, key_file: Path | None, is_json: bool) -> int:
    """Check this machine, the data directory if there is one, the server and the logs.

    Each finding comes with its next move. Exit code 1 when a check failed.

    \b
    Example:
      atp doctor
    """
    output = Output(is_json)
    checks = [*_check_machine(), *_check_data(data), *_check_server(url, key_file, output)]
    is_sound = all(check.state != "failed" for check in checks)
    output.answer({"ok": is_sound, "checks": [asdict(check) for check in checks]}, "\n".join(map(_line, checks)))
    return 0 if is_sound else 1


def _line(check: Check) -> str:
    line = f"{check.state:<8} {check.what}: {safe(check.found)}"
    return f"{line}\n         -> {safe(check.next)}" if check.next else line


def _check_machine() -> Iterator[Check]:
    found = ".".join(map(str, sys.version_info[:3]))
    is_new = sys.version_info >= _PYTHON_MIN
    yield Check("python", "ok" if is_new else "failed", found, "" if is_new else "install Python 3.11 or newer")
    folder = default_memory().directory
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if os.access(nearest, os.W_OK | os.X_OK):
        yield Check("memory of checkpoints", "ok", str(folder))
    else:
        move = "set ATP_STATE_DIR to a directory of yours: without it a forked log is not noticed"
        yield Check("memory of checkpoints", "warning", f"{folder} is not writable", move)


def _check_data(named: Path | None) -> Iterator[Check]:
    data = named or _DATA_DEFAULT
    if not (data / "FORMAT").exists():
        if named is not None:
            yield Check("data directory", "failed", f"{data} is none", f"atp serve --data {data} creates it")
        return
    try:
        yield _check_format(data)
        yield from _check_secrets(data)
        yield _check_disk(data)
    except OSError as error:
        yield Check("data directory", "failed", f"{data}: {error.strerror}", "run this as the user of the server")


def _check_format(data: Path) -> Check:
    found = (data / "FORMAT").read_text(errors="replace").strip()
    is_known = found.isdigit() and 1 <= int(found) <= FORMAT
    return Check(
        "data directory",
        "ok" if is_known else "failed",
        f"{data}, format {found[:20]}",
        "" if is_known else f"use the program that wrote it: this one knows up to format {FORMAT}",
    )


def _check_secrets(data: Path) -> Iterator[Check]:
    secrets = [data / "root.key", *(data / "keys").rglob("*")]
    open_ones = [path for path in secrets if path.is_file() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    for path in open_ones:
        yield Check("secrets", "failed", f"others can read {path}", f"chmod 600 {path}")
    if not open_ones:
        yield Check("secrets", "ok", f"only their owner can read root.key and keys of {data}")


def _check_disk(data: Path) -> Check:
    free = shutil.disk_usage(data).free
    found = f"{free / 1024**3:.1f} GiB free in {data}"
    if free < _FREE_BYTES_MIN:
        return Check("disk", "failed", found, "make room: events are refused when nothing can be written")
    if free < _FREE_BYTES_ENOUGH:
        return Check("disk", "warning", found, "make room soon")
    return Check("disk", "ok", found)


def _check_server(url: str, key_file: Path | None, output: Output) -> Iterator[Check]:
    try:
        with Client(url, tries=1) as client:
            reply = client.get("/health/live")
            yield Check("server", "ok", f"{url} answers")
            yield _check_clock(reply)
            yield from _check_health(client)
    except AtpError as error:
        yield Check("server", "failed", error.sentence, error.hint or "atp serve")
        return
    try:
        with find_server(url, key_file=key_file, output=output).client(tries=1) as client:
            status = client.get("/v1/status").json()
    except AtpError as error:
        yield Check("key", "failed", error.sentence, error.hint or "atp key create")
        return
    yield Check("key", "ok", f"opens {len(status['logs'])} logs")
    yield _check_version(status["version"])
    yield from (_check_log(log) for log in status["logs"])


def _check_clock(reply: Reply) -> Check:
    try:
        there = parsedate_to_datetime(reply.headers.get("date", ""))
    except ValueError:
        return Check("clock", "warning", "the server does not tell its time", "compare the clocks yourself")
    apart = abs((datetime.now(UTC) - there).total_seconds())
    found = f"{apart:.0f} s from the server's"
    if apart <= _CLOCK_SECONDS_OK:
        return Check("clock", "ok", found)
    state: State = "warning" if apart <= _CLOCK_SECONDS_MAX else "failed"
    return Check("clock", state, found, "let a time service set both clocks")


def _check_health(client: Client) -> Iterator[Check]:
    report = client.get("/health", answers=(200, 503)).json()
    for name, entry in report["entries"].items():
        if entry["status"] != "Healthy":
            state: State = "failed" if entry["status"] == "Unhealthy" else "warning"
            yield Check(f"server's {name}", state, entry["description"], "see the server's own log")
    if report["status"] == "Healthy":
        yield Check("health", "ok", f"all {len(report['entries'])} checks of the server")


def _check_version(found: str) -> Check:
    if found == __version__:
        return Check("version", "ok", found)
    return Check("version", "warning", f"the server is {found}, this program {__version__}", "install the same version")


def _check_log(log: dict[str, Any]) -> Check:
    what = f"log of {log['tenant']}"
    if log["stopped"]:
        return Check(what, "failed", log["stopped"], "stop, keep a copy of the data, and run: atp verify DIR")
    if log["lag_seconds"] > _LAG_SECONDS_OK:
        return Check(what, "warning", f"queries are {log['lag_seconds']:.0f} s behind", "see atp status")
    return Check(what, "ok", f"{log['published_size']:,} of {log['size']:,} entries published")
