"""`atp ingest`: files of any known format -> recorded events, each once, however often the files are read."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import click

from atp.cli.batches import Batch, Reading, bytes_in, open_file, read_batches
from atp.cli.progress import Progress
from atp.cli.sending import Counts, send_batches
from atp.cli.server import Server, connected, tenant_option
from atp.cli.trust import watch
from atp.errors import EXIT_INTERRUPTED
from atp.formats.catalogue import AUTO, Formats, load_formats


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE|-...")
@tenant_option
@click.option(
    "--format",
    "format_name",
    default=AUTO,
    show_default=True,
    help="Of the records; auto recognises each by its content.",
)
@click.option("--formats", type=click.Path(path_type=Path), help="A directory with mappings of your own formats.")
@connected
def command(server: Server, files: Sequence[str], tenant: str, format_name: str, formats: Path | None) -> int:
    """Record the events in FILEs, plain or gzip; `-` is standard input.

    A record that is no event is parked with its reason: see `atp dlq`. When the command was interrupted, run it again:
    what is recorded already is known by its id.

    \b
    Examples:
      atp ingest events.ndjson
      atp ingest --format cloudtrail --tenant acme trail.json.gz
    """
    known = load_formats(formats)
    known.check_name(format_name)
    reading, counts, began = Reading(), Counts(), time.monotonic()
    with ExitStack() as stack:
        opened = [stack.enter_context(open_file(name)) for name in files]
        progress = stack.enter_context(Progress("records", total=bytes_in(opened)))
        is_whole = _send(_batches(opened, format_name, known, reading), server, tenant, counts, reading, progress)
    seconds = time.monotonic() - began
    seen = watch(server, tenant, size_min=counts.size) if is_whole else None
    document = {
        "tenant": tenant,
        "lines": reading.lines,
        "records": reading.records,
        "accepted": counts.accepted,
        "duplicates": counts.duplicates,
        "parked": counts.parked,
        "interrupted": not is_whole,
        "seconds": round(seconds, 3),
        "checkpoint": seen,
    }
    server.output.answer(document, _summary(reading, counts, is_whole=is_whole, seconds=seconds))
    return 0 if is_whole else EXIT_INTERRUPTED


def _batches(files: Sequence[BinaryIO], format_name: str, formats: Formats, reading: Reading) -> Iterator[Batch]:
    for file in files:
        yield from read_batches(file, format_name=format_name, formats=formats, reading=reading)


def _send(
    batches: Iterator[Batch], server: Server, tenant: str, counts: Counts, reading: Reading, progress: Progress
) -> bool:
    """Send all and add up what became of it; False when somebody interrupted it."""
    sending = send_batches(batches, server=server, tenant=tenant, counts=counts)
    try:
        for _ in sending:
            progress.show(reading.bytes_total, count=reading.records)
    except KeyboardInterrupt:
        sending.close()
        return False
    return True


def _summary(reading: Reading, counts: Counts, *, is_whole: bool, seconds: float) -> str:
    rate = reading.records / seconds if seconds else 0
    lines = [
        f"{reading.records:,} records in {reading.lines:,} lines, {seconds:.1f} s ({rate:,.0f}/s)",
        f"  accepted    {counts.accepted:>12,}",
        f"  duplicates  {counts.duplicates:>12,}",
        f"  parked      {counts.parked:>12,}" + ("  (see: atp dlq list)" if counts.parked else ""),
    ]
    if not is_whole:
        lines.append("interrupted: run the same command again to record the rest; nothing is recorded twice")
    return "\n".join(lines)
