"""`atp export`: events with their proofs as a bundle, or a whole log as files that foreign tools read."""

import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import click

from atp.cli.files import beside, remove
from atp.cli.mirror import CHECKPOINT, VKEY, is_mirror, mirror
from atp.cli.output import safe
from atp.cli.progress import Progress
from atp.cli.server import Server, connected, tenant_option
from atp.cli.status import frozen_by
from atp.cli.trust import watch
from atp.client import Client, log_path, tenant_path
from atp.errors import ConflictError, InvalidError, TamperedError
from atp.ops.record.watch import Watched
from atp.verify.options import Options
from atp.verify.place import check_place
from atp.verify.report import Report
from atp.verify.workers import cores

_ZIP = ".zip"
_MARKS = (CHECKPOINT, VKEY, "bundle.json")  # one of these is in every export


@click.command()
@tenant_option
@click.option("--whole", is_flag=True, help="The whole log as a tlog-tiles directory; resumes what was begun there.")
@click.option("--first", type=click.IntRange(min=0), help="From this index on.")
@click.option("--stop", type=click.IntRange(min=0), help="Up to before this index.")
@click.option("--since", "received_since", help="Received at or after this time (RFC 3339): proven to be complete.")
@click.option("--until", "received_until", help="Received before this time: proven to be complete.")
@click.option("--happened-since", "since", help="Happened at or after this time, by what the events say.")
@click.option("--happened-until", "until", help="Happened before this time.")
@click.option("--actor")
@click.option("--action")
@click.option("--resource")
@click.option("--outcome")
@click.option("--text")
@click.option("-o", "--output", "place", type=click.Path(path_type=Path), required=True, metavar="DIR|FILE.zip")
@click.option("--force", is_flag=True, help="Replace what is there.")
@connected
def command(server: Server, tenant: str, whole: bool, place: Path, force: bool, **asked: str | int | None) -> int:
    """Write events of a tenant, their entries and proofs, as a bundle that `atp verify` checks offline.

    A range of indexes or of times of receipt is proven to be complete. Any other question is answered with a proof for
    each event. What was written is verified before the command ends.

    \b
    Examples:
      atp export --since 2026-01-01T00:00:00Z --until 2026-02-01T00:00:00Z -o january.zip
      atp export --actor alice -o alice
      atp export --whole -o log
    """
    given = {name: value for name, value in asked.items() if value is not None}
    if whole and (given or place.suffix == _ZIP):
        raise InvalidError("could not export: --whole takes no conditions and writes a directory", hint="-o DIR")
    report = _whole(server, tenant, place, force) if whole else _bundle(server, tenant, place, force, given)
    checkpoint = watch(server, tenant, note=report.logs[0].note or None)
    size = sum(file.stat().st_size for file in ([place] if place.is_file() else place.rglob("*")) if file.is_file())
    document = {"path": str(place), "bytes": size, "verified": report.as_json(), "checkpoint": checkpoint}
    text = "\n".join(safe(line) for line in report.as_text().split("\n"))
    server.output.answer(document, f"{text}\n{size:,} bytes written to {safe(str(place))}")
    return 0


def _whole(server: Server, tenant: str, place: Path, force: bool) -> Report:
    with server.client() as client, Progress("files") as progress:
        _check_unfrozen(client)
        log = Watched(client, tenant)
        if not is_mirror(place, client.get(log_path(tenant, VKEY)).body):
            _check_free(place, force)
            remove(place)
        mirror(log, place, progress=lambda done, total: progress.show(done, total=total))
    return _verified(place, place)


def _bundle(server: Server, tenant: str, place: Path, force: bool, asked: Mapping[str, object]) -> Report:
    """The bundle takes its place only when it is verified."""
    _check_free(place, force)
    with beside(place) as folder:
        packed, unpacked = folder / "bundle.zip", folder / "bundle"
        with server.client() as client, packed.open("w+b") as file:
            client.download(tenant_path(tenant, "export"), asked, into=file)
        report = _verified(packed, place)
        if place.suffix != _ZIP:
            with zipfile.ZipFile(packed) as archive:  # of known names only, as verified
                archive.extractall(unpacked)
        remove(place)
        (packed if place.suffix == _ZIP else unpacked).rename(place)
    return report


def _check_unfrozen(client: Client) -> None:
    """ConflictError while exports are frozen: tiles can be read all the same, for those who watch the log."""
    if frozen := frozen_by(client.get("/v1/status").json()):
        raise ConflictError(
            f"could not export: the platform was frozen {frozen}", hint="atp integrity unfreeze, when that is settled"
        )


def _check_free(place: Path, force: bool) -> None:
    """ConflictError when something is there that must not be replaced, or may not without `--force`."""
    is_nothing = not place.exists() or (place.is_dir() and not any(place.iterdir()))
    if is_nothing:
        return
    if place.is_dir() and not any((place / mark).is_file() for mark in _MARKS):
        raise ConflictError(f"could not write {place}: it is a directory with other things", hint="name a new one")
    if not force:
        raise ConflictError(f"could not write {place}: it exists", hint="--force replaces it")


def _verified(written: Path, place: Path) -> Report:
    """The report about what was written. TamperedError when it does not hold."""
    report = replace(check_place(str(written), Options(jobs=cores())), place=str(place))
    if report.is_tampered:
        found = [*report.findings, *(finding for log in report.logs for finding in log.findings)]
        raise TamperedError(
            f"could not export: what the server sent does not hold: {found[0].sentence if found else report.place}",
            hint=f"atp verify {place}" if written == place else None,
        )
    return report
