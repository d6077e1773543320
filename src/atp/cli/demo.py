"""`atp demo`: a small day is recorded, searched and proven; then somebody changes the past, and is found."""

import shutil
import tempfile
from pathlib import Path

import click

from atp.app.demo import REFUND, Demo, tamper
from atp.cli.output import Output
from atp.cli.server import json_option
from atp.log.event import read_event
from atp.verify.options import Options
from atp.verify.place import check_place
from atp.verify.report import Report
from atp.verify.trust import parse_vkeys


@click.command()
@click.option("--keep", type=click.Path(path_type=Path), help="Leave everything in this new directory, to look at it.")
@json_option
def command(keep: Path | None, is_json: bool) -> int:
    """Show in a minute what the trail is for, on data of its own. No server is needed, nothing is left behind.

    \b
    Example:
      atp demo
    """
    output = Output(is_json)
    directory = _new_directory(keep)
    try:
        told = _Story(directory, output)
        report = told.run()
    finally:
        if keep is None:
            shutil.rmtree(directory, ignore_errors=True)
    output.answer({"steps": told.steps, "report": report.as_json()}, "")
    return 0


class _Story:
    """The steps, told while they happen."""

    def __init__(self, directory: Path, output: Output) -> None:
        self.steps: list[str] = []
        self._directory = directory
        self._output = output

    def run(self) -> Report:
        """All of it; the report about the tampered copy."""
        demo = Demo(self._directory)
        try:
            count = demo.record_day()
            self._tell(f"1. A day of a payment office is recorded: {count} events, durable, under a signed checkpoint.")
            denied = demo.ask(outcome="denied")
            self._tell(f"2. Who was turned away? {len(denied.events)} events, newest first:")
            for index, entry in denied.events[:3]:
                event = read_event(entry)[1]
                self._tell(f"     entry {index}  {event.time}  {event.actor.id}  {event.action}  {event.outcome}")
            record, proof, vkey = demo.prove()
        finally:
            demo.close()
        self._prove(record.index, record.entry, proof, vkey)
        self._verify_all(demo.data)
        return self._tamper(demo.data)

    def _prove(self, index: int, entry: bytes, proof: bytes, vkey: bytes) -> None:
        path = self._directory / "refund.tlog-proof"
        path.write_bytes(proof)
        report = check_place(str(path), Options(entry=entry, trusted=parse_vkeys(vkey)))
        verdict = "does not hold" if report.is_tampered else "holds"
        self._tell(f"3. {REFUND} is entry {index}. Its proof is {len(proof)} bytes, and {verdict} offline.")

    def _verify_all(self, data: Path) -> None:
        report = check_place(str(data), Options(tenant="default"))
        verdict = "something is wrong" if report.is_tampered else "every byte is as it was signed"
        self._tell(f"4. atp verify on the whole directory: {verdict}.")

    def _tamper(self, data: Path) -> Report:
        copy = self._directory / "tampered"
        shutil.copytree(data, copy)
        path, before, after = tamper(copy)
        self._tell(f"5. Somebody with the disk rewrites {path.relative_to(copy)}: {before} becomes {after}.")
        report = check_place(str(copy), Options(tenant="default"))
        self._tell("6. atp verify on that copy:")
        for line in report.as_text().split("\n")[1:]:
            self._tell(f"     {line}")
        return report

    def _tell(self, line: str) -> None:
        self.steps.append(line)
        if not self._output.is_json:
            click.echo(line)


def _new_directory(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="atp-demo-"))
    keep.mkdir(parents=True)
    return keep
