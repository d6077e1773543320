"""A dataset whose machine is another one: what lies in its place on this one is not it, and is not looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from atp.ops.drills.act.kinds.shape import Living, Production


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """See Production."""

    production: Production

    @property
    def addresses(self) -> Sequence[str]:
        """See Production: a copy reaches none of them, whatever answers there."""
        return self.production.addresses

    def look(self) -> Living | None:
        """See Production: nothing is seen of it from here."""
        return None

    def beat(self, name: str, at: datetime) -> None:
        """See Production."""
        self.production.beat(name, at)
