"""`atp restore`: a dataset back from its backup, into a new place. Works without a server."""

import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path

import click
import msgspec

from atp.cli.files import read_given
from atp.cli.output import fields, safe
from atp.cli.recorded import recorded
from atp.cli.vault import Desk, at_desk, counting, day, instant, read_identities, size
from atp.errors import RefusedError
from atp.ops.backups.act import restoring
from atp.ops.backups.act.fetching import FetchedParts
from atp.ops.backups.act.kinds.choose import arrival_of
from atp.ops.backups.act.kinds.shape import Occasion
from atp.ops.backups.act.listing import Listed, check_none_newer, check_recorded, choose, list_backups
from atp.ops.backups.act.step import Step
from atp.ops.backups.evidence import held_of
from atp.ports.repository import Repository
from atp.verify.remember import default_memory
from atp.verify.source import NOTE_FILE_BYTES_MAX

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("dataset")
@click.option("--to", "place", type=_PATH, required=True, help="A new place: a directory, or a database file.")
@click.option("--backup", metavar="ID", help="This backup.  [default: the newest good one]")
@click.option("--at", metavar="TIME", help="The newest backup that holds nothing later than this.")
@click.option("--from", "repository", help="Another repository that holds copies.")
@click.option(
    "--known", "known_files", type=_PATH, multiple=True, help="Of a trail: a newer checkpoint that somebody has."
)
@click.option("--reason", default="", help="Why, in a few words; the logs of a trail will say so for ever.")
@click.option("--identity", type=_PATH, required=True, envvar="ATP_IDENTITY_FILE", help="File with the private key.")
@click.option("--replace", type=_PATH, help="Name what stands at the place; it is moved away, never removed.")
@click.option("--manifest-sha256", help="Digest of the manifest.  [default: what the operators' trail remembers]")
@click.option("--unrecorded", "insists", is_flag=True, help="Use objects too that the operators' trail does not know.")
@click.option("--parts", type=_PATH, help="Keep what is fetched here until the end: a restore that is cut off goes on.")
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask after showing the plan.")
@click.option("--dry-run", "is_dry", is_flag=True, help="Show the plan, and do nothing.")
@at_desk
def command(
    desk: Desk,
    dataset: str,
    place: Path,
    backup: str | None,
    at: str | None,
    repository: str | None,
    known_files: tuple[Path, ...],
    reason: str,
    identity: Path,
    replace: Path | None,
    manifest_sha256: str | None,
    insists: bool,
    parts: Path | None,
    is_sure: bool,
    is_dry: bool,
) -> None:
    """Restore DATASET: decrypted aside, checked against what was backed up, and only then given its name.

    Shows its plan first. Whatever fails leaves everything as it was. The manifest has to be the one that was recorded
    when the backup was made, and of what was shipped since only what was recorded is used. A trail is verified in its
    place, and held against what this machine verified of its logs before and each --known FILE; served, its logs go on
    under new origins.

    \b
    Examples:
      atp restore letters --to restored --identity KEY.txt --dry-run
      atp restore letters --to restored --identity KEY.txt --yes
    """
    identities = read_identities(identity, desk.output)
    known = [read_given(path, NOTE_FILE_BYTES_MAX) for path in known_files]
    name = repository or desk.declared(dataset).repository
    with closing(desk.open(name)) as opened, desk.acting() as doing:
        listed = _chosen(opened, dataset, backup=backup, at=instant(at))
        manifest = restoring.check_whole(listed)
        remembered = recorded(desk, opened, listed, dataset=dataset, given=manifest_sha256, insists=insists)
        check_recorded(listed, remembered)
        if remembered.warning:
            desk.output.note(f"warning: {remembered.warning}")
        target = restoring.observe_target(place, kind=manifest.kind, replace=replace)
        occasion = Occasion(doing.by.id, doing.clock.now(), reason, default_memory(), known)
        arrival = arrival_of(
            manifest,
            repository=opened,
            identities=identities,
            at=instant(at),
            occasion=occasion,
            recorded=remembered,
        )
        steps = restoring.plan(manifest, target, arrival)
        if is_dry:
            planned = {"backup": listed.backup, "repository": name, "plan": steps}
            return desk.output.answer(planned, "\n".join(_plan_lines(listed, name, steps, arrival.reaches_to)))
        _confirm(desk, _plan_lines(listed, name, steps, arrival.reaches_to), is_sure=is_sure)
        restored = restoring.Restored(listed.backup, str(target.place))
        data: dict[str, object] = {"backup": listed.backup, "repository": name, "place": str(target.place)}
        data |= {"plan": [s.what for s in steps], "because": reason}
        data |= {"recorded": msgspec.to_builtins(held_of(remembered))}
        with (
            doing.recorded("backup", "restore", resource=dataset, data=data) as record,
            counting("bytes", total=manifest.stored_bytes) as moved,
        ):
            kept = FetchedParts(opened, manifest, parts) if parts else None
            one = restoring.Restore(kept or opened, manifest, target, arrival, identities, moved, restored)
            one.carry_out(steps, record=record)
            if kept is not None:
                kept.remove()
    document: dict[str, object] = {"dataset": dataset, "consistent_at": arrival.reaches_to, "restored": restored}
    return desk.output.answer(document, _text(dataset, listed, restored, arrival.reaches_to))


def _chosen(opened: Repository, dataset: str, *, backup: str | None, at: datetime | None) -> Listed:
    found = list_backups(opened, dataset=dataset)
    listed = choose(found, dataset=dataset, backup=backup, at=at)
    if backup is None:
        check_none_newer(found, listed, dataset=dataset, at=at)
    return listed


def _confirm(desk: Desk, plan: list[str], *, is_sure: bool) -> None:
    for line in plan:
        desk.output.note(line)
    if is_sure:
        return
    if not sys.stdin.isatty():
        raise RefusedError("could not restore: nobody confirmed the plan", hint="--yes, or --dry-run to see it")
    click.confirm("Go on?", abort=True, err=True)


def _plan_lines(listed: Listed, repository: str, steps: list[Step], reaches_to: datetime) -> list[str]:
    lines = [f"backup {listed.backup} in {repository}, which reaches to {day(reaches_to)}:"]
    return lines + [f"  {number}. {safe(step.what)}" for number, step in enumerate(steps, start=1)]


def _text(dataset: str, listed: Listed, restored: restoring.Restored, reaches_to: datetime) -> str:
    head = fields(
        [
            ("restored", f"{dataset} from {listed.backup}"),
            ("to", restored.place),
            ("holds", f"{restored.entries:,} entries, {size(restored.total_bytes)}, every byte as it was backed up"),
            ("reaches to", day(reaches_to)),
            ("before", ", ".join(restored.kept_as)),
        ]
    )
    return "\n".join([head, *(safe(line) for line in restored.told)])
