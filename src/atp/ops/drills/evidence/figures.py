"""Everything that is known of one drill: the `data` of `drill.done`, and the predicate of its signed statement.

The first fields are those that `atp.ops.estate.evidence.proofs` documents; the others are for people and auditors.
"""

from typing import Any, Literal, NamedTuple

import msgspec

from atp.errors import MalformedError
from atp.ops.backups.evidence import Held
from atp.ops.estate.evidence.proofs import Aware, Seconds, Verdict

LockVerdict = Literal["held", "broken", "not promised", "not tried"]
_WORST: tuple[Verdict, ...] = ("error", "fail", "insufficient", "pass")


class Objective(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that a drill has to show, and whether it did; `told` is a sentence."""

    name: str
    verdict: Verdict
    told: str
    wanted_seconds: Seconds | None = None
    achieved_seconds: Seconds | None = None


class Leg(msgspec.Struct, frozen=True):
    """A point on the way back, in seconds after the loss."""

    name: str
    seconds: Seconds


class Answer(msgspec.Struct, frozen=True):
    """What came of one question to the restored copy."""

    name: str
    passed: bool
    told: str


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Writes that the ledger has, and what became of them: `lost` came after the newest that was recovered, `holes`
    are missing before it."""

    recovered: int
    lost: int
    holes: int
    newest_recovered_at: Aware | None = None
    newest_acknowledged_at: Aware | None = None


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Digests over the living data before and after; None: it is not on this machine, or cannot be read."""

    before_sha256: str | None = None
    after_sha256: str | None = None


class LockAttempt(msgspec.Struct, frozen=True):
    """What was tried on the lock, whether the store refused, and what it answered, in its words."""

    tried: str
    refused: bool
    answer: str


class OsUser(msgspec.Struct, frozen=True):
    """The user of the operating system that a drill ran as, as the kernel says."""

    uid: int
    name: str


class LockTried(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of trying to break the lock of the repository before the restore. `succeeded` lists what should not
    have; `reason` says why nothing was tried. Nothing is `promised` where the estate file declares no lock."""

    repository: str
    verdict: LockVerdict
    promised: str
    found: str = ""
    succeeded: tuple[str, ...] = ()
    reason: str = ""
    attempts: tuple[LockAttempt, ...] = ()


class Previous(NamedTuple):
    """The drill of this dataset before this one that has a statement: its number, the digest of the envelope."""

    number: int
    sha256: str


class Signed(msgspec.Struct, frozen=True):
    """The statement that holds these figures: the digest of its envelope, whose key signed it, and the signature in
    base64, with which the envelope can be made again of the event alone."""

    sha256: str
    signed_by: str
    vkey: str
    whose: str
    signature: str


class Done(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One drill. `number` counts the drills of a dataset from 1; `cause` is a word for what went wrong first.
    `damaged_at`, of corruption: from then on the data was nonsense, so what came back is from before, and held
    against that moment.

    `recorded` says what of the backup was held against the operators' trail: that nothing was is no failure, only less.
    `previous_sha256` is of the envelope of the drill's predecessor, None for the first: whoever takes one away breaks
    the chain. `missed_slots` are instants since then at which a drill was due and none came. `ratio_to_raw_copy` is the
    time of the restore over that of a plain copy of as many bytes; `argv` are programs that were run. `key_beside`:
    the private key was given on the machine of the living data; None: nobody can tell. `user` is the person who acts,
    `os_user` whom the kernel knows. `owner` and `classification` are what the estate file says of the `dataset`; its
    text is in the trail under `estate_sha256`. What has a default may be missing in older records, which stay valid.
    """

    verdict: Verdict
    scenario: str
    number: int
    act: str
    lost_at: Aware
    objectives: tuple[Objective, ...]
    fence: str
    place: str
    host: str
    user: str
    estate_sha256: str
    damaged_at: Aware | None = None
    backup: str | None = None
    repository: str | None = None
    rpo_seconds: Seconds | None = None
    rto_seconds: Seconds | None = None
    failed: tuple[str, ...] = ()
    cause: str = ""
    reason: str = ""
    legs: tuple[Leg, ...] = ()
    answers: tuple[Answer, ...] = ()
    acknowledged: Acknowledged | None = None
    source: Source = Source()
    manifest_sha256: str = ""
    point_at: Aware | None = None
    entries: int = 0
    total_bytes: int = 0
    period_seconds: Seconds | None = None
    tools: dict[str, str] = {}
    forced: str = ""
    swept: tuple[str, ...] = ()
    previous_sha256: str | None = None
    missed_slots: tuple[Aware, ...] = ()
    lock: LockTried | None = None
    recorded: Held | None = None
    raw_copy_seconds: Seconds | None = None
    raw_copy_bytes: int = 0
    ratio_to_raw_copy: float | None = None
    argv: tuple[tuple[str, ...], ...] = ()
    key_beside: bool | None = None
    dataset: str = ""
    classification: str = ""
    owner: str = ""
    os_user: OsUser | None = None
    statement: Signed | None = None

    @property
    def attempts(self) -> tuple[LockAttempt, ...]:
        """What was tried on the lock; older records have only what succeeded."""
        return self.lock.attempts if self.lock else ()


def verdict_of(objectives: tuple[Objective, ...]) -> Verdict:
    """The worst of all; only when everything passes does the drill. Of the living data only that it is gone or was
    replaced counts: where others write meanwhile, digests cannot tell by whom."""
    counted = [one.verdict for one in objectives if one.name != "source" or one.verdict != "insufficient"]
    return min(counted, key=_WORST.index, default="insufficient")


def predicate(done: Done) -> bytes:
    """What the statement says: all of it but the statement itself."""
    return msgspec.json.encode(msgspec.structs.replace(done, statement=None))


def read_done(data: Any) -> Done:
    """The figures of an event's data. MalformedError when it is of no drill."""
    try:
        return msgspec.convert(data, Done)
    except msgspec.ValidationError as error:
        raise MalformedError(f"could not read the drill: {error}") from None
