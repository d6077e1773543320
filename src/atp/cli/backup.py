"""`atp backup`: make, list, verify, hold and prune copies of what the estate file declares. Works without a server."""

import os
import tempfile
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path

import click

from atp.app.machine import machine_clock
from atp.cli import follow, verified
from atp.cli.acting import Acting
from atp.cli.output import Output, fields, table
from atp.cli.server import json_option
from atp.cli.vault import (
    Desk,
    answer_plan,
    at_desk,
    counting,
    day,
    dry_run_option,
    read_identities,
    size,
    tell,
    tell_listing,
)
from atp.cli.verified import Asked, Copy, verified_copies
from atp.errors import AtpError, ConflictError, ForbiddenError, MissingError
from atp.limits import BACKUP_WARNINGS_MAX
from atp.ops.backups.act import holding, making, pruning
from atp.ops.backups.act.erasing import check_lets_go, check_may_hold
from atp.ops.backups.act.isolation import isolation_warnings, outside_warnings
from atp.ops.backups.act.kinds.choose import capture_of
from atp.ops.backups.act.listing import Listed, list_backups
from atp.ops.backups.act.workplace import left_by_dead, room_of, workplace
from atp.ops.backups.declare import Declared
from atp.ops.backups.evidence import Made, backup_done
from atp.ops.backups.format.manifest import Manifest
from atp.ops.backups.format.seal import draw_identity
from atp.ops.estate.evidence.proofs import BACKUP_DONE
from atp.ports.repository import PROMISES, Repository

_HEADS = ("dataset", "backup", "reaches to", "stored", "kept until", "state")
_FAILED = 1

from_option = click.option("--from", "repository", help="Another repository that holds copies.  [default: the first]")


@click.group()
def command() -> None:
    """Make backups that are encrypted and locked, read them back, keep and remove them; see also `atp restore`."""


@command.command()
@click.argument("dataset")
@dry_run_option
@at_desk
def run(desk: Desk, dataset: str, is_dry: bool) -> None:
    """Back DATASET up: pack, compress, encrypt, store, lock, and publish the manifest last.

    What a run that died left behind is removed first. The plan of a restore needs nothing but the repository, the
    private key, and the programs that the manifest names.

    \b
    Example:
      atp backup run letters
      atp backup run letters --dry-run
    """
    declared = desk.declared(dataset)
    for name in (declared.repository, *declared.copies_in):
        for warning in isolation_warnings(desk.estate.datasets[dataset], desk.estate.repositories[name], name=name):
            desk.output.note(f"warning: {warning}")
    room = room_of(dataset, Path(declared.source_words))
    if is_dry:
        with closing(desk.open(declared.repository)) as first:
            observed = making.observe(first, dataset=dataset, dead=left_by_dead(room), now=machine_clock().now())
            clock, folder = machine_clock(), Path(tempfile.gettempdir())
            check_lets_go(declared, {declared.repository: first})
            capture = capture_of(declared, folder=folder, clock=clock, moved=lambda _: None, read=desk.address)
            answer_plan(desk.output, making.plan(declared, observed, capture))
        return
    with desk.acting() as doing, workplace(room, dataset=dataset) as place, ExitStack() as stack:
        names = (declared.repository, *declared.copies_in)
        repositories = {name: stack.enter_context(closing(desk.open(name))) for name in dict.fromkeys(names)}
        first = repositories[declared.repository]
        observed = making.observe(first, dataset=dataset, dead=place.dead, now=doing.clock.now())
        made = Made(making.new_backup_id(doing.clock))
        with counting("bytes") as moved:
            capture = capture_of(
                declared,
                folder=place.folder,
                clock=doing.clock,
                moved=moved,
                read=desk.address,
                backup=made.backup,
            )
            one = making.Run(declared, observed, capture, repositories, place, doing.clock, moved, made)
            _record_run(doing, one, declared)
        for name, opened in repositories.items():
            tell_listing(doing, declared, opened, repository=name)
    made.warnings += outside_warnings(made.outside, desk.estate.datasets.values())
    for warning in made.warnings[:BACKUP_WARNINGS_MAX]:
        desk.output.note(f"warning: {warning}")
    desk.output.answer(_made_document(made, declared, first), _made_text(made, declared, first))


def _record_run(doing: Acting, one: making.Run, declared: Declared) -> None:
    """Carry a run out; whatever comes of it, the trail says so for each repository."""
    steps = making.plan(declared, one.observed, one.capture)
    data = {"backup": one.made.backup, "repository": declared.repository, "plan": [step.what for step in steps]}
    stored: set[str] = set()
    try:
        with doing.recorded("backup", "run", resource=declared.dataset, data=data) as record:
            one.carry_out(steps, record=record)
    except BaseException as error:
        if one.made.manifest is not None:
            stored = {declared.repository, *one.copied_to}
        for name in (declared.repository, *declared.copies_in):
            reason = "" if name in stored else str(error) or type(error).__name__
            tell(doing, BACKUP_DONE, backup_done(one.made, repository=name, error=reason), dataset=declared.dataset)
        raise
    for name in (declared.repository, *declared.copies_in):
        tell(doing, BACKUP_DONE, backup_done(one.made, repository=name), dataset=declared.dataset)


@command.command("list")
@click.argument("dataset", required=False)
@from_option
@at_desk
def list_(desk: Desk, dataset: str | None, repository: str | None) -> None:
    """List the backups of DATASET, or of all, with how far each reaches and how long it is kept.

    \b
    Examples:
      atp backup list
      atp backup list letters
    """
    found = []
    for name in desk.backed_up(dataset):
        with closing(desk.open(repository or desk.declared(name).repository)) as opened:
            found += [(name, one) for one in list_backups(opened, dataset=name)]
    document = {"backups": [_listed_document(name, one) for name, one in found]}
    rows = [_listed_row(name, one) for name, one in found]
    desk.output.answer(document, table(_HEADS, rows) if rows else "there is no backup")


@command.command()
@click.argument("subject", metavar="[DATASET|ID]", required=False)
@click.option("--from", "repository", help="Only the copy in this repository.  [default: all that should have one]")
@click.option("--identity", type=click.Path(path_type=Path), help="Private key: decrypt, and check every file.")
@click.option("--manifest-sha256", help="Digest of the manifest.  [default: what the operators' trail remembers]")
@at_desk
def verify(
    desk: Desk, subject: str | None, repository: str | None, identity: Path | None, manifest_sha256: str | None
) -> int:
    """Read a backup back whole: the one with this ID, else the newest of DATASET, else the newest of each.

    A newest one that is not whole fails: none older is taken for it. Every repository that should have a copy is read.
    Sizes, digests and locks are checked without the key; with --identity every file too. The manifest has to be the one
    that was recorded when the backup was made. The lock of each repository is tried with a small object that must not
    be removable, and that of the last good backup is extended while half of its retention is left. Exit code 1 when
    anything is wrong.

    \b
    Examples:
      atp backup verify letters
      atp backup verify letters --identity KEY.txt
    """
    asked, found = Asked(read_identities(identity, desk.output), manifest_sha256), list[Copy]()
    for dataset, backup in _subjects(desk, subject, repository):
        found += verified_copies(desk, dataset, backup, only=repository, asked=asked)
    if not found:
        raise MissingError("could not verify: no dataset declares a backup", hint="atp estate schema --example")
    is_good = not any(one.verified.faults for one in found)
    answer = {"ok": is_good, "backups": [verified.document(one) for one in found]}
    desk.output.answer(answer, "\n".join(verified.text(one) for one in found))
    return 0 if is_good else _FAILED


def _subjects(desk: Desk, subject: str | None, repository: str | None) -> list[tuple[str, str | None]]:
    """(dataset, backup) that are meant; None: the newest."""
    if subject is None or subject in desk.estate.datasets:
        return [(name, None) for name in desk.backed_up(subject)]
    for name in desk.backed_up(None):
        with closing(desk.open(repository or desk.declared(name).repository)) as opened:
            if any(one.backup == subject for one in list_backups(opened, dataset=name)):
                return [(name, subject)]
    raise MissingError(f"could not find {subject[:80]!r}: it is no dataset and no backup", hint="atp backup list")


@command.command()
@click.argument("dataset", required=False)
@from_option
@click.option("--dry-run", "is_dry", is_flag=True, help="Say what would be done.")
@at_desk
def prune(desk: Desk, dataset: str | None, repository: str | None, is_dry: bool) -> None:
    """Remove backups of DATASET, or of all, whose time is over: never one that is held, never the last good one.

    Before anything is removed the last good one is read back, and is none when it is not what was stored. Its lock is
    extended while half of its retention is left. Of a dataset that is erasable all that is over goes, the last one too,
    from every repository of the estate file.

    \b
    Examples:
      atp backup prune --dry-run
      atp backup prune letters
    """
    done: list[tuple[str, pruning.Decision]] = []
    failed = list[AtpError]()
    for name in desk.backed_up(dataset):
        declared = desk.declared(name)
        for store in (repository,) if repository else _stores(desk, declared):
            try:
                done += [(f"{name} in {store}", one) for one in _pruned(desk, declared, store, is_dry=is_dry)]
            except AtpError as error:  # one place that is away keeps nothing in the others
                failed.append(error)
    if failed:
        raise failed[0]
    rows = [(where, one.backup, one.do, one.why) for where, one in done]
    document = {"dry_run": is_dry, "backups": [{"where": where, "decision": one} for where, one in done]}
    desk.output.answer(document, table(("where", "backup", "decision", "why"), rows) if rows else "there is no backup")


def _pruned(desk: Desk, declared: Declared, store: str, *, is_dry: bool) -> list[pruning.Decision]:
    """What becomes of the backups of a dataset in one repository, and is done, unless it is a dry run."""
    name, after = declared.dataset, declared.gone_after
    with desk.acting() as doing, closing(desk.open(store)) as opened:
        listed, now = list_backups(opened, dataset=name), doing.clock.now()
        found = pruning.decide(listed, retention=declared.retention, now=now, gone_after=after)
        if not declared.is_erasable and any(one.do == "delete" for one in found):
            listed = pruning.read_back(opened, listed)
            found = pruning.decide(listed, retention=declared.retention, now=now)
        found += pruning.decide_following(opened, listed, found, dataset=name, now=now, gone_after=after)
        if is_dry:
            return found
        if pruning.plan(found):
            data = {"repository": store, "plan": [step.what for step in pruning.plan(found)]}
            with doing.recorded("backup", "prune", resource=name, data=data) as record:
                pruning.prune(opened, listed, found, dataset=name, record=record)
        tell_listing(doing, declared, opened, repository=store)
    return found


def _stores(desk: Desk, declared: Declared) -> list[str]:
    """Where its copies are; what has to be gone is looked for where the estate file sent it once, too."""
    more = desk.estate.repositories if declared.is_erasable else ()
    return list(dict.fromkeys((declared.repository, *declared.copies_in, *more)))


@command.command()
@click.argument("backup", metavar="ID")
@click.option("--reason", required=True, help="Why it has to stay.")
@from_option
@at_desk
def hold(desk: Desk, backup: str, reason: str, repository: str | None) -> None:
    """Hold a backup: pruning leaves it until it is released. None of a dataset that is erasable can be held.

    \b
    Example:
      atp backup hold 20260131T235959Z-9f86d081884c --reason "dispute about inv-7"
    """
    _holding(desk, backup, repository, reason)


@command.command()
@click.argument("backup", metavar="ID")
@from_option
@at_desk
def release(desk: Desk, backup: str, repository: str | None) -> None:
    """Release a backup that is held.

    \b
    Example:
      atp backup release 20260131T235959Z-9f86d081884c
    """
    _holding(desk, backup, repository, None)


def _holding(desk: Desk, backup: str, repository: str | None, reason: str | None) -> None:
    """Hold it for a reason, or release it."""
    [(dataset, found)] = _subjects(desk, backup, repository)
    if found is None:
        raise MissingError(f"could not find backup {backup[:60]!r}: that is a dataset", hint="atp backup list")
    verb, name = "hold" if reason else "release", repository or desk.declared(dataset).repository
    with desk.acting() as doing, closing(desk.open(name)) as opened:
        if reason:
            listed = list_backups(opened, dataset=dataset)
            check_may_hold(desk.declared(dataset), listed, backup=found)
        data = {"backup": found, "repository": name, "why": reason or ""}
        with doing.recorded("backup", verb, resource=dataset, data=data) as record:
            record.intend(verb)
            if reason:
                held = holding.Hold(doing.by.id, doing.clock.now(), reason)
                holding.hold(opened, held, dataset=dataset, backup=found)
            else:
                holding.release(opened, dataset=dataset, backup=found)
            record.outcome(verb)
    state = "held" if reason else "released"
    desk.output.answer({"dataset": dataset, "backup": found, "state": state}, f"backup {found} of {dataset} is {state}")


@command.command()
@click.option("-o", "--output", "place", type=click.Path(path_type=Path), required=True, help="Where the key goes.")
@json_option
def key(place: Path, is_json: bool) -> None:
    """Make a key pair for backups: the private key goes into a new file, the recipient is printed.

    Keep the file away from the machines whose data it opens, and more than once: without it no backup can be read.
    `age-keygen` makes the same.

    \b
    Example:
      atp backup key -o KEY.txt
    """
    private, recipient = draw_identity()
    text = f"# recipient: {recipient}\n{private}\n"
    try:
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
    except FileExistsError:
        raise ConflictError(f"could not write {place}: it exists", hint="name a new file") from None
    except OSError as error:
        raise ForbiddenError(f"could not write {place}: {error.strerror}", hint="choose another place") from None
    Output(is_json).answer({"recipient": recipient, "file": str(place)}, recipient)


command.add_command(follow.command, "follow")


def _made_document(made: Made, declared: Declared, first: Repository) -> dict[str, object]:
    assert made.manifest is not None
    return {
        "dataset": declared.dataset,
        "backup": made.backup,
        "repository": declared.repository,
        "copies_in": declared.copies_in,
        "lock": "none" if declared.is_erasable else first.lock,
        "entries": made.entries,
        "total_bytes": made.total_bytes,
        "stored_bytes": made.manifest.stored_bytes,
        "consistent_at": made.manifest.consistent_at,
        "keep_until": made.manifest.keep_until,
        "gone_by": made.manifest.gone_by or None,
        "manifest_sha256": made.manifest_sha256,
        "warnings": made.warnings,
    }


def _made_text(made: Made, declared: Declared, first: Repository) -> str:
    assert made.manifest is not None
    where = ", ".join((declared.repository, *declared.copies_in))
    return fields(
        [
            ("backup", made.backup),
            ("dataset", declared.dataset),
            ("holds", f"{made.entries:,} entries, {size(made.total_bytes)}"),
            ("stored", f"{size(made.manifest.stored_bytes)} in {where}"),
            ("reaches to", day(made.manifest.consistent_at)),
            ("kept until", _kept_until(made.manifest.keep_until, made.manifest) or "nobody said how long"),
            ("lock", "none, as it must be" if declared.is_erasable else PROMISES[first.lock]),
            ("manifest", f"sha256 {made.manifest_sha256}"),
        ]
    )


def _kept_until(locked_until: datetime | None, manifest: Manifest | None) -> str:
    """Until when it is locked, and when it is gone where that is said."""
    gone = f"gone by {day(manifest.gone_by)}" if manifest and isinstance(manifest.gone_by, datetime) else ""
    return ", ".join(filter(None, (day(locked_until), gone)))


def _reaches_to(one: Listed) -> datetime | None:
    return one.manifest.consistent_at if one.manifest else None


def _listed_document(dataset: str, one: Listed) -> dict[str, object]:
    return {
        "dataset": dataset,
        "backup": one.backup,
        "kind": one.manifest.kind if one.manifest else None,
        "consistent_at": _reaches_to(one),
        "stored_bytes": one.manifest.stored_bytes if one.manifest else None,
        "keep_until": one.keep_until,
        "gone_by": (one.manifest.gone_by or None) if one.manifest else None,
        "manifest_sha256": one.manifest_sha256,
        "recipients": one.manifest.recipients if one.manifest else [],
        "how_to_restore": one.manifest.how_to_restore if one.manifest else None,
        "good": one.is_good,
        "held": one.is_held,
        "faults": one.faults,
        "hidden": one.hidden,
    }


def _listed_row(dataset: str, one: Listed) -> tuple[str, ...]:
    state = [*one.faults, *one.hidden, *(["held"] if one.is_held else [])] or ["good"]
    stored = size(one.manifest.stored_bytes) if one.manifest else ""
    return (
        dataset,
        one.backup,
        day(_reaches_to(one)),
        stored,
        _kept_until(one.keep_until, one.manifest),
        "; ".join(state),
    )
