"""Acts of an operator on logs and on the platform: who may do them, and what does them."""

from collections.abc import Mapping, Sequence
from concurrent.futures import wait

from atp.app.brakes import Kind
from atp.app.integrity import Run
from atp.app.platform import Platform
from atp.errors import ConflictError, ForbiddenError, UnavailableError
from atp.log.event import Prepared, event_id
from atp.log.query import Question
from atp.ports.event_store import Log
from atp.tenants.access import Caller, check_may
from atp.tenants.names import OPERATIONS
from atp.verify.report import Level

_DROP_SECONDS_MAX = 30.0


def rotate_key(platform: Platform, tenant: str, *, by: Caller) -> list[str]:
    """A new key that signs the log first, beside the old one; all vkeys. Raises as `LogKeys.add`."""
    (log,) = choose_logs(platform, tenant, by=by)
    return [key.vkey for key in platform.log_keys.add(tenant, origin=log.origin, person=by.person)]


def retire_key(platform: Platform, tenant: str, key_id: str, *, by: Caller) -> list[str]:
    """A key that signs no more; the vkeys that are left. Raises as `LogKeys.retire`."""
    choose_logs(platform, tenant, by=by)
    return [key.vkey for key in platform.log_keys.retire(tenant, key_id, person=by.person)]


def rebuild(platform: Platform, logs: Sequence[Log]) -> None:
    """Drop the views of these logs, and follow the logs again while everything goes on; returns when they are dropped.

    UnavailableError when a log is stopped, or the store of views does not answer: it may be asked for again.
    """
    for log in logs:
        platform.pipeline.check_open(log.tenant)
    dropped = [platform.pipeline.rebuild(log.tenant) for log in logs]
    if wait(dropped, _DROP_SECONDS_MAX).not_done:
        raise UnavailableError("could not rebuild: the views are not dropped yet", hint="see /health/projection")


def verify(platform: Platform, logs: Sequence[Log], *, level: Level | None) -> Run:
    """Begin to verify these logs. ConflictError while another verification lasts."""
    return platform.integrity.begin_run(logs, level=level)


def find_run(platform: Platform, number: int, *, by: Caller) -> Run:
    """A verification that was begun. MissingError also when it is about a log that the caller may not see."""
    check_may(by, "admin")
    run = platform.integrity.run(number)
    for tenant in run.tenants:
        check_may(by, "admin", tenant)
    return run


def brake(platform: Platform, kind: Kind, *, is_pulled: bool, reason: str, by: Caller, ip: str | None) -> None:
    """Pull or release a brake of the whole platform; written down before it is in force. Raises as `Brakes`."""
    check_may_all(by)
    change = platform.brakes.pull if is_pulled else platform.brakes.release
    change(kind, reason=reason, person=by.person, ip=ip)


def expectation(
    platform: Platform, expect: Mapping[str, int], *, own: Sequence[Prepared], by: Caller
) -> dict[str, int]:
    """What the operators' trail has to be found as, cut down to what is not published yet, which is all that is left
    to compare at the commit. For a thread: costs one query a resource.

    ConflictError when a resource has a newer published entry, other than the `own` events.
    """
    check_may(by, "read", OPERATIONS)
    size = platform.reader(OPERATIONS, by=by).size()
    ids = {event.id for event in own if event.id}
    for resource, known in expect.items():
        question = Question(resource=resource, limit=len(ids) + 1)
        for index, entry in platform.ask(question, by=by, tenant=OPERATIONS).events:
            if index > known and event_id(entry) not in ids:
                raise ConflictError(
                    f"could not record the act: {resource} has a newer entry, index {index}",
                    hint="read it, decide again, and expect that index",
                )
    return {resource: max(known, size - 1) for resource, known in expect.items()}


def choose_logs(platform: Platform, tenant: str | None, *, by: Caller) -> list[Log]:
    """The log that is named, or all that the caller may see; he has to be allowed to act on them."""
    check_may(by, "admin", tenant)
    if tenant is not None:
        platform.reader(tenant, by=by)
    return [log for log in platform.logs(by=by) if tenant in (None, log.tenant)]


def check_may_all(by: Caller) -> None:
    """ForbiddenError unless the key is of an administrator of every tenant: the act concerns them all."""
    check_may(by, "admin")
    if by.tenants:
        raise ForbiddenError(
            f"could not allow this: the key {by.key_id} of {by.person} is for some tenants, and this concerns all",
            hint="use a key for all tenants",
        )
