"""A bundle (`atp.bundle/1`): entries taken out of a log, with all that proves them offline. A directory or a .zip.

| file | |
| --- | --- |
| `bundle.json` | what the bundle says of itself: see `manifest` |
| `checkpoint` | the signed checkpoint (C2SP tlog-checkpoint) that everything is proven to |
| `vkey` | the log's verifier key lines, for want of a key from elsewhere |
| `entries.ndjson` | line k is the exact bytes of one entry, in the order of their indexes |
| `range.proof`, `leaves` | of a range: see `stretch` |
| `proofs.ndjson` | of a selection: see `selection` |
| `packs/<class>/<YYYY-MM>.ndjson` | values that entries only commit to, if exported: see `payloads` |

A bundle needs no signature of its own: its checkpoint and proofs are it.
"""

import zipfile
from pathlib import Path

from atp.errors import MissingError, RefusedError, TamperedError
from atp.merkle.checkpoints import Checkpoint
from atp.verify.container import Container, open_container, repeated
from atp.verify.known import compare_alone, may_remember
from atp.verify.manifest import Manifest, parse_manifest
from atp.verify.options import Options
from atp.verify.payloads import PayloadCheck
from atp.verify.report import Finding, Findings, Level, LevelVerdict, LogReport, Report
from atp.verify.selection import check_selection
from atp.verify.source import NOTE_FILE_BYTES_MAX
from atp.verify.stretch import check_stretch
from atp.verify.tiles import found_keys
from atp.verify.trust import Trust, choose_trust

KIND = "bundle"
MANIFEST_BYTES_MAX = 1_000_000
_MANIFEST = "bundle.json"
_FILES = {
    "range": {_MANIFEST, "checkpoint", "vkey", "entries.ndjson", "range.proof", "leaves"},
    "selection": {_MANIFEST, "checkpoint", "vkey", "entries.ndjson", "proofs.ndjson"},
}


def is_bundle(path: Path) -> bool:
    """Whether it looks like one."""
    return (path / _MANIFEST).exists() or path.suffix == ".zip" or (path.is_file() and zipfile.is_zipfile(path))


def check_bundle(path: Path, options: Options) -> Report:
    """Verifies a bundle in one pass over it, in bounded memory; UnavailableError when it cannot be read."""
    try:
        with open_container(path) as container:
            manifest = parse_manifest(container.file(_MANIFEST, bytes_max=MANIFEST_BYTES_MAX))
            log = _check(container, manifest, options)
    except (MissingError, TamperedError) as error:
        place = _MANIFEST if path.is_dir() else path.name
        return Report(str(path), KIND, findings=(Finding("structure", place, str(error)),))
    return Report(str(path), f"{KIND} ({manifest.kind})", (log,))


def _check(container: Container, manifest: Manifest, options: Options) -> LogReport:
    findings = Findings()
    findings.add(*_check_names(container, manifest))
    trust = Trust((), (), "")
    try:
        found = found_keys(container)
        trust = choose_trust(options.trusted, found=found, origin=manifest.origin, place="bundle", is_alone=True)
        note = container.file("checkpoint", bytes_max=NOTE_FILE_BYTES_MAX)
        checkpoint = trust.open(note, origin=manifest.origin).checkpoint
        if checkpoint.size != manifest.size:
            raise TamperedError(f"it is of {checkpoint.size} entries, and bundle.json says {manifest.size}")
    except (MissingError, TamperedError, RefusedError) as error:
        findings.add(Finding("structure", "checkpoint", str(error)))
        return _report(manifest, trust, findings, {"structure": LevelVerdict("failed", "its checkpoint does not hold")})
    return _check_entries(
        container, manifest, options, trust=trust, note=note, checkpoint=checkpoint, findings=findings
    )


def _check_entries(
    container: Container,
    manifest: Manifest,
    options: Options,
    *,
    trust: Trust,
    note: bytes,
    checkpoint: Checkpoint,
    findings: Findings,
) -> LogReport:
    payloads = PayloadCheck(container, findings, is_whole=False)
    check = check_stretch if manifest.kind == "range" else check_selection
    last_at = check(container, manifest, root=checkpoint.root, findings=findings, payloads=payloads, options=options)
    payloads.finish()
    compared = compare_alone(checkpoint, trust=trust, options=options)
    for one in compared:
        findings.add(*one.findings)
    forks = tuple(one.fork for one in compared if one.fork)
    kept = note if may_remember(checkpoint.origin, forks, options) else b""
    return _report(
        manifest,
        trust,
        findings,
        _levels(manifest, findings, options, payloads),
        root=checkpoint.root,
        last_at=last_at,
        notes=tuple(one.remark for one in compared if one.remark),
        note=kept,
        forks=forks,
    )


def _check_names(container: Container, manifest: Manifest) -> list[Finding]:
    names = container.names()
    known = _FILES[manifest.kind]
    strange = [name for name in dict.fromkeys(names) if name not in known and not name.startswith("packs/")]
    return [
        *(Finding("structure", name, "no such file belongs to a bundle") for name in strange),
        *(Finding("structure", name, "it is there twice") for name in repeated(names)),
    ]


def _levels(
    manifest: Manifest, findings: Findings, options: Options, payloads: PayloadCheck
) -> dict[Level, LevelVerdict]:
    said = f"{manifest.count} entries"
    complete = (
        f"{said} of [{manifest.first}, {manifest.stop}): that they are all of them is proven"
        if manifest.kind == "range"
        else f"{said} found in [{manifest.scanned[0]}, {manifest.scanned[1]}): that they are all is the exporter's word"
    )
    structure = LevelVerdict("failed", "the proofs do not hold")
    if not findings.total.get("structure"):
        structure = LevelVerdict("ok", complete)
    payload = LevelVerdict("failed", "entries or payloads are not those that were signed")
    if not findings.total.get("payload"):
        states = f"; payloads: {payloads.sentence}" if payloads.sentence else ""
        # Entries prove nothing by themselves where the proof above them is broken.
        reason = f"every entry has the hash that was signed{states}"
        payload = LevelVerdict("ok", reason) if structure.verdict == "ok" else LevelVerdict("partly", "see structure")
    levels: dict[Level, LevelVerdict] = {"structure": structure}
    if options.with_payload or payload.verdict == "failed":
        levels["payload"] = payload
    return levels


def _report(
    manifest: Manifest,
    trust: Trust,
    findings: Findings,
    levels: dict[Level, LevelVerdict],
    *,
    root: bytes = b"",
    last_at: str = "",
    notes: tuple[str, ...] = (),
    note: bytes = b"",
    forks: tuple[bytes, ...] = (),
) -> LogReport:
    return LogReport(
        manifest.tenant,
        manifest.origin,
        manifest.size if root else 0,
        root.hex(),
        last_at or None,
        trust.sentence,
        levels,
        findings.sorted(),
        sum(findings.total.values()),
        notes,
        note,
        forks,
    )
