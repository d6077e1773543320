"""What cannot be meant: values that are well formed one by one and contradict each other."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

from atp.limits import ERASABLE_RETENTION_DAYS_MAX
from atp.ops.declaration.durations import format_duration
from atp.ops.declaration.reading import Contradiction, Rules
from atp.ops.estate.declare.values import (
    Acceptance,
    Check,
    Dataset,
    Drill,
    Estate,
    Flow,
    Heartbeat,
    Repository,
    RevenueHours,
)

_DATABASES = ("postgresql", "sqlite")
_TREES = ("files", "configuration")
_FOLLOWED = ("postgresql", "trail")


def check_hours(hours: RevenueHours) -> Iterator[Contradiction]:
    """The zone is one that this machine knows, and the hours are not empty."""
    try:
        ZoneInfo(hours.zone)
    except (KeyError, ValueError, OSError):
        yield Contradiction("zone", "this machine knows no such time zone", "for example Europe/Berlin or UTC")
    if hours.opens == hours.closes:
        yield Contradiction("closes", "it is the same as opens", 'the whole day is "00:00" to "24:00"')
    if hours.opens == "24:00":
        yield Contradiction("opens", "no day begins then", '"00:00" of the next day')
    yield from _repeated("weekdays", hours.weekdays)


def check_acceptance(acceptance: Acceptance) -> Iterator[Contradiction]:
    """It ends after it begins."""
    if acceptance.until <= acceptance.at:
        yield Contradiction("until", "it is not after the day it was signed", "name the day when it is decided again")


def check_repository(repository: Repository) -> Iterator[Contradiction]:
    """Place and lock are of its kind."""
    is_directory = repository.kind == "directory"
    if is_directory and not repository.place.startswith("/"):
        yield Contradiction("place", "a directory has an absolute path", "for example /srv/backups")
    if not is_directory and not repository.place.startswith("s3://"):
        yield Contradiction("place", "it is no address of a bucket", "for example s3://vault/prefix")
    if is_directory and repository.lock in ("compliance", "governance"):
        yield Contradiction("lock", f"a directory cannot lock as {repository.lock}", "local or none")
    if not is_directory and repository.lock == "local":
        yield Contradiction("lock", "local is for directories", "compliance, governance or none")
    if is_directory and repository.credentials is not None:
        yield Contradiction("credentials", "a directory takes none", "remove them, or make it kind s3")


def check_question(check: Check) -> Iterator[Contradiction]:
    """It asks one thing, and says what has to come of it."""
    asked = [check.sql is not None, check.rows is not None, check.digests, check.verify]
    if sum(asked) != 1:
        yield Contradiction("", f"it asks {sum(asked)} things", "exactly one of sql, rows, digests: true, verify: true")
    if check.sql is not None and check.expect is None:
        yield Contradiction("sql", "nothing says what has to come of it", "add expect: [[...]]")
    if check.sql is None and check.expect is not None:
        yield Contradiction("expect", "there is no query to expect it of", "add sql: ...")


def check_drill(drill: Drill) -> Iterator[Contradiction]:
    """Each scenario stands once."""
    yield from _repeated("scenarios", drill.scenarios)


def check_dataset(dataset: Dataset) -> Iterator[Contradiction]:
    """Objectives can be kept by the schedule, and what is asked can be answered by its kind."""
    backup, drill, source = dataset.backup, dataset.drill, dataset.source
    is_late = backup is not None and dataset.rpo is not None and backup.schedule > dataset.rpo
    if backup and dataset.rpo and is_late and not backup.continuous:
        every, rpo = format_duration(backup.schedule), format_duration(dataset.rpo)
        reason = f"a copy every {every} cannot keep an RPO of {rpo}"
        yield Contradiction("backup.schedule", reason, f"at most {rpo}, or continuous: true where changes are shipped")
    if backup and dataset.retention and dataset.retention <= backup.schedule:
        yield Contradiction("retention", "copies are gone before the next is made", "longer than backup.schedule")
    if backup and backup.repository in backup.copies_in:
        yield Contradiction("backup.copies_in", "it names the repository itself", "name others, or leave it out")
    if backup and backup.continuous and dataset.kind not in _FOLLOWED:
        yield Contradiction(
            "backup.continuous", f"a dataset of kind {dataset.kind} ships no changes", "false, and a shorter schedule"
        )
    if dataset.kind == "postgresql" and source.place is not None and not re.search("://|^[a-z_]+ *=", source.place):
        yield Contradiction(
            "source.place", "it is no address of a database", "postgresql://HOST/DATABASE, or env: NAME"
        )
    if drill and source.place is not None and drill.place.rstrip("/") == source.place.rstrip("/"):
        yield Contradiction("drill.place", "it is where the living data is", "a scratch place of its own")
    if drill and backup is None:
        yield Contradiction("drill", "there is no backup to restore", "add backup: ...")
    if drill and drill.noticed_after and dataset.retention and dataset.retention <= drill.noticed_after:
        kept = format_duration(dataset.retention)
        reason = f"when it is noticed every copy from before is gone: they are kept for {kept}"
        yield Contradiction("drill.noticed_after", reason, "less than retention")
    if drill and drill.heartbeat:
        yield from _beating(dataset, drill.heartbeat)
    for at, check in enumerate(drill.checks if drill else ()):
        yield from _fitting(check, at, dataset.kind)
    if dataset.erasable:
        yield from _erasable(dataset)
    yield from _repeated("environments", dataset.environments)


def check_flow(flow: Flow) -> Iterator[Contradiction]:
    """It goes somewhere else."""
    if flow.source == flow.to:
        yield Contradiction("to", "it ends where it begins", "name another service or dataset")


def check_estate(estate: Estate) -> Iterator[Contradiction]:
    """Names mean one thing, nothing depends on itself, and what records is a trail."""
    yield from _repeated("environments", estate.environments)
    for name in estate.services.keys() & estate.datasets.keys():
        yield Contradiction(f"datasets.{name}", "a service has that name too", "rename one of them")
    for section, things in (("services", estate.services), ("datasets", estate.datasets)):
        for name, thing in things.items():
            if name in thing.depends_on:
                yield Contradiction(f"{section}.{name}.depends_on", "it depends on itself", "remove it")
    for at, flow in enumerate(estate.data_flows):
        recorded = estate.datasets.get(flow.audited_in or "")
        if recorded is not None and recorded.kind != "trail":
            reason = f"{flow.audited_in} is of kind {recorded.kind}"
            yield Contradiction(f"data_flows[{at}].audited_in", reason, "name a dataset of kind trail")
    for path, steps in estate.critical_paths.items():
        yield from _repeated(f"critical_paths.{path}", steps)


def _beating(dataset: Dataset, heartbeat: Heartbeat) -> Iterator[Contradiction]:
    place = dataset.source.place
    if not heartbeat.ledger.startswith("/"):
        yield Contradiction("drill.heartbeat.ledger", "it is no absolute path", "for example /var/lib/atp/ledger")
    if place is not None and f"{heartbeat.ledger}/".startswith(f"{place.rstrip('/')}/"):
        yield Contradiction("drill.heartbeat.ledger", "it would be lost with the data", "a file on another disk")
    if dataset.rpo is not None and heartbeat.every > dataset.rpo:
        rpo = format_duration(dataset.rpo)
        yield Contradiction("drill.heartbeat.every", f"that cannot measure an RPO of {rpo}", f"at most {rpo}")


def _erasable(dataset: Dataset) -> Iterator[Contradiction]:
    """What is erased by destroying a key is erased when the last copy of that key is gone, and not before."""
    longest = timedelta(days=ERASABLE_RETENTION_DAYS_MAX)
    at_most = f"at most {format_duration(longest)}"
    if dataset.kind == "trail":
        hint = "false; the keys that erase what it holds are a dataset of their own"
        yield Contradiction("erasable", "a trail is never erased", hint)
    if dataset.retention is None:
        yield Contradiction("erasable", "nothing says when its copies are gone", f"add retention: {at_most}")
    elif dataset.retention > longest:
        kept = format_duration(dataset.retention)
        yield Contradiction(
            "retention", f"keys would outlive their destruction by {kept}", f"{at_most}: it is erasable"
        )
    if dataset.drill and "ransomware" in dataset.drill.scenarios:
        reason = "it leaves no copy: those of what is erasable are not locked"
        yield Contradiction("drill.scenarios", reason, "leave ransomware out")


def _fitting(check: Check, at: int, kind: str) -> Iterator[Contradiction]:
    is_wrong = (
        (check.digests and kind not in _TREES)
        or (check.verify and kind != "trail")
        or ((check.sql or check.rows) and kind not in _DATABASES)
    )
    if is_wrong:
        asked = "verify" if check.verify else "digests" if check.digests else "sql" if check.sql else "rows"
        hint = f"sql and rows are for {' and '.join(_DATABASES)}, digests for {' and '.join(_TREES)}, verify for trail"
        yield Contradiction(f"drill.checks[{at}].{asked}", f"a dataset of kind {kind} cannot answer it", hint)


def _repeated(field: str, names: Sequence[str]) -> Iterator[Contradiction]:
    for name in (name for name, count in Counter(names).items() if count > 1):
        yield Contradiction(field, f"{name} stands twice", "keep one")


RULES: Rules = {
    Acceptance: check_acceptance,
    Check: check_question,
    Dataset: check_dataset,
    Drill: check_drill,
    Estate: check_estate,
    Flow: check_flow,
    Repository: check_repository,
    RevenueHours: check_hours,
}
