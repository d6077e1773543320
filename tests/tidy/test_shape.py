"""Every module keeps the shape of the house, and every rule of shape catches what breaks it."""

from collections.abc import Callable, Iterator

import pytest

from tests.tidy import shape
from tests.tidy.sources import Source, committed, source

Rule = Callable[[Source], Iterator[str]]

BREAKS: list[tuple[Rule, Source]] = [
    (shape.module_is_short, source("src/atp/long.py", "x = 1\n" * 501)),
    (shape.functions_are_short, source("tests/test_long.py", "def f():\n" + "    x = 1\n" * 70)),
    (shape.functions_are_short, source("src/atp/long.py", "class C:\n  async def f():\n" + "    x = 1\n" * 70)),
    (shape.nothing_inherits_but_errors, source("src/atp/heir.py", "class Dog(zoo.Animal): ...\n")),
    (shape.nothing_inherits_but_errors, source("src/atp/heir.py", "class Dog(Animal[T], Protocol): ...\n")),
    (shape.names_say_a_purpose, source("src/atp/utils.py", "")),
    (shape.names_say_a_purpose, source("src/atp/common/dates.py", "")),
    (shape.names_say_a_purpose, source("src/atp/log/append.py", "class LogManager: ...\n")),
    (shape.nothing_is_large, source("docs/picture.svg", "x" * 400_001)),
]
HOLDS: list[tuple[Rule, Source]] = [
    (shape.module_is_short, source("src/atp/long.py", "x = 1\n" * 500)),
    (shape.functions_are_short, source("src/atp/long.py", "def f():\n" + "    x = 1\n" * 69)),
    (shape.nothing_inherits_but_errors, source("src/atp/errors.py", "class LateError(AtpError): ...\n")),
    (shape.nothing_inherits_but_errors, source("src/atp/event.py", "class Event(msgspec.Struct, frozen=True): ...\n")),
    (shape.nothing_inherits_but_errors, source("tests/test_x.py", "class Machine(RuleBasedStateMachine): ...\n")),
    (shape.names_say_a_purpose, source("src/atp/log/append.py", "class Receipt: ...\n")),
]
RULES = sorted({rule for rule, _ in BREAKS}, key=lambda rule: rule.__name__)


@pytest.mark.parametrize("rule", RULES)
def test_every_committed_file_keeps_the_rule(rule: Rule) -> None:
    assert "\n".join(complaint for file in committed() for complaint in rule(file)) == ""


@pytest.mark.parametrize(("rule", "file"), BREAKS)
def test_a_rule_catches_what_breaks_it(rule: Rule, file: Source) -> None:
    assert len(list(rule(file))) == 1


@pytest.mark.parametrize(("rule", "file"), HOLDS)
def test_a_rule_lets_pass_what_keeps_it(rule: Rule, file: Source) -> None:
    assert list(rule(file)) == []
