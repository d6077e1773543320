"""The rule against dead modules: whatever is installed can be reached from an entry point."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping

Imports = Mapping[str, Iterable[str]]


def modules_are_reachable(imports: Imports, *, entries: Iterable[str]) -> Iterator[str]:
    """`imports` maps each module to the modules it imports; importing a module runs its packages too."""
    reached, waiting = set[str](), list(entries)
    yield from (f"{module} should start, and does not exist" for module in sorted(set(waiting) - imports.keys()))
    while waiting:
        module = waiting.pop()
        if module in imports and module not in reached:
            reached.add(module)
            waiting += [*imports[module], *_packages(module)]
    yield from (f"{module} is imported by nothing that starts" for module in sorted(imports.keys() - reached))


def entry_points(pyproject: str) -> set[str]:
    """The modules that the installed scripts start."""
    scripts: Mapping[str, str] = tomllib.loads(pyproject)["project"]["scripts"]
    return {target.partition(":")[0] for target in scripts.values()}


def _packages(module: str) -> Iterator[str]:
    while module := module.rpartition(".")[0]:
        yield module
