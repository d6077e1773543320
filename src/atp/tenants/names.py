"""What a tenant may be called, and the origin of its log."""

import re

from atp.errors import InvalidError

OPERATIONS = "operations"
DEFAULT = "default"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:_/-]{0,198}[A-Za-z0-9])?")

_NUMBER = re.compile(r"[2-9]|[1-9][0-9]{1,5}")


def check_tenant(name: str) -> None:
    """InvalidError unless the name can stand in a path, an origin and a host name's place."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise InvalidError(
            f"could not use {name!r} as a tenant: it has to be 1 to 63 characters of a-z 0-9 . _ - and begin and end "
            "with a letter or digit",
            hint="choose another name",
        )


def check_installation(name: str) -> None:
    """InvalidError unless the name can begin an origin (a scheme-less URL without spaces and plus signs)."""
    if not _DOMAIN.fullmatch(name):
        raise InvalidError(
            f"could not use {name!r} as the installation's name: it has to be like a host name", hint="example.com"
        )


def origin_of(tenant: str, *, installation: str, generation: int = 1) -> str:
    """The origin of a tenant's log (C2SP tlog-checkpoint), never made of a host or port. It is fixed at creation, and
    changes by a restore alone: each is another generation, from the second one on with its number behind the name."""
    return f"{installation}/{tenant}" if generation == 1 else f"{installation}/{tenant}/{generation}"


def generation_of(origin: str, *, tenant: str, installation: str) -> int:
    """Which generation of a tenant's log has this origin; 0 when none has."""
    first = origin_of(tenant, installation=installation)
    digits = origin.removeprefix(f"{first}/")
    if origin == first:
        return 1
    return int(digits) if origin.startswith(f"{first}/") and _NUMBER.fullmatch(digits) else 0
