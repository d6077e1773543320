"""What never goes into a log: values that are secrets by their field's name, or by their form."""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise

from atp.errors import RefusedError

LEFT_OUT = "(left out: it looked like it holds a secret)"
_WORDS = frozenset(
    {"password", "passwords", "passwd", "pwd", "passphrase", "passcode", "secret", "secrets", "token", "tokens", "otp"}
) | frozenset({"credential", "credentials", "authorization", "cookie", "cookies", "bearer", "apikey"})
_PAIRS = frozenset({("private", "key"), ("api", "key"), ("access", "key"), ("secret", "key"), ("signing", "key")})
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_FORMS = re.compile(
    r"PRIVATE\+KEY\+|atp_[0-9a-f]{12}_[0-9a-f]{64}|-----BEGIN [A-Z ]*PRIVATE KEY-----|AGE-SECRET-KEY-1"
    r"|\bAKIA[0-9A-Z]{16}\b|\b[Bb]earer [A-Za-z0-9._~+/-]{16,}|[a-z][a-z0-9+.-]*://[^\s/:@]*:[^\s/@]+@"
)


def check_no_secrets(data: object) -> None:
    """RefusedError naming the field whose value must not be written down, without the value.

    A text under a name such as `password`, `api_key` or `sessionToken` is refused whatever it is; numbers, flags and
    nothing are let through there (`token_count`). A text in the form of a key, a bearer token or a URL with a password
    is refused under any name. Costs one pass.
    """
    for path in _secrets(data, "", is_named=False):
        raise RefusedError(
            f"could not write the act down: {path or 'a text'} looks like a secret", hint="name it, or leave it out"
        )


def without_secrets(text: str) -> str:
    """The text, or `LEFT_OUT` in its place: for words that have to be told, such as why a step failed."""
    return LEFT_OUT if _FORMS.search(text) else text


def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds a secret."""
    words = [word.lower() for word in _PARTS.findall(name)]
    return not _WORDS.isdisjoint(words) or not _PAIRS.isdisjoint(pairwise(words))


def _secrets(value: object, path: str, *, is_named: bool) -> Iterator[str]:
    if isinstance(value, str) and (_FORMS.search(value) or (is_named and value)):
        yield path
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if _FORMS.search(str(name)):
                yield f"a name in {path or 'it'}"
            yield from _secrets(inner, f"{path}.{name}".lstrip("."), is_named=is_named or is_secret_name(str(name)))
    elif isinstance(value, list | tuple | set | frozenset):
        for at, inner in enumerate(value):
            yield from _secrets(inner, f"{path}[{at}]", is_named=is_named)
    elif isinstance(value, bytes) and (is_named or _FORMS.search(value.decode("latin-1"))):
        yield path
