"""`python -m atp.verify PLACE`: the verifier by itself, without the rest of the platform."""

import argparse
import json
import os
import sys
from pathlib import Path

from atp.errors import AtpError, TamperedError
from atp.limits import ENTRY_BYTES_MAX
from atp.merkle.notes import NOTE_BYTES_MAX
from atp.verify.options import Options, Progress, no_progress
from atp.verify.place import check_place
from atp.verify.remember import default_memory
from atp.verify.report import LEVELS
from atp.verify.source import read_file
from atp.verify.trust import VKEY_FILE_BYTES_MAX, parse_vkeys
from atp.verify.workers import cores


def main(arguments: list[str] | None = None) -> int:
    """Verifies a place and prints the report; 0 when nothing is wrong, 1 when something is, else the error's code."""
    given = _parser().parse_args(arguments)
    try:
        report = check_place(given.place, _options(given))
    except AtpError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    text = json.dumps(report.as_json(), indent=2, ensure_ascii=False) if given.json else report.as_text()
    sys.stdout.write(f"{text}\n")
    return 0 if report.is_whole else TamperedError.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m atp.verify", description="Verifies a log, a bundle or a proof.")
    parser.add_argument("place", help="a data or tlog-tiles directory, a URL, a bundle, a .tlog-proof")
    parser.add_argument("--level", choices=LEVELS, help="stop at this level; without it, all that the place allows")
    parser.add_argument("--vkey", metavar="FILE", help="verifier keys to trust; else those found in the place")
    parser.add_argument("--against", metavar="CHECKPOINT", help="a checkpoint that the log has to contain")
    parser.add_argument("--tenant", help="the only log to look at")
    parser.add_argument("--entry", metavar="FILE", help="the entry that a .tlog-proof is about")
    parser.add_argument("--jobs", type=int, default=cores(), help="how many processes to use")
    parser.add_argument("--forget", action="store_true", help="neither use nor keep remembered checkpoints")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _options(given: argparse.Namespace) -> Options:
    return Options(
        level=given.level,
        trusted=parse_vkeys(_read(given.vkey, VKEY_FILE_BYTES_MAX)) if given.vkey else (),
        against=_read(given.against, NOTE_BYTES_MAX) if given.against else None,
        memory=None if given.forget else default_memory(),
        jobs=given.jobs,
        progress=no_progress if given.json or not sys.stderr.isatty() else _progress(),
        tenant=given.tenant,
        entry=_read(given.entry, ENTRY_BYTES_MAX) if given.entry else None,
        api_key=os.environ.get("ATP_API_KEY"),
    )


def _read(name: str, bytes_max: int) -> bytes:
    try:
        return read_file(Path(name), bytes_max=bytes_max)
    except AtpError as error:
        raise type(error)(f"could not read {name}: {error}") from None


def _progress() -> Progress:
    def show(done: int, total: int) -> None:
        sys.stderr.write(f"\r{done} of {total} entries" + ("\n" if done == total else ""))

    return show


if __name__ == "__main__":
    sys.exit(main())
