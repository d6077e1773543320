"""How `atp backup verify` reads each copy of a backup back, and how what it found is printed."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from atp.cli.acting import Acting
from atp.cli.output import safe
from atp.cli.recorded import newest_told, recorded
from atp.cli.vault import Desk, counting, size, tell, tell_listing
from atp.ops.backups.act import pruning
from atp.ops.backups.act.isolation import isolation_warnings
from atp.ops.backups.act.listing import Listed, choose, last_good, list_backups, newest
from atp.ops.backups.act.verifying import verify
from atp.ops.backups.declare import Declared
from atp.ops.backups.evidence import Verified, backup_verified
from atp.ops.backups.format.manifest import Manifest
from atp.ops.backups.format.seal import Identity
from atp.ops.estate.evidence.proofs import BACKUP_VERIFIED
from atp.ports.repository import PROMISES, Repository


@dataclass(frozen=True, slots=True)
class Asked:
    """What a copy is checked with: private keys, perhaps none; the digest of the manifest, when it is known."""

    identities: Sequence[Identity]
    manifest_sha256: str | None


@dataclass(frozen=True, slots=True)
class Copy:
    """What was found of one copy."""

    dataset: str
    repository: str
    verified: Verified


def verified_copies(desk: Desk, dataset: str, backup: str | None, *, only: str | None, asked: Asked) -> Iterator[Copy]:
    """Read a backup, None: the newest good one of the first repository, in each repository that should have it, or in
    one `only`. What is found is told to the operators' trail, copy by copy."""
    declared = desk.declared(dataset)
    names = (only,) if only else (declared.repository, *declared.copies_in)
    for name in names:
        with desk.acting() as doing, closing(desk.open(name)) as opened:
            listed = list_backups(opened, dataset=dataset)
            if name == names[0]:
                backup = (
                    choose(listed, dataset=dataset, backup=backup).backup
                    if backup
                    else _newest(desk, declared, name, listed)
                )
            assert backup is not None, "the first repository named it"
            copy = Copy(dataset, name, Verified(backup))
            yield _verify(desk, doing, opened, copy, listed, asked)


def _newest(desk: Desk, declared: Declared, repository: str, listed: Sequence[Listed]) -> str:
    """The newest backup that is there; or that was told to be there, when it is not."""
    told = None if declared.is_erasable else newest_told(desk, repository, dataset=declared.dataset)
    is_gone = told is not None and all(one.backup != told for one in listed)
    return told if told is not None and is_gone else newest(listed, dataset=declared.dataset).backup


def _verify(desk: Desk, doing: Acting, opened: Repository, copy: Copy, listed: Sequence[Listed], asked: Asked) -> Copy:
    backup, dataset, repository = copy.verified.backup, copy.dataset, copy.repository
    declared = desk.declared(dataset)
    data = {"backup": backup, "repository": repository}
    with doing.recorded("backup", "verify", resource=dataset, data=data) as record:
        record.intend("read")
        one = _read(desk, opened, copy, listed, asked)
        if not declared.is_erasable:  # else nothing may lock it
            meant = next((each.manifest for each in listed if each.backup == backup), None)
            one.is_immutable = not _challenged(opened, one, meant)
        shared = isolation_warnings(
            desk.estate.datasets[dataset], desk.estate.repositories[repository], name=repository
        )
        one.is_isolated = one.is_immutable is not False and not shared
        one.warnings += shared
        record.outcome("read", {"faults": len(one.faults)})
        good = last_good(listed)
        is_other = good is not None and good.backup != backup
        if one.faults and good is not None and is_other:
            one.warnings.append(f"an older one has all its parts (hint: atp backup verify {good.backup})")
        if not one.faults or is_other:
            longer = pruning.extensions(listed, retention=declared.locked_for, now=doing.clock.now())
            pruning.prune(opened, listed, longer, dataset=dataset, record=record)
    tell(doing, BACKUP_VERIFIED, backup_verified(one, repository=repository), dataset=dataset)
    tell_listing(doing, declared, opened, repository=repository)
    return Copy(dataset, repository, one)


def _read(desk: Desk, opened: Repository, copy: Copy, listed: Sequence[Listed], asked: Asked) -> Verified:
    backup = copy.verified.backup
    found = next((one for one in listed if one.backup == backup), None)
    if found is None:
        return Verified(backup, faults=["the repository should have a copy of it, and has none"])
    known = recorded(desk, opened, found, dataset=copy.dataset, given=asked.manifest_sha256)
    with counting("bytes", total=found.manifest.stored_bytes if found.manifest else 0) as moved:
        return verify(opened, found, identities=asked.identities, recorded=known, moved=moved)


def _challenged(opened: Repository, one: Verified, manifest: Manifest | None) -> bool:
    """Whether the lock could be broken, or was; where nothing is promised that is no fault, and said."""
    names = [manifest.prefix + part.name for part in manifest.parts()] if manifest and not one.faults else []
    broken = [one.broken for one in opened.challenge(names) if one.broken]
    if opened.lock == "none":
        one.warnings.append(PROMISES["none"])
    else:
        one.faults += [f"the lock of the repository does not hold: {what}" for what in broken]
    return bool(broken)


def document(copy: Copy) -> dict[str, object]:
    """One copy for programs."""
    verdict = "fail" if copy.verified.faults else "pass"
    return {"dataset": copy.dataset, "repository": copy.repository, "verdict": verdict, "verified": copy.verified}


def text(copy: Copy) -> str:
    """One copy for people: a line, and one for each fault and warning."""
    one = copy.verified
    how = f"{one.entries:,} entries decrypted and compared" if one.entries is not None else "digests compared"
    if one.following is not None:
        how += f", {one.following:,} segments of the log that follows"
    state = "FAILED" if one.faults else "good"
    lines = [f"{copy.dataset} {one.backup} in {copy.repository}: {state}, {size(one.stored_bytes)} read, {how}"]
    lines += [f"  fault: {safe(fault)}" for fault in one.faults]
    return "\n".join([*lines, *(f"  warning: {safe(warning)}" for warning in one.warnings)])
