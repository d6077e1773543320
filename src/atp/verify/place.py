"""Recognises what a place is, verifies it, and remembers its checkpoints."""

from dataclasses import replace
from pathlib import Path

from atp.errors import MissingError, RefusedError
from atp.verify.bundle import check_bundle, is_bundle
from atp.verify.directory import check_data_directory, is_data_directory
from atp.verify.options import Options
from atp.verify.proof import PROOF_BYTES_MAX, check_proof, is_proof
from atp.verify.remember import Memory
from atp.verify.remote import check_remote, is_url
from atp.verify.report import LogReport, Report
from atp.verify.source import read_file
from atp.verify.tiles import check_tiles_directory, is_tiles_directory
from atp.verify.trust import claimed_checkpoint

_HEAD_BYTES = 100


def check_place(place: str, options: Options) -> Report:
    """Verifies a data directory, a tlog-tiles directory, a URL, a bundle or a single proof.

    Damage is reported; raised are RefusedError (this is none of them), MissingError, ForbiddenError and
    UnavailableError. With a memory, a log whose structure holds is remembered, and a fork's two checkpoints are kept.
    """
    if options.against is not None:
        claimed_checkpoint(options.against)
    report = _check(place, options)
    if options.memory is None:
        return report
    return replace(report, logs=tuple(_remember(log, options.memory) for log in report.logs))


def _check(place: str, options: Options) -> Report:
    if is_url(place):
        return check_remote(place, options)
    path = Path(place)
    if not path.exists():
        raise MissingError(f"could not verify {place}: there is no such file or directory")
    if is_bundle(path):
        return check_bundle(path, options)
    if path.is_dir():
        if is_data_directory(path):
            return check_data_directory(path, options)
        if is_tiles_directory(path):
            return check_tiles_directory(path, options)
    elif is_proof(_head(path)):
        return check_proof(path, read_file(path, bytes_max=PROOF_BYTES_MAX), options)
    raise RefusedError(
        f"could not verify {place}: it is no data directory, tlog-tiles directory, bundle or tlog-proof",
        hint="a URL begins with http:// or https://",
    )


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _remember(log: LogReport, memory: Memory) -> LogReport:
    if log.forks and log.note:
        folder = memory.keep_evidence(log.note, *log.forks)
        return replace(log, notes=(*log.notes, f"both checkpoints are kept in {folder}"))
    structure = log.levels.get("structure")
    if log.note and structure is not None and structure.verdict == "ok":
        memory.remember(log.note)
    return log
