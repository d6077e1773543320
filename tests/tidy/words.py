"""Rules of language: the project speaks of itself alone, and every page of its documents is linked."""

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from tests.tidy.sources import Source

# One letter of each stands in brackets, so that this file passes its own rule.
FOREIGN_WORDS = re.compile(
    r"(?<![a-z])/(wor[k]|far[m])/|/tmp/[a-z]+/|/home/[a-z]+/|far[m]-[a-z]+|sub[a]gent|[.]librar[y]/"
    r"|pyp[i][.]org|pythonhoste[d][.]org|npmj[s][.]org|proxy[.]golan[g][.]org"
)
ENTRANCES = ("README.md", "docs/architecture.md")
LINK = re.compile(r"\]\(([^)#\s]+)")


def speaks_of_itself(file: Source) -> Iterator[str]:
    for number, line in enumerate(file.text.splitlines(), start=1):
        if word := FOREIGN_WORDS.search(line):
            yield f"{file.path}:{number} says {word[0]!r}, which is no part of this project"


def documents_are_linked(files: Sequence[Source]) -> Iterator[str]:
    """Every `docs/*.md` is linked from one of the entrances, directly."""
    linked = {target for file in files if str(file.path) in ENTRANCES for target in _targets(file)}
    for file in files:
        path = file.path
        if path.suffix == ".md" and path.parent == PurePosixPath("docs") and str(path) not in {*linked, *ENTRANCES}:
            yield f"{path} is linked from none of {', '.join(ENTRANCES)}"


def links_lead_somewhere(files: Sequence[Source]) -> Iterator[str]:
    """Every relative link in a Markdown page names a committed file or a folder of them."""
    known = {str(place) for file in files for place in (file.path, *file.path.parents)}
    for file in files:
        for target in _targets(file) if file.path.suffix == ".md" else ():
            if "://" not in target and not target.startswith("mailto:") and target not in known:
                yield f"{file.path} links to {target}, which does not exist"


def _targets(file: Source) -> Iterator[str]:
    """Link targets of a page, relative ones from the root of the project."""
    for target in LINK.findall(file.text):
        yield target if "://" in target else _normal(file.path.parent / target)


def _normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts = parts[:-1]
        else:
            parts.append(part)
    return str(PurePosixPath(*parts))
