"""Reading a backup back: without the key every stored byte, with it every file, held against both manifests."""

from collections.abc import Iterator, Sequence
from hashlib import sha256

from atp.errors import AtpError, MissingError, RefusedError, TamperedError
from atp.ops.backups.act.kinds.choose import check_following
from atp.ops.backups.act.listing import Listed, is_another, is_stranger
from atp.ops.backups.act.parts import Moved, Source, check_parts, read_parts
from atp.ops.backups.evidence import UNASKED, Recorded, Verified
from atp.ops.backups.format.archive import ArchiveReader, Member
from atp.ops.backups.format.contents import ContentsReader, Entry, path_text
from atp.ops.backups.format.manifest import Manifest
from atp.ops.backups.format.seal import Identity, unsealed
from atp.ops.backups.format.stream import Plain
from atp.ports.repository import Repository


def verify(
    repository: Repository,
    listed: Listed,
    *,
    identities: Sequence[Identity],
    recorded: Recorded = UNASKED,
    moved: Moved,
) -> Verified:
    """Read a whole backup. UnavailableError when the repository does not answer; all else is a fault in the answer.

    `recorded` is what the operators' trail remembers of it. Bounded memory, no disk.
    """
    found = Verified(listed.backup, faults=list(listed.faults), warnings=list(listed.hidden))
    manifest = listed.manifest
    if is_another(listed, recorded):
        found.faults.append("its manifest is not the one that was recorded")
    elif is_stranger(recorded):
        found.faults.append("the operators' trail does not know it: anybody may have made it")
    if manifest is None or found.faults:
        return found
    found.stored_bytes = manifest.stored_bytes
    found.warnings += filter(None, [recorded.warning])
    _check_days(repository, manifest, found)
    try:
        if identities:
            found.entries = _check_contents(repository, manifest, identities, moved)
        else:
            check_parts(repository, manifest, list(manifest.parts()), moved=moved)
        found.following = check_following(repository, manifest, identities, recorded)
        found.is_read_back = True
    except (TamperedError, MissingError, RefusedError) as error:
        found.faults.append(str(diagnosed(repository, manifest, error)))
    return found


def diagnosed(repository: Source, manifest: Manifest, error: AtpError) -> AtpError:
    """The cause of an error of decryption: the part that is not what was stored, if there is one.

    Of a key that does not fit only the parts with the two headers are read.
    """
    is_key = isinstance(error, RefusedError)
    parts = [manifest.contents[0], manifest.data[0]] if is_key else list(manifest.parts())
    try:
        check_parts(repository, manifest, parts, moved=lambda _: None)
    except AtpError as cause:
        return cause
    return error


def _check_days(repository: Repository, manifest: Manifest, found: Verified) -> None:
    """Each part is kept at least as long as the manifest says; not at all, when it has to be gone by a day."""
    for part in manifest.parts() if manifest.gone_by else ():
        if (kept := repository.keep_until(manifest.prefix + part.name)) is not None:
            found.faults.append(
                f"its part {part.name} is locked until {kept}, and has to be gone by {manifest.gone_by}"
            )
    for part in manifest.parts() if manifest.keep_until else ():
        kept = repository.keep_until(manifest.prefix + part.name)
        if manifest.keep_until and (kept is None or kept < manifest.keep_until):
            found.faults.append(f"its part {part.name} is kept until {kept}, not until {manifest.keep_until}")


def _check_contents(repository: Repository, manifest: Manifest, identities: Sequence[Identity], moved: Moved) -> int:
    listed = read_parts(repository, manifest, manifest.contents, moved=moved)
    stored = read_parts(repository, manifest, manifest.data, moved=moved)
    with unsealed(listed, identities=identities) as lines, unsealed(stored, identities=identities) as plain:
        contents = ContentsReader(lines)
        check_head(contents, manifest)
        if manifest.kind == "sqlite":
            return _check_file(plain, list(contents.entries()))
        return _check_archive(plain, contents.entries())


def check_head(contents: ContentsReader, manifest: Manifest) -> None:
    """TamperedError when the list of contents is that of another backup."""
    if (contents.head.backup, contents.head.dataset) != (manifest.backup, manifest.dataset):
        raise TamperedError(f"could not read backup {manifest.backup}: its list of contents is that of another one")


def _check_file(plain: Plain, entries: Sequence[Entry]) -> int:
    digest = sha256()
    while chunk := plain.read(1 << 20):
        digest.update(chunk)
    if [entry.sha256 for entry in entries] != [digest.hexdigest()]:
        raise TamperedError("could not accept the database in the backup: its bytes are not those that were copied")
    return 1


def _check_archive(plain: Plain, entries: Iterator[Entry]) -> int:
    """The archive has the members of the list, in its order, and no other."""
    reader, count = ArchiveReader(plain), 0
    for member in reader.members():
        entry = next(entries, None)
        count += 1
        digest = sha256()
        for chunk in reader.data():
            digest.update(chunk)
        if entry is None or not _is_same(member, entry, digest.hexdigest()):
            raise TamperedError(f"could not accept {path_text(member.path)!r} in the backup: it is not as listed")
    if (entry := next(entries, None)) is not None:
        raise TamperedError(f"could not find {entry.path!r} in the backup: it is listed")
    return count


def _is_same(member: Member, entry: Entry, digest: str) -> bool:
    return (
        path_text(member.path) == entry.path
        and (member.kind, member.mode, member.mtime_ns) == (entry.kind, entry.mode, entry.mtime_ns)
        and path_text(member.target) == entry.target
        and (entry.kind != "file" or (member.size_bytes, digest) == (entry.size_bytes, entry.sha256))
    )
