"""Faults of one file, gathered so that all of them are told at once."""

from typing import NamedTuple

from atp.errors import DeclaredError, Fault
from atp.limits import DECLARATION_FAULTS_MAX


class Place(NamedTuple):
    """Where something stands in a text; both count from 1."""

    line: int
    column: int


class Faults:
    """What is wrong with `file`, as it is found; at most DECLARATION_FAULTS_MAX are kept, the rest is counted."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._found: set[Fault] = set()

    def add(self, place: Place, field: str, reason: str, *, hint: str) -> None:
        """Keep one fault. `field` is dotted, empty for the whole file; neither text may hold a secret."""
        self._found.add(Fault(self.file, place.line, place.column, field or "the file", reason, hint))

    def check(self, thing: str) -> None:
        """DeclaredError with all faults in the order of the file, if there are any."""
        if not self._found:
            return
        count = len(self._found)
        found = sorted(self._found, key=lambda fault: (fault.line, fault.column, fault.field, fault.reason))
        places = "1 place is" if count == 1 else f"{count} places are"
        shown = "" if count <= DECLARATION_FAULTS_MAX else f", the first {DECLARATION_FAULTS_MAX} are listed"
        sentence = f"could not use the {thing} {self.file}: {places} wrong{shown}"
        raise DeclaredError(sentence, faults=found[:DECLARATION_FAULTS_MAX])
