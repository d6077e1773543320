"""A single `.tlog-proof` and the entry that it is about."""

from pathlib import Path

from atp.errors import MissingError, RefusedError, TamperedError
from atp.merkle.hashes import leaf_hash
from atp.merkle.tlogproof import HEADER, TlogProof, check_tlog_proof, parse_tlog_proof
from atp.verify.entry import received_at
from atp.verify.known import compare_alone, may_remember
from atp.verify.options import Options
from atp.verify.report import Finding, LevelVerdict, LogReport, Report
from atp.verify.source import FileSource
from atp.verify.tiles import found_keys
from atp.verify.trust import Trust, choose_trust, claimed_checkpoint, trust_remembered

KIND = "proof of one entry"
PROOF_BYTES_MAX = 2_000_000


def is_proof(head: bytes) -> bool:
    """Whether a file that begins so is a tlog-proof."""
    return head.startswith(HEADER.encode())


def check_proof(path: Path, data: bytes, options: Options) -> Report:
    """Verifies that an entry is in the log whose checkpoint stands in the proof.

    RefusedError without the entry, MissingError when no key is given, lies in a file `vkey` beside the proof, or is
    remembered.
    """
    if options.entry is None:
        raise RefusedError(
            f"could not verify {path}: a proof is about an entry", hint="give its bytes with --entry FILE"
        )
    try:
        proof = parse_tlog_proof(data)
        origin = claimed_checkpoint(proof.checkpoint).origin
        trust = _trust(path, origin, options)
    except (RefusedError, TamperedError) as error:
        return Report(str(path), KIND, findings=(Finding("structure", path.name, str(error)),))
    return Report(str(path), KIND, (_check(path, proof, options.entry, origin, trust, options),))


def _trust(path: Path, origin: str, options: Options) -> Trust:
    """The given keys, else those beside the proof, else those that this person saw the log use before.

    MissingError when there is none: then nothing is said about the proof.
    """
    found = found_keys(FileSource(path.parent))
    if not options.trusted and not found:
        remembered = options.memory.keys(origin) if options.memory else ()
        if not remembered:
            reason = f"no key of {origin} is known"
            raise MissingError(f"could not verify {path}: {reason}", hint="give one with --vkey FILE")
        return trust_remembered(remembered)
    return choose_trust(options.trusted, found=found, origin=origin, place="directory of the proof", is_alone=True)


def _check(path: Path, proof: TlogProof, entry: bytes, origin: str, trust: Trust, options: Options) -> LogReport:
    findings, notes, forks = list[Finding](), list[str](), list[bytes]()
    size, root = 0, b""
    try:
        opened = check_tlog_proof(
            proof,
            leaf_hash=leaf_hash(entry),
            origin=origin,
            log_keys=trust.log_keys,
            witness_keys=trust.witness_keys,
        )
        size, root = opened.checkpoint.size, opened.checkpoint.root
        for compared in compare_alone(opened.checkpoint, trust=trust, options=options):
            findings += compared.findings
            notes += [compared.remark] if compared.remark else []
            forks += [compared.fork] if compared.fork else []
    except (TamperedError, RefusedError) as error:
        findings.append(Finding("structure", path.name, str(error), proof.index))
    verdict = LevelVerdict("failed" if findings else "ok", f"entry {proof.index} of {size}, its bytes hashed")
    return LogReport(
        origin,
        origin,
        size,
        root.hex(),
        _received_at(entry),
        trust.sentence,
        {"structure": verdict, "payload": verdict},
        tuple(findings),
        len(findings),
        tuple(notes),
        proof.checkpoint if size and may_remember(origin, forks, options) else b"",
        tuple(forks),
    )


def _received_at(entry: bytes) -> str | None:
    try:
        return received_at(entry)
    except RefusedError:
        return None
