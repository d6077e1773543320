"""What an operator's machine keeps by itself when no server answers: its signing key, and lines that wait."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol


class HeldLines(Protocol):
    """The lines, while nobody else may change them. A line is bytes without a line feed."""

    def lines(self) -> list[bytes]:
        """Every line, in the order in which it was added."""

    def torn_bytes(self) -> int:
        """The length of a last line that a death cut short; it was cut off when the lines were taken into hold."""

    def add(self, line: bytes) -> None:
        """Add a line; synced when this returns. UnavailableError: the line is not there, unless the disk refuses even
        to forget it."""

    def replace(self, lines: Sequence[bytes]) -> None:
        """Put these lines in the place of all, synced, or leave all as they were: UnavailableError."""


class Machine(Protocol):
    """A key and lines that outlive every process of this machine. Safe to use from several processes and threads."""

    def secret(self, draw: Callable[[], str]) -> str:
        """The machine's private key, one line, readable by its owner alone; `draw` makes it at the first use.

        Two that ask first at once get the same. UnavailableError when it cannot be read, or is not private.
        """

    def lines(self) -> list[bytes]:
        """A look at the lines without holding them; a last one that is not whole is left out."""

    def hold(self) -> AbstractContextManager[HeldLines]:
        """Hold the lines for as long as the block lasts.

        UnavailableError when another process does not let go in time, or the disk refuses.
        """
