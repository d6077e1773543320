"""`verify --level index` on a data directory: the report of the verifier, with what `inspect` says of views and ids."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from atp.app.inspect import Difference, inspect
from atp.app.open import open_stores
from atp.app.pipeline import Stores
from atp.errors import AtpError
from atp.log.reader import Cache, LogReader
from atp.verify.options import Options
from atp.verify.report import FINDINGS_MAX, Finding, LevelVerdict, LogReport, Report


def check_index(data: Path, report: Report, options: Options) -> Report:
    """The report with the index level of each log. A running server holds the directory: then it says so.

    Costs about 30 µs an entry. Nothing is repaired here; `serve` rebuilds what is damaged.
    """
    try:
        stores = open_stores(data)
    except AtpError as error:
        return _with(report, [log.with_level("index", _impossible(error)) for log in report.logs])
    try:
        return check_views(report, stores, options)
    finally:
        stores.events.close()


def check_views(report: Report, stores: Stores, options: Options) -> Report:
    """The report with the index level of each log, by stores that are open: a server's own."""
    return _with(report, [_check(log, stores, options) for log in report.logs])


def _check(log: LogReport, stores: Stores, options: Options) -> LogReport:
    reader = LogReader(log.name, event_store=stores.events, object_store=stores.objects, cache=Cache())
    try:
        found = list(islice(_differences(log.name, reader, stores, options), FINDINGS_MAX))
    except AtpError as error:  # what the log itself holds cannot be read: the other levels name the place
        return log.with_level("index", _impossible(error))
    verdict = LevelVerdict("failed", "see the findings") if found else LevelVerdict("ok")
    return log.with_level("index", verdict, [Finding("index", "views", one.what, one.index) for one in found])


def _differences(tenant: str, reader: LogReader, stores: Stores, options: Options) -> Iterator[Difference]:
    size = reader.size()
    return inspect(tenant, reader=reader, stores=stores, progress=lambda done: options.progress(done, size))


def _impossible(error: AtpError) -> LevelVerdict:
    return LevelVerdict("not possible here", str(error))


def _with(report: Report, logs: list[LogReport]) -> Report:
    return Report(report.place, report.kind, tuple(logs), report.findings, report.notes)
