"""No module is dead: each one is reached from an installed script, a verb of the command line or a `__main__`."""

import grimp

from atp.cli.main import VERBS, module_of
from tests.tidy.reach import entry_points, modules_are_reachable
from tests.tidy.sources import ROOT

KEPT_FOR_TESTS = {
    *(
        "atp.adapters.memory",
        "atp.adapters.memory_machine",
        "atp.adapters.memory_repository",
        "atp.adapters.memory_models",
    ),
    *("atp.adapters.postgres", "atp.adapters.s3"),
}
"""Keepers that keep the ports honest: the contract suites run on them, no configuration names them yet."""


def test_every_module_is_reached_from_an_entry_point() -> None:
    graph = grimp.build_graph("atp", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    scripts = entry_points((ROOT / "pyproject.toml").read_text())
    verbs = {module_of(verb) for verb in VERBS}
    mains = {module for module in imports if module.endswith("__main__")}
    assert "\n".join(modules_are_reachable(imports, entries=scripts | verbs | mains | KEPT_FOR_TESTS)) == ""


def test_two_dead_modules_that_import_each_other_are_caught() -> None:
    imports = {"a": {"a.b"}, "a.b": set[str](), "a.main": {"a.b"}, "a.dead": {"a.ghost"}, "a.ghost": {"a.dead"}}
    assert len(list(modules_are_reachable(imports, entries=["a.main"]))) == 2


def test_an_entry_point_that_does_not_exist_is_caught() -> None:
    assert len(list(modules_are_reachable({"a": []}, entries=["a.main", "a"]))) == 1
