"""What a tenant may be called, and the origin that its log keeps for ever."""

import re

from atp.errors import InvalidError

OPERATIONS = "operations"
DEFAULT = "default"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:_/-]{0,198}[A-Za-z0-9])?")


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


def origin_of(tenant: str, *, installation: str) -> str:
    """The origin of a tenant's log (C2SP tlog-checkpoint): fixed at creation, never made of a host or port."""
    return f"{installation}/{tenant}"
