"""A plain tlog-tiles directory (C2SP): what an export of a whole log is, and what any other log's mirror is."""

from dataclasses import replace
from pathlib import Path

from atp.errors import MissingError, RefusedError, TamperedError
from atp.merkle.keys import VerifierKey
from atp.verify.known import known_checkpoints
from atp.verify.log import StoredLog, check_log, untrusted
from atp.verify.options import Options
from atp.verify.report import Finding, LogReport, Report
from atp.verify.source import NOTE_FILE_BYTES_MAX, Files, FileSource, Source
from atp.verify.strays import stray_files
from atp.verify.succession import former_origins
from atp.verify.trust import VKEY_FILE_BYTES_MAX, choose_trust, claimed_checkpoint, parse_vkeys

KIND = "tlog-tiles directory"


def is_tiles_directory(path: Path) -> bool:
    """Whether it looks like one."""
    return (path / "checkpoint").exists() or (path / "tile").exists()


def check_tiles_directory(path: Path, options: Options) -> Report:
    """Verifies the log of a directory; its entries may be anything. UnavailableError when it cannot be read."""
    log = check_tiles(FileSource(path), name=path.name, place="directory", directory=path, options=options)
    return Report(str(path), KIND, (log,))


def check_tiles(source: Source, *, name: str, place: str, directory: Path | None, options: Options) -> LogReport:
    """Verifies a log that serves its checkpoint, tiles and bundles, partial ones included, below one prefix."""
    note = b""
    try:
        note = source.file("checkpoint", bytes_max=NOTE_FILE_BYTES_MAX)
        claimed = claimed_checkpoint(note)
        origin = claimed.origin
        strays = stray_files(directory, size=claimed.size, is_packed=False) if directory else ()
        log = StoredLog(name, origin, note, source, strays=strays, has_packs=directory is not None)
        trust = choose_trust(options.trusted, found=found_keys(source), origin=origin, place=place, is_alone=True)
    except (MissingError, TamperedError, RefusedError) as error:
        log = StoredLog(name, "", note, source)
        return untrusted(log, Finding("structure", "checkpoint", str(error)), options)
    origins = [origin, *former_origins(origin)]
    if options.against is not None and (other := claimed_checkpoint(options.against).origin) not in origins:
        finding = Finding("structure", "--against", f"it is of {other!r}, and this log is {origin!r}")
        log = replace(log, findings=(finding,))
    return check_log(log, trust=trust, known=known_checkpoints(origin, options), options=options)


def found_keys(source: Files) -> tuple[VerifierKey, ...]:
    """The keys that lie beside the checkpoint; none when there is no such file. Raises when it cannot be read."""
    try:
        return parse_vkeys(source.file("vkey", bytes_max=VKEY_FILE_BYTES_MAX))
    except MissingError:
        return ()
