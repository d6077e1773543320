"""The durable order: which entries each log holds, in which order, and the newest checkpoint of each.

This store is *trusted*: whoever can change it can make a log sign a split view. Everything else of a log can be
checked against what stands here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Log:
    """One tenant's log; `origin` changes by a `Succession` alone, `created_at` is RFC 3339 UTC."""

    tenant: str
    origin: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive entries of one log; `ids[k]` is the event id of `entries[k]`, whose index is `first_index + k`.

    `leaves[k]` is its leaf hash (RFC 6962 section 2.1): whoever acknowledges an entry has hashed it, and nobody after.
    """

    tenant: str
    first_index: int
    entries: Sequence[bytes]
    leaves: Sequence[bytes]
    ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Swap:
    """Replace the checkpoint note `old` (None: there was none) of `tenant` by `new`, which is of tree size `size`."""

    tenant: str
    old: bytes | None
    new: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Succession:
    """A log goes on under `origin` instead of `former`: from the checkpoint `swap.new` on, which is of the new one."""

    former: str
    origin: str
    swap: Swap


@dataclass(frozen=True, slots=True)
class Parked:
    """A record that could not become an event: `key` is unique in its tenant, `reason` a sentence, `body` its bytes."""

    key: str
    reason: str
    body: bytes
    parked_at: str


class EventStore(Protocol):
    """The durable order of entries and the compare-and-swap of checkpoints. Safe to call from several threads."""

    def create_log(self, log: Log) -> None:
        """Create an empty log, durably. ConflictError when the tenant or the origin exists."""

    def logs(self) -> list[Log]:
        """Every log, in the order of creation."""

    def append(self, batches: Sequence[Batch], parked: Mapping[str, Sequence[Parked]]) -> None:
        """Make all batches (and parked records, by tenant) durable in one atomic step, or none of them.

        ConflictError, nothing written: a `first_index` is not the log's size (another writer is at work).
        UnavailableError: the outcome is unknown (disk full, I/O error); the caller reads `size` before it goes on.
        Parking a key that is already parked is a no-op. Returns only after the bytes were synced.
        """

    def size(self, tenant: str) -> int:
        """How many entries the log has. MissingError when there is no such log."""

    def held_from(self, tenant: str) -> int:
        """The lowest index that `read` still answers (everything below was trimmed)."""

    def read(self, tenant: str, *, start: int, stop: int) -> list[bytes]:
        """The entries [start, stop), as many as exist. MissingError when start is below `held_from`.

        TamperedError names the first index whose stored bytes fail their checksum.
        """

    def leaves(self, tenant: str, *, start: int, stop: int) -> list[bytes]:
        """The leaf hashes of the entries [start, stop), as many as exist. Errors as `read`."""

    def bundles(self, tenant: str, *, start: int, stop: int) -> list[bytes]:
        """The full bundles numbered [start, stop), all of whose entries exist, as `atp.log.bundles` stores them.

        The same bytes at each call. Errors as `read`.
        """

    def trim(self, below: Mapping[str, int]) -> None:
        """Forget entries under `below[tenant]`: the caller has put them, synced, elsewhere. A batch that reaches
        over the bound, and the newest one of a log, may stay whole. UnavailableError: some may be forgotten."""

    def find(self, tenant: str, ids: Sequence[str]) -> dict[str, list[int]]:
        """Candidate indexes of each id that may stand in the log; ids that certainly do not are left out.

        Never misses; may answer an index whose entry has another id (a hash met), so the caller compares. An id that
        was appended twice has both indexes, ascending. UnavailableError while `is_missing_ids`.
        """

    def is_missing_ids(self) -> bool:
        """True when the id index was lost or damaged and `learn_ids` has to be fed with every entry again."""

    def learn_ids(self, entries: Iterable[tuple[str, int, Sequence[str]]]) -> None:
        """Rebuild the id index from (tenant, first index, ids) of all logs. Replaces what was there.

        ValueError, nothing changed, unless there is one id for each entry of every log.
        """

    def checkpoint(self, tenant: str) -> bytes | None:
        """The newest committed checkpoint note, None before the first."""

    def swap_checkpoints(self, swaps: Sequence[Swap]) -> None:
        """The commit point: replace all these checkpoints in one durable, atomic step.

        ConflictError, nothing written: one `old` is not what is stored. UnavailableError: outcome unknown.
        """

    def succeed(self, successions: Sequence[Succession]) -> None:
        """Change origins and checkpoints, all in one durable, atomic step.

        ConflictError, nothing written: an origin is not the former one, the new one is taken, or a swap's `old` is not
        what is stored. UnavailableError: outcome unknown.
        """

    def parked(self, tenant: str, *, limit: int) -> list[Parked]:
        """The oldest `limit` parked records of a tenant."""

    def parked_count(self, tenant: str) -> int:
        """How many records are parked."""

    def close(self) -> None:
        """Release files and connections; nothing acknowledged depends on it."""
