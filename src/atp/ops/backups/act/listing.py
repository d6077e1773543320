"""What a repository has of a dataset: every backup with what can be said of it without reading its data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from atp.errors import AtpError, MalformedError, MissingError, RefusedError, TamperedError
from atp.ops.backups.act.parts import read_manifest
from atp.ops.backups.evidence import Recorded
from atp.ops.backups.format.manifest import HOLD, MANIFEST, Manifest, begun_at, manifest_sha256
from atp.ports.repository import Kept, Repository


@dataclass(frozen=True, slots=True)
class Listed:
    """One backup. `faults`: why it cannot be restored; `hidden`: which of its objects somebody tried to make disappear.

    `keep_until` is what the repository says of the manifest, which is kept as long as its parts or shorter.
    """

    backup: str
    manifest: Manifest | None
    manifest_sha256: str
    keep_until: datetime | None
    faults: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    is_held: bool = False

    @property
    def is_good(self) -> bool:
        """Whether all of it is there."""
        return not self.faults


def list_backups(repository: Repository, *, dataset: str) -> list[Listed]:
    """Every backup, oldest first; what has no manifest is none. Costs a listing and two requests for each."""
    found: dict[str, dict[str, Kept]] = {}
    for kept in repository.objects(f"{dataset}/"):
        backup, _, name = kept.name.removeprefix(f"{dataset}/").partition("/")
        found.setdefault(backup, {})[name] = kept
    backups = [
        _listed(repository, dataset, backup, objects)
        for backup, objects in sorted(found.items())
        if MANIFEST in objects and _is_id(backup)
    ]
    return sorted(backups, key=moment_of)


def unfinished_backups(repository: Repository, *, dataset: str) -> set[str]:
    """The ids of what was begun there and has no manifest: it is no backup. Costs a listing."""
    prefix = f"{dataset}/"
    stored = [kept.name.removeprefix(prefix) for kept in repository.objects(prefix)]
    begun = [name.removeprefix(prefix) for name in repository.unfinished(prefix)]
    finished = {name.partition("/")[0] for name in stored if name.partition("/")[2] == MANIFEST}
    backups = {name.partition("/")[0] for name in (*stored, *begun)}
    return {backup for backup in backups - finished if _is_id(backup)}


def find_backup(
    repository: Repository, *, dataset: str, backup: str | None = None, at: datetime | None = None
) -> Listed:
    """What `choose` finds in a repository."""
    return choose(list_backups(repository, dataset=dataset), dataset=dataset, backup=backup, at=at)


def choose(listed: Sequence[Listed], *, dataset: str, backup: str | None = None, at: datetime | None = None) -> Listed:
    """The backup of this id; else the newest good one, that holds nothing later than `at`. MissingError: none. Pure."""
    if backup is not None:
        named = next((one for one in listed if one.backup == backup), None)
        if named is None:
            raise MissingError(f"could not find backup {backup[:60]!r} of {dataset}", hint="atp backup list")
        return named
    fitting = [
        one for one in listed if one.manifest and one.is_good and (at is None or one.manifest.consistent_at <= at)
    ]
    if not fitting:
        when = f" from before {at:%Y-%m-%d %H:%M:%SZ}" if at else ""
        raise MissingError(f"could not find a good backup of {dataset}{when}", hint="atp backup list")
    return max(fitting, key=moment_of)


def newest(listed: Sequence[Listed], *, dataset: str) -> Listed:
    """The newest backup, be it good or not. MissingError: none. Pure."""
    if not listed:
        raise MissingError(f"could not find a backup of {dataset}", hint=f"atp backup run {dataset}")
    return max(listed, key=moment_of)


def not_later(listed: Sequence[Listed], at: datetime) -> list[Listed]:
    """The backups, good or not, that hold nothing later than a moment. Pure."""
    return [one for one in listed if moment_of(one) <= at]


def is_another(listed: Listed, recorded: Recorded) -> bool:
    """Whether the manifest is not the one whose digest was recorded; nothing is known where none was. Pure."""
    return recorded.manifest_sha256 is not None and listed.manifest_sha256 != recorded.manifest_sha256


def is_stranger(recorded: Recorded) -> bool:
    """Whether the trail was asked, and knows no such backup: then anybody may have made it. Pure."""
    return recorded.manifest_sha256 is None and not recorded.uses_others


def check_recorded(listed: Listed, recorded: Recorded) -> None:
    """TamperedError when the manifest is not the one that was recorded, or the trail was asked and knows none. Pure."""
    if is_another(listed, recorded):
        raise TamperedError(
            f"could not use backup {listed.backup}: its manifest is not the one that was recorded",
            hint="use another backup, and find out who wrote there",
        )
    if is_stranger(recorded):
        raise TamperedError(
            f"could not use backup {listed.backup}: the operators' trail does not know it, anybody may have made it",
            hint="--backup ID of another; --manifest-sha256, when you know it; --unrecorded, when that trail is lost",
        )


def check_none_newer(listed: Sequence[Listed], chosen: Listed, *, dataset: str, at: datetime | None = None) -> None:
    """RefusedError when a newer backup (from before `at`) is not whole: nobody goes further back unknowingly. Pure."""
    damaged = [one for one in listed if not one.is_good and (at is None or moment_of(one) <= at)]
    newest = max(damaged, key=moment_of, default=chosen)
    if moment_of(newest) > moment_of(chosen):
        raise RefusedError(
            f"could not restore the newest backup of {dataset}, {newest.backup}: {newest.faults[0]}",
            hint=f"--backup {chosen.backup} is an older one that is whole",
        )


def last_good(listed: Sequence[Listed]) -> Listed | None:
    """The newest backup of which all is there."""
    return next((one for one in reversed(listed) if one.is_good), None)


def moment_of(one: Listed) -> datetime:
    """What a backup shows, or when it was begun; ids alone do not tell two of one second apart."""
    return one.manifest.consistent_at if one.manifest else begun_at(one.backup)


def _listed(repository: Repository, dataset: str, backup: str, objects: Mapping[str, Kept]) -> Listed:
    hidden = tuple(f"{name}: {kept.hidden_by} stands over it" for name, kept in objects.items() if kept.hidden_by)
    prefix = f"{dataset}/{backup}/"
    try:
        manifest, data = read_manifest(repository, dataset=dataset, backup=backup)
    except (MalformedError, MissingError, TamperedError) as error:
        return Listed(backup, None, "", None, (str(error),), hidden, HOLD in objects)
    sizes = {name: kept.size_bytes for name, kept in objects.items()}
    faults = [fault for part in manifest.parts() if (fault := _fault(part.name, part.size_bytes, sizes))]
    kept_until = repository.keep_until(prefix + MANIFEST)
    return Listed(backup, manifest, manifest_sha256(data), kept_until, tuple(faults), hidden, HOLD in objects)


def _fault(name: str, size_bytes: int, sizes: Mapping[str, int]) -> str:
    if name not in sizes:
        return f"its part {name} is missing"
    if sizes[name] != size_bytes:
        return f"its part {name} has {sizes[name]:,} bytes instead of {size_bytes:,}"
    return ""


def _is_id(backup: str) -> bool:
    try:
        begun_at(backup)
    except AtpError:
        return False
    return True
