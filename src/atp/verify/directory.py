"""A data directory: every tenant's log, its newest entries in `order.db` and the full tiles and bundles in files."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from atp.errors import MissingError, RefusedError, TamperedError, UnavailableError
from atp.merkle.hashes import EMPTY_ROOT
from atp.merkle.keys import VerifierKey, parse_signing_key
from atp.verify.known import Known, known_checkpoints
from atp.verify.log import StoredLog, check_log, untrusted
from atp.verify.options import Options
from atp.verify.order import Order, OrderedLog, open_order
from atp.verify.report import Finding, LevelVerdict, LogReport, Report
from atp.verify.source import NOTE_FILE_BYTES_MAX, FileSource, read_file
from atp.verify.strays import Stray, stray_files
from atp.verify.succession import former_origins
from atp.verify.tail import PLACE, read_tail
from atp.verify.trust import VKEY_FILE_BYTES_MAX, choose_trust, claimed_checkpoint, parse_vkeys

KIND = "data directory"
FORMATS = (1, 2)
COPY = "RESTORED"
"""The file that a restored copy has until its logs have gone on under new origins."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A log's folder as it was before the order was read: its public checkpoint and what its tree may not need.

    A server that writes meanwhile writes to the order first: what these files hold, the order that is read after them
    holds as well, or covers with its checkpoint. Read in the other order, an intact log would seem to run ahead.
    """

    path: Path
    public: bytes | None = None
    strays: tuple[Stray, ...] = ()


def is_data_directory(path: Path) -> bool:
    """Whether it looks like one."""
    return (path / "FORMAT").exists() or (path / PLACE).exists()


def check_data_directory(path: Path, options: Options) -> Report:
    """Verifies every log of a data directory, or one tenant's; a server may be writing meanwhile.

    RefusedError for a newer format, MissingError when the tenant has no log, UnavailableError when it cannot be read.
    """
    findings = list(_check_format(path))
    reports = list[LogReport]()
    folders = _read_folders(path / "logs", only=options.tenant)
    try:
        with open_order(path / PLACE) as order:
            findings += (Finding("payload", PLACE, fault) for fault in order.faults())
            if order.stray_rows():
                findings.append(Finding("structure", PLACE, "it holds rows of a log that it does not know"))
            logs = order.logs()
            wanted = [log for log in logs if options.tenant in (None, log.tenant)]
            if not wanted and options.tenant is not None:
                raise MissingError(f"could not verify the log of {options.tenant}: {path} has no such tenant")
            findings += _check_folders(folders, {log.tenant for log in logs})
            findings += _check_against(options, {log.origin for log in wanted})
            reports += (
                _check_tenant(path, order, log, _folder(path, folders, log), options, is_alone=len(logs) == 1)
                for log in wanted
            )
    except TamperedError as error:
        findings.append(Finding("structure", PLACE, str(error)))
    return Report(str(path), KIND, tuple(reports), tuple(findings))


def _check_format(path: Path) -> Iterator[Finding]:
    try:
        text = read_file(path / "FORMAT", bytes_max=100).removesuffix(b"\n")
    except (MissingError, TamperedError) as error:
        yield Finding("structure", "FORMAT", str(error))
        return
    if text.isdigit() and int(text) > FORMATS[-1]:
        newer = f"could not verify {path}: its format is {int(text)}, this program reads up to {FORMATS[-1]}"
        raise RefusedError(newer, hint="use a newer version of atp")
    if text not in [b"%d" % known for known in FORMATS]:
        yield Finding("structure", "FORMAT", f"it says {text[:20]!r} instead of {FORMATS[-1]}")


def _read_folders(logs: Path, *, only: str | None) -> dict[str, Folder]:
    """Every folder there is, by its name; what is in it is read of `only` one where that is named."""
    folders = sorted(logs.iterdir()) if logs.is_dir() else []
    return {
        folder.name: _read_folder(folder) if only in (None, folder.name) else Folder(folder)
        for folder in folders
        if ".tmp" not in folder.name
    }


def _read_folder(folder: Path) -> Folder:
    try:
        public = _optional(folder / "checkpoint", NOTE_FILE_BYTES_MAX)
        size = 0 if public is None else claimed_checkpoint(public).size
    except (TamperedError, RefusedError):
        public, size = b"", 0  # no note, as will be found when it is compared
    return Folder(folder, public, tuple(stray_files(folder, size=size, is_packed=True)))


def _folder(path: Path, folders: dict[str, Folder], log: OrderedLog) -> Folder:
    """The folder of a log; one that was created since is empty."""
    return folders.get(log.tenant) or Folder(path / "logs" / log.tenant)


def _check_folders(folders: dict[str, Folder], tenants: set[str]) -> Iterator[Finding]:
    for name in folders:
        if name not in tenants:
            yield Finding("structure", f"logs/{name}", f"{PLACE} knows no such log")


def _check_against(options: Options, origins: set[str]) -> Iterator[Finding]:
    known = origins.union(*map(former_origins, origins))
    if options.against is not None and (origin := claimed_checkpoint(options.against).origin) not in known:
        yield Finding("structure", "--against", f"the log of {origin!r} is not in this place")


def _check_tenant(
    path: Path, order: Order, log: OrderedLog, folder: Folder, options: Options, *, is_alone: bool
) -> LogReport:
    source = FileSource(folder.path, is_packed=True)
    tail = partial(read_tail, order.batches(log.number), size=_claimed_size(log), source=source)
    if log.note is None:
        return _unpublished(log, folder, [*tail().findings])
    stored = StoredLog(
        log.tenant,
        log.origin,
        log.note,
        source,
        checkpoint_place=f"{PLACE} checkpoint",
        read_tail=tail,
        strays=folder.strays,
        is_ours=True,
        is_copy=(path / COPY).exists(),
        findings=(*_check_size(log), *_check_keys(path, log.tenant)),
    )
    try:
        trust = choose_trust(
            options.trusted, found=_found_keys(folder.path), origin=log.origin, place="directory", is_alone=is_alone
        )
    except (TamperedError, RefusedError) as error:
        return untrusted(stored, Finding("structure", "vkey", str(error)), options)
    known = known_checkpoints(log.origin, options)
    if folder.public is not None:
        known.append(Known(folder.public, f"logs/{log.tenant}/checkpoint"))
    return check_log(stored, trust=trust, known=known, options=options)


def _claimed_size(log: OrderedLog) -> int:
    """The size that the checkpoint says; where it cannot be read, the one beside it."""
    try:
        return claimed_checkpoint(log.note or b"").size
    except RefusedError:
        return log.size


def _check_size(log: OrderedLog) -> Iterator[Finding]:
    if _claimed_size(log) != log.size:
        yield Finding("structure", PLACE, f"it says size {log.size} beside a checkpoint of {_claimed_size(log)}")


def _found_keys(folder: Path) -> tuple[VerifierKey, ...]:
    text = _optional(folder / "vkey", VKEY_FILE_BYTES_MAX)
    return () if text is None else parse_vkeys(text)


def _check_keys(path: Path, tenant: str) -> Iterator[Finding]:
    """Where the private keys may be read, they have to belong to the public ones."""
    place = f"keys/log/{tenant}.key"
    try:
        text = _optional(path / place, VKEY_FILE_BYTES_MAX)
        if text is None:
            return
        public = {parse_signing_key(line).public() for line in text.decode().split("\n") if line}
        found = set(_found_keys(path / "logs" / tenant))
    except UnavailableError:
        return
    except (RefusedError, TamperedError, UnicodeDecodeError) as error:
        yield Finding("structure", place, str(error))
        return
    if found and not public & found:
        yield Finding("structure", place, "its keys are not those of the vkey file")


def _optional(path: Path, bytes_max: int) -> bytes | None:
    try:
        return read_file(path, bytes_max=bytes_max)
    except MissingError:
        return None


def _unpublished(log: OrderedLog, folder: Folder, findings: list[Finding]) -> LogReport:
    """A log before its first checkpoint: nothing is signed, so there is nothing that could hold."""
    if folder.public is not None:
        findings.append(Finding("structure", f"logs/{log.tenant}/checkpoint", f"{PLACE} knows no checkpoint of it"))
    findings += (
        Finding("structure", stray.name, "nothing is published yet") for stray in folder.strays if stray.place is None
    )
    verdict = LevelVerdict("failed", "see the findings") if findings else LevelVerdict("ok", "nothing is published yet")
    return LogReport(
        log.tenant, log.origin, 0, EMPTY_ROOT.hex(), levels={"structure": verdict}, findings=tuple(findings)
    )
