"""Whether a copy falls with its source: warnings about repositories that stand on the same ground."""

import os
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


def _is_same_disk(place: Path, other: Path) -> bool:
    try:
        return os.stat(place).st_dev == os.stat(other).st_dev
    except OSError:
        return False
