"""Literal secrets, told by their shape or by the name of their key, so that they are refused and never shown."""

import re

_NAMES = re.compile(
    r"(^|[_\-. ])(password|passwd|pwd|passphrase|secret|token|api_?-?key|access_?-?key|private_?-?key)$", re.IGNORECASE
)
_SHAPES = (
    ("a password in an address", re.compile(r"://[^\s@/]*:[^\s@]+@")),
    ("a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|AGE-SECRET-KEY-1|PuTTY-User-Key-File", re.IGNORECASE)),
    ("an access key", re.compile(r"(?<![A-Z0-9])A[KS]IA[A-Z0-9]{16}(?![A-Z0-9])")),
    (
        "a token",
        re.compile(
            r"(?<!\w)(gh[pousr]_\w{20}|github_pat_\w{20}|glpat-[\w-]{20}|xox[abprs]-[\w-]{10}|sk_live_\w{10}"
            r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.|atp_\w{20})"
        ),
    ),
    # `password=$NAME` hands a reference on, as a command may.
    (
        "a password",
        re.compile(r"(password|passwd|pwd|passphrase|secret|token|api_?key|access_?key)\s*=\s*[^\s$]", re.IGNORECASE),
    ),
)


def is_secret_name(key: str) -> bool:
    """Whether a key of this name holds a secret, whatever its value looks like."""
    return _NAMES.search(key) is not None


def secret_in(text: str) -> str | None:
    """What kind of secret stands in the text, or None. Linear but for addresses, whose square is bounded."""
    return next((kind for kind, shape in _SHAPES if shape.search(text)), None)
