"""`atp verify`: is all of it there, and as it was signed? Works without a server, and without us."""

from pathlib import Path
from urllib.parse import urlsplit

import click

from atp.cli.files import read_given
from atp.cli.output import Output, safe
from atp.cli.progress import Progress
from atp.cli.server import find_key, json_option, key_file_option
from atp.errors import TamperedError
from atp.limits import ENTRY_BYTES_MAX
from atp.verify.directory import KIND
from atp.verify.options import Options
from atp.verify.place import check_place
from atp.verify.remember import default_memory
from atp.verify.report import LEVELS, Level, Report
from atp.verify.source import NOTE_FILE_BYTES_MAX
from atp.verify.trust import VKEY_FILE_BYTES_MAX, parse_vkeys
from atp.verify.workers import cores

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("place", metavar="PATH|URL")
@click.option("--vkey", type=_FILE, help="Trust the keys in this file instead of those found in the place.")
@click.option("--against", type=_FILE, help="A checkpoint that the log has to begin with.")
@click.option("--level", type=click.Choice(LEVELS), help="Only this level.  [default: all that the place allows]")
@click.option("--tenant", help="Only this tenant's log.")
@click.option("--entry", type=_FILE, help="The entry that a .tlog-proof is about.")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes.  [default: one a core]")
@key_file_option
@json_option
def command(
    place: str,
    vkey: Path | None,
    against: Path | None,
    level: Level | None,
    tenant: str | None,
    entry: Path | None,
    jobs: int | None,
    key_file: Path | None,
    is_json: bool,
) -> int:
    """Verify a data directory, an export, a tlog-tiles directory, a live log at a URL, or a .tlog-proof with --entry.

    Says for each level whether it holds, whom it trusts, and where the first wrong entry is. Remembers each log's
    newest checkpoint and checks the next one against it. Exit code 1 when anything is wrong.

    \b
    Examples:
      atp verify var/atp
      atp verify http://127.0.0.1:8600 --tenant default
      atp verify inv-7.tlog-proof --entry inv-7.json --vkey log.vkey
    """
    output = Output(is_json)
    with Progress("entries") as progress:
        options = Options(
            level=level,
            trusted=parse_vkeys(read_given(vkey, VKEY_FILE_BYTES_MAX)) if vkey else (),
            against=read_given(against, NOTE_FILE_BYTES_MAX) if against else None,
            memory=default_memory(),
            jobs=jobs or cores(),
            progress=lambda done, total: progress.show(done, total=total),
            tenant=tenant,
            entry=read_given(entry, ENTRY_BYTES_MAX) if entry else None,
            api_key=find_key(key_file, output) if urlsplit(place).scheme else None,
        )
        report = check_place(place, options)
        if report.kind == KIND and level in (None, "index"):
            from atp.app.index import check_index

            report = check_index(Path(place), report, options)
    output.answer(report.as_json(), _text(report))
    return 0 if report.is_whole else TamperedError.exit_code


def _text(report: Report) -> str:
    return "\n".join(safe(line) for line in report.as_text().split("\n"))
