"""Whether a copy falls with its source, or comes back without what it needs: warnings about where things lie."""

import os
from collections.abc import Iterable
from pathlib import Path

from atp.ops.estate.declare.values import Dataset, Repository


def isolation_warnings(dataset: Dataset, repository: Repository, *, name: str) -> list[str]:
    """Sentences; none when nothing is known to be shared. Looks at file systems of this machine, asks nobody."""
    warnings = []
    place = Path(dataset.source.place) if dataset.source.place else None
    if repository.kind == "directory" and place is not None and _is_same_disk(place, Path(repository.place)):
        warnings.append(
            f"repository {name} is on the same file system as {place}: what takes the one takes the other "
            "(hint: a place on another disk, better in another building)"
        )
    if repository.kind == "s3" and repository.credentials is None:
        warnings.append(
            f"repository {name} has no credentials of its own: whoever has those of this machine can reach it "
            "(hint: repositories.credentials in the estate file)"
        )
    source = dataset.source
    if repository.credentials is not None and (source.env, source.file, source.command) == (
        repository.credentials.env,
        repository.credentials.file,
        repository.credentials.command,
    ):
        warnings.append(f"repository {name} and the source share their credentials (hint: give each its own)")
    return warnings


def outside_warnings(outside: Iterable[str], datasets: Iterable[Dataset]) -> list[str]:
    """About files that a dataset needs and that no other one holds. Pure."""
    places = [dataset.source.place for dataset in datasets if dataset.source.place]
    left = [path for path in outside if not any(Path(path).is_relative_to(place) for place in places)]
    if not left:
        return []
    return [
        f"it does not hold {', '.join(left)}, which its server reads too"
        " (hint: a dataset of kind configuration for where they lie; pg_read_all_settings lets the role see that)"
    ]


def _is_same_disk(place: Path, other: Path) -> bool:
    try:
        return os.stat(place).st_dev == os.stat(other).st_dev
    except OSError:
        return False
