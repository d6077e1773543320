"""`atp restore`: a dataset back from its backup, into a new place. Works without a server."""

import sys
from contextlib import closing
from pathlib import Path

import click

from atp.cli.output import fields, safe
from atp.cli.recorded import recorded_manifest
from atp.cli.vault import Desk, at_desk, counting, day, instant, read_identities, size
from atp.errors import RefusedError
from atp.ops.backups.act import restoring
from atp.ops.backups.act.fetching import FetchedParts
from atp.ops.backups.act.listing import Listed, check_recorded, find_backup
from atp.ops.backups.act.step import Step

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("dataset")
@click.option("--to", "place", type=_PATH, required=True, help="A new place: a directory, or a database file.")
@click.option("--backup", metavar="ID", help="This backup.  [default: the newest good one]")
@click.option("--at", metavar="TIME", help="The newest backup that holds nothing later than this.")
@click.option("--from", "repository", help="Another repository that holds copies.")
@click.option("--identity", type=_PATH, required=True, envvar="ATP_IDENTITY_FILE", help="File with the private key.")
@click.option("--replace", type=_PATH, help="Name what stands at the place; it is moved away, never removed.")
@click.option("--manifest-sha256", help="Digest of the manifest.  [default: what the operators' trail remembers]")
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
    identity: Path,
    replace: Path | None,
    manifest_sha256: str | None,
    parts: Path | None,
    is_sure: bool,
    is_dry: bool,
) -> None:
    """Restore DATASET: decrypted aside, checked against what was backed up, and only then given its name.

    Shows its plan first. Whatever fails leaves everything as it was. The manifest has to be the one that was recorded
    when the backup was made.

    \b
    Examples:
      atp restore letters --to restored --identity KEY.txt --dry-run
      atp restore letters --to restored --identity KEY.txt --yes
    """
    identities = read_identities(identity, desk.output)
    name = repository or desk.declared(dataset).repository
    with closing(desk.open(name)) as opened:
        listed = find_backup(opened, dataset=dataset, backup=backup, at=instant(at))
        kind = listed.manifest.kind if listed.manifest else "files"
        target = restoring.observe_target(place, kind=kind, replace=replace)
        steps = restoring.plan(listed, target)
        manifest = listed.manifest
        assert manifest is not None, "the plan has looked"
        check_recorded(listed, recorded_manifest(desk, dataset=dataset, backup=listed.backup, given=manifest_sha256))
        if is_dry:
            planned = {"backup": listed.backup, "repository": name, "plan": steps}
            return desk.output.answer(planned, "\n".join(_plan_lines(listed, name, steps)))
        for line in _plan_lines(listed, name, steps):
            desk.output.note(line)
        _confirm(is_sure)
        restored = restoring.Restored(listed.backup, str(target.place))
        data = {
            "backup": listed.backup,
            "repository": name,
            "place": str(target.place),
            "plan": [s.what for s in steps],
        }
        with (
            desk.acting() as doing,
            doing.recorded("backup", "restore", resource=dataset, data=data) as record,
            counting("bytes", total=manifest.stored_bytes) as moved,
        ):
            kept = FetchedParts(opened, manifest, parts) if parts else None
            one = restoring.Restore(kept or opened, manifest, target, identities, moved, restored)
            one.carry_out(steps, record=record)
            if kept is not None:
                kept.remove()
    document: dict[str, object] = {"dataset": dataset, "consistent_at": manifest.consistent_at, "restored": restored}
    return desk.output.answer(document, _text(dataset, listed, restored))


def _confirm(is_sure: bool) -> None:
    if is_sure:
        return
    if not sys.stdin.isatty():
        raise RefusedError("could not restore: nobody confirmed the plan", hint="--yes, or --dry-run to see it")
    click.confirm("Go on?", abort=True, err=True)


def _plan_lines(listed: Listed, repository: str, steps: list[Step]) -> list[str]:
    reaches = day(listed.manifest.consistent_at) if listed.manifest else ""
    lines = [f"backup {listed.backup} in {repository}, which reaches to {reaches}:"]
    return lines + [f"  {number}. {safe(step.what)}" for number, step in enumerate(steps, start=1)]


def _text(dataset: str, listed: Listed, restored: restoring.Restored) -> str:
    return fields(
        [
            ("restored", f"{dataset} from {listed.backup}"),
            ("to", restored.place),
            ("holds", f"{restored.entries:,} entries, {size(restored.total_bytes)}, every byte as it was backed up"),
            ("reaches to", day(listed.manifest.consistent_at) if listed.manifest else ""),
            ("before", ", ".join(restored.kept_as)),
        ]
    )
