"""`atp spool`: what waits on this machine because no server took it."""

from functools import partial
from pathlib import Path

import click
import msgspec

from atp.app.machine import open_spool, spool_folders, spooled_lines
from atp.cli.output import Output, table
from atp.cli.server import Server, connected, json_option
from atp.errors import AtpError, TamperedError, UnavailableError
from atp.log.event import Event
from atp.ops.record.deliver import deliver
from atp.ops.record.spool import SpoolReport, read_record, verify_spool
from atp.verify.remember import default_memory

_HEADS = ("number", "at", "who", "action", "step", "phase", "machine")


class Waiting(msgspec.Struct, omit_defaults=True):
    """A record that waits: which one, of which machine for which server, and what it tells."""

    machine: str
    number: int
    server: str
    at: str | None
    who: str
    action: str
    act: str | None = None
    step: str | None = None
    phase: str | None = None


@click.group()
def command() -> None:
    """Look at, deliver and verify the records that this machine keeps while no server takes them."""


@command.command(name="list")
@json_option
def list_(is_json: bool) -> None:
    """List what waits, for every server that this machine keeps records for.

    \b
    Example:
      atp spool list
    """
    waiting = [one for folder in spool_folders() for one in _waiting(spooled_lines(folder))]
    rows = [
        (str(one.number), one.at or "", one.who, one.action, one.step or "", one.phase or "", one.machine)
        for one in waiting
    ]
    text = table(_HEADS, rows) if rows else "nothing waits"
    Output(is_json).answer({"records": waiting}, text)


@command.command(name="deliver")
@partial(connected, delivers_first=False)
def deliver_(server: Server) -> None:
    """Deliver what waits for this server, in order; every other command that reaches it does so first.

    \b
    Example:
      atp spool deliver
    """
    spool = open_spool(server.url, tell=server.output.note)
    with server.client() as client:
        count = deliver(spool, client, default_memory())
    server.output.answer({"delivered": count}, f"delivered {count}" if count else "nothing waits")


@command.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--vkey", help="The machine's public key, as `operations` knows it; else the one in the spool.")
@json_option
def verify(file: Path | None, vkey: str | None, is_json: bool) -> int:
    """Verify that nothing is missing, changed or foreign in FILE, or in every spool of this machine.

    \b
    Example:
      atp spool verify
    """
    named = [(str(file), _read(file))] if file else [(str(one), spooled_lines(one)) for one in spool_folders()]
    reports = [(name, verify_spool(lines, vkey=vkey)) for name, lines in named]
    document = {"spools": [{"place": name, **msgspec.to_builtins(report)} for name, report in reports]}
    text = "\n".join(_verdict(name, report) for name, report in reports) or "there is no spool"
    Output(is_json).answer(document, text)
    return TamperedError.exit_code if any(report.fault for _, report in reports) else 0


def _waiting(lines: list[bytes]) -> list[Waiting]:
    """The records behind a beginning. TamperedError when one cannot be read."""
    try:
        read = [read_record(line) for line in lines]
    except AtpError as error:
        raise TamperedError(str(error), hint="atp spool verify") from None
    server = _data(read[0].event).get("server", "") if read else ""
    return [
        Waiting(
            record.link.machine,
            record.link.number,
            server,
            record.event.time,
            record.event.actor.id,
            record.event.action,
            **{name: value for name, value in _data(record.event).items() if name in ("act", "step", "phase")},
        )
        for record in read[1:]
    ]


def _data(event: Event) -> dict[str, str]:
    members = msgspec.json.decode(event.data or b"{}", type=dict[str, msgspec.Raw])
    return {
        name: msgspec.json.decode(members[name], type=str)
        for name in ("act", "step", "phase", "server")
        if bytes(members.get(name, b"")).startswith(b'"')
    }


def _read(file: Path) -> list[bytes]:
    try:
        return file.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise UnavailableError(f"could not read {file}: {error.strerror}") from None


def _verdict(name: str, report: SpoolReport) -> str:
    if report.fault is None:
        numbers = "empty" if report.first is None else f"numbers {report.first} to {report.first + report.whole - 1}"
        return f"whole     {name}: {numbers}, of {report.machine or 'nobody'}"
    return f"tampered  {name}: line {report.fault.position + 1}: {report.fault.reason}"
