"""`verify --level index` on a data directory: the report of the verifier, with what `inspect` says of views and ids."""

from dataclasses import replace
from pathlib import Path

from atp.app.inspect import check_views
from atp.app.open import open_stores
from atp.errors import AtpError
from atp.verify.options import Options
from atp.verify.report import LevelVerdict, Report


def check_index(data: Path, report: Report, options: Options) -> Report:
    """The report with the index level of each log. A running server holds the directory: then it says so.

    Costs about 30 µs an entry. Nothing is repaired here; `serve` rebuilds what is damaged.
    """
    try:
        stores = open_stores(data)
    except AtpError as error:
        verdict = LevelVerdict("not possible here", str(error))
        return replace(report, logs=tuple(log.with_level("index", verdict) for log in report.logs))
    try:
        return check_views(report, stores, options)
    finally:
        stores.events.close()
