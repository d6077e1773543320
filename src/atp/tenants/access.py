"""Keys that knock and what they may do: one place decides, doors only translate.

A key is `atp_<id>_<secret>`; only the SHA-256 of the secret is kept (it has 256 random bits, so no slow hash is due).
Each key belongs to a person; `root` is nobody: it may do everything and approves nothing.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

from atp.errors import ForbiddenError, InvalidError, MissingError, UnauthorizedError
from atp.ports.key_store import ApiKey

SCOPES = ("ingest", "read", "export", "admin")
ROOT = "root"
PLATFORM = "atp"
"""Who delivers what the platform itself writes down: no person may be called so."""
_KEY = re.compile(r"atp_([0-9a-f]{12})_([0-9a-f]{64})")
_PERSON = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a person through one key. An empty `tenants` means all of them."""

    person: str
    key_id: str
    scopes: tuple[str, ...]
    tenants: tuple[str, ...] = ()

    def sees(self, tenant: str) -> bool:
        """Whether this tenant exists for the caller."""
        return not self.tenants or tenant in self.tenants

    def covers(self, tenants: Sequence[str]) -> bool:
        """Whether a key for these tenants (none: for all) opens nothing that is closed to the caller."""
        return not self.tenants or (bool(tenants) and set(tenants) <= set(self.tenants))


ANYONE = Caller("nobody", "", ())
"""Who comes without a key."""


def issue_key(
    *, person: str, scopes: Sequence[str], tenants: Sequence[str], created_at: str, random: bytes
) -> tuple[ApiKey, str]:
    """A new key and its text, which is shown once. `random` is 38 unpredictable bytes. InvalidError on bad names."""
    if not _PERSON.fullmatch(person) or person == PLATFORM:
        raise InvalidError(
            f"could not issue a key: person {person!r} is not a name", hint="letters, digits and . _ @ + -"
        )
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        named = f"scope {unknown[0]!r} is unknown" if unknown else "it has no scope"
        raise InvalidError(f"could not issue a key: {named}", hint=f"scopes are {', '.join(SCOPES)}")
    key_id, secret = random[:6].hex(), random[6:38].hex()
    key = ApiKey(key_id, person, tuple(scopes), tuple(tenants), _digest(secret), created_at)
    return key, f"atp_{key_id}_{secret}"


def authenticate(text: str, keys: Sequence[ApiKey]) -> Caller:
    """Who holds this key. UnauthorizedError when nobody does, without saying why. Compares in constant time."""
    match = _KEY.fullmatch(text.strip())
    presented = _digest(match[2]) if match else ""
    for key in keys:
        if match and key.id == match[1] and hmac.compare_digest(presented, key.secret_sha256) and not key.revoked_at:
            return Caller(key.person, key.id, key.scopes, key.tenants)
    raise _unknown_key()


def holder_of(key_id: str, keys: Sequence[ApiKey]) -> Caller:
    """Who holds the key of this id. UnauthorizedError when it is revoked, or there is none."""
    for key in keys:
        if key.id == key_id and not key.revoked_at:
            return Caller(key.person, key.id, key.scopes, key.tenants)
    raise _unknown_key()


def check_may(caller: Caller, scope: str, tenant: str | None = None) -> None:
    """Refuse unless the caller may do this, to this tenant.

    MissingError for a tenant that the caller may not see, as if it were absent; ForbiddenError for a missing scope.
    """
    if caller is ANYONE:
        raise UnauthorizedError("could not let you in: no key was given", hint="send Authorization: Bearer KEY")
    if tenant is not None and not caller.sees(tenant):
        raise missing_tenant(tenant)
    if scope not in caller.scopes and "admin" not in caller.scopes:
        raise ForbiddenError(
            f"could not allow this: the key {caller.key_id} of {caller.person} lacks the scope {scope!r}",
            hint="ask for a key that has it",
        )


def missing_tenant(tenant: str) -> MissingError:
    """What everybody is told of a tenant that is absent or not theirs."""
    return MissingError(f"could not find the tenant {tenant!r}", hint="atp tenant list")


def _unknown_key() -> UnauthorizedError:
    return UnauthorizedError(
        "could not let you in: the key is unknown or revoked", hint="send Authorization: Bearer KEY"
    )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
