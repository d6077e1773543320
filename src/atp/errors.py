"""Every error of the platform, named by who must act next.

AtpError
├── RefusedError                     the caller changes the request            exit 2
│   ├── MalformedError      400      the bytes are not what the format says
│   ├── InvalidError        422      well formed, but against the schema
│   │   └── DeclaredError   422      a file that people write is wrong, in places that are named
│   ├── UnauthorizedError   401      nobody is known by that key
│   ├── ForbiddenError      403      known, and not allowed
│   └── TooLargeError       413      over a bound of `limits`
├── MissingError            404      nothing there                              exit 3
├── ConflictError           409      someone was first: reread, retry           exit 4
├── UnavailableError        503      the same call may work later               exit 5
│   └── RateLimitedError    429
└── TamperedError           500      stop, wake a person; never retry           exit 1

A message is one sentence: ``could not <verb> <thing>: <reason> (hint: <next move>)``.
Anything else that is raised is a bug (exit 70).
"""

from collections.abc import Sequence
from dataclasses import dataclass

EXIT_BUG = 70
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong with one event of a batch: where (0-based position, dotted field) and why."""

    position: int
    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a file that people write: where (lines and columns count from 1), why, what next."""

    file: str
    line: int
    column: int
    field: str
    reason: str
    hint: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.field}: {self.reason} (hint: {self.hint})"


class AtpError(Exception):
    """What every door can render: a stable `code`, an HTTP `status`, an `exit_code` and one sentence."""

    code = "error"
    status = 500
    exit_code = 1

    def __init__(self, sentence: str, *, hint: str | None = None, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(f"{sentence} (hint: {hint})" if hint else sentence)
        self.sentence = sentence
        """What happened, without the hint: for a sentence around it that has a hint of its own."""
        self.hint = hint
        self.errors = tuple(errors)


class RefusedError(AtpError):
    """The caller has to change the request."""

    code = "refused"
    status = 400
    exit_code = 2


class MalformedError(RefusedError):
    """The bytes are not what the format says."""

    code = "malformed"


class InvalidError(RefusedError):
    """Well formed, but against the schema; `errors` lists every fault that was found."""

    code = "invalid"
    status = 422


class DeclaredError(InvalidError):
    """A file that people write is wrong; `faults` has every place, in the order of the file."""

    def __init__(self, sentence: str, *, faults: Sequence[Fault]) -> None:
        super().__init__(sentence, hint="each place is named, with its next move")
        self.faults = tuple(faults)


class UnauthorizedError(RefusedError):
    """No key was given, or nobody is known by it."""

    code = "unauthorized"
    status = 401


class ForbiddenError(RefusedError):
    """The caller is known, and may not do this."""

    code = "forbidden"
    status = 403


class TooLargeError(RefusedError):
    """Over a bound of `limits`."""

    code = "too_large"
    status = 413


class MissingError(AtpError):
    """Nothing there, or nothing that the caller may see."""

    code = "missing"
    status = 404
    exit_code = 3


class ConflictError(AtpError):
    """Someone was first: read again, then decide."""

    code = "conflict"
    status = 409
    exit_code = 4


class UnavailableError(AtpError):
    """The same call may work later, unchanged; `retry_after_seconds` says when to try."""

    code = "unavailable"
    status = 503
    exit_code = 5

    def __init__(self, sentence: str, *, hint: str | None = None, retry_after_seconds: int = 1) -> None:
        super().__init__(sentence, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class RateLimitedError(UnavailableError):
    """This caller asked too often."""

    code = "rate_limited"
    status = 429


class TamperedError(AtpError):
    """Stored or received bytes contradict a signature or a hash: stop, wake a person, never retry."""

    code = "tampered"
    status = 500
    exit_code = 1
