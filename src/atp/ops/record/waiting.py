"""What waits on this machine for one server: the spool, begun, added to, and begun anew when all of it is delivered."""

from collections.abc import Callable, Sequence

import msgspec

from atp.errors import TamperedError, UnavailableError
from atp.limits import SPOOL_LINES_MAX
from atp.log.event import Actor, Event, Resource, format_instant
from atp.merkle.dsse import is_payload_signed
from atp.merkle.encodings import format_base64
from atp.merkle.keys import SigningKey, parse_signing_key
from atp.ops.record.spool import BEGIN, NO_PREVIOUS, PAYLOAD_TYPE, Head, Link, Record, read_record, spool_line
from atp.ops.record.statement import Sealed, Statement, sign_statement
from atp.ports.clock import Clock
from atp.ports.machine import HeldLines, Machine
from atp.verify.remember import Memory
from atp.verify.trust import claimed_checkpoint

_WHOSE = "the key of this machine, as the beginning of its spool names it; not that of an installation"
_SEED_BYTES = 32
_NAME_BYTES = 8


class Spool:
    """Events that wait for the server at `server`, on the machine called `host`. Safe from several processes.

    `tell` gets sentences for people. A spool always has a beginning, which is delivered with the first record behind it
    and renewed until then whenever a newer checkpoint was seen.
    """

    def __init__(
        self,
        machine: Machine,
        *,
        server: str,
        host: str,
        memory: Memory,
        clock: Clock,
        tell: Callable[[str], object],
    ) -> None:
        self._machine = machine
        self._server = server
        self._host = host
        self._memory = memory
        self._clock = clock
        self._tell = tell

    def lines(self) -> list[bytes]:
        """The beginning and what stands behind it, as it is now; nothing before the first use."""
        return self._machine.lines()

    def waiting(self) -> list[bytes]:
        """The records that wait, without the beginning. Costs reading a file."""
        return self.lines()[1:]

    def add(self, event: Event) -> Record:
        """Write an event down, synced, in the next place of the chain.

        UnavailableError: it is not written down. TooLargeError: it never could be delivered. TamperedError: somebody
        else wrote the last line.
        """
        key = self._key()
        with self._machine.hold() as held:
            lines = self._begin(held, key, origin=None)
            if len(lines) > SPOOL_LINES_MAX:
                raise UnavailableError(
                    f"could not write {event.action} down: {SPOOL_LINES_MAX:,} records wait already",
                    hint="atp spool deliver",
                )
            last = _own(lines[-1], key)
            link = Link(
                machine=key.name,
                number=last.link.number + 1,
                previous=last.digest,
                checkpoint=last.link.checkpoint,
            )
            line = spool_line(event, link, key)
            held.add(line)
        return read_record(line)

    def see(self, origin: str) -> None:
        """Let an empty spool begin with the newest checkpoint that is remembered of the operators' log `origin`."""
        key = self._key()
        with self._machine.hold() as held:
            self._begin(held, key, origin=origin)

    def sign(self, statement: Statement) -> Sealed:
        """A statement signed with the key of this machine.

        It is the machine that says so, as `operations` knows it by the beginning of its spool; no installation does.
        """
        key = self._key()
        return Sealed(sign_statement(statement, key), key.public(), _WHOSE)

    def drop(self, delivered: Sequence[bytes]) -> bool:
        """Begin anew, if nothing but these lines is there; the numbers go on. Returns whether it did."""
        key = self._key()
        with self._machine.hold() as held:
            if held.lines() != list(delivered):
                return False
            last = _own(delivered[-1], key)
            origin = last.link.checkpoint.origin if last.link.checkpoint else None
            held.replace([self._beginning(key, last.link.number + 1, last.digest, self._newest(origin))])
            return True

    def _begin(self, held: HeldLines, key: SigningKey, *, origin: str | None) -> list[bytes]:
        """The lines, with a beginning that is as new as can be while nothing stands behind it."""
        if torn := held.torn_bytes():
            self._tell(f"note: {torn} bytes of a record that was never acknowledged were cut off the spool")
        lines = held.lines()
        if len(lines) > 1:
            return lines
        begun = _own(lines[0], key) if lines else None
        known = begun.link.checkpoint if begun else None
        note = self._newest(origin or (known.origin if known else None))
        if begun is None or (note is not None and _head(note) != known):
            number, previous = (begun.link.number, begun.link.previous) if begun else (0, NO_PREVIOUS)
            held.replace([self._beginning(key, number, previous, note)])
        return held.lines()

    def _beginning(self, key: SigningKey, number: int, previous: str, note: bytes | None) -> bytes:
        head = _head(note) if note else None
        told = {
            "vkey": key.public().vkey,
            "host": self._host,
            "server": self._server,
            "note": note.decode() if note else None,
        }
        event = Event(
            actor=Actor(key.name, type="machine"),
            action=BEGIN,
            time=format_instant(int(self._clock.now().timestamp() * 1_000_000)),
            resource=Resource(key.name, type="machine"),
            data=msgspec.Raw(msgspec.json.encode(told)),
        )
        return spool_line(event, Link(machine=key.name, number=number, previous=previous, checkpoint=head), key)

    def _newest(self, origin: str | None) -> bytes | None:
        return self._memory.remembered(origin) if origin else None

    def _key(self) -> SigningKey:
        return parse_signing_key(self._machine.secret(self._draw))

    def _draw(self) -> str:
        name = f"machine-{self._clock.random_bytes(_NAME_BYTES).hex()}"
        return SigningKey.from_seed(self._clock.random_bytes(_SEED_BYTES), name=name).secret()


def _head(note: bytes) -> Head:
    checkpoint = claimed_checkpoint(note)
    return Head(checkpoint.origin, checkpoint.size, format_base64(checkpoint.root))


def _own(line: bytes, key: SigningKey) -> Record:
    """The record of a line that this machine signed; what is added behind another one would not be believed."""
    record = read_record(line)
    if not is_payload_signed(PAYLOAD_TYPE, record.signed, value=record.signature, key=key.public()):
        raise TamperedError(
            f"could not go on with the spool: number {record.link.number} is not signed by this machine",
            hint="put its folder aside and keep it; the next spool begins with a new key",
        )
    return record
