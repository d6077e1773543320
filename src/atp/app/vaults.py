"""Opening the repositories that an estate file declares: the address to a keeper, the reference to its key."""

import os
import subprocess
from pathlib import Path

from atp.adapters.directory import DirectoryRepository
from atp.adapters.system_clock import SystemClock
from atp.errors import ForbiddenError, InvalidError, MissingError, UnavailableError
from atp.ops.declaration.kinds import Reference
from atp.ops.estate.declare import values
from atp.ports.repository import Repository

_COMMAND_SECONDS = 30
_SECRET_BYTES_MAX = 4_096
_REGION = "us-east-1"


def open_repository(name: str, declared: values.Repository) -> Repository:
    """The keeper of a declared repository. UnavailableError when it does not answer, ForbiddenError when it does not
    let us in or has no locks, InvalidError when its key cannot be used."""
    if declared.kind == "directory":
        return DirectoryRepository(Path(declared.place), clock=SystemClock())
    try:
        from atp.adapters.bucket import BucketRepository, Credentials
    except ImportError:
        raise UnavailableError(
            f"could not open repository {name!r}: boto3 is not installed",
            hint="pip install 'audit-trail-platform[s3]'",
        ) from None
    bucket, _, prefix = declared.place.removeprefix("s3://").strip("/").partition("/")
    keys = None
    if declared.credentials is not None:
        access_key, found, secret_key = read_secret(declared.credentials, f"repository {name!r}").partition(":")
        if not found:
            raise InvalidError(
                f"could not open repository {name!r}: its credentials are not of the form ID:SECRET",
                hint="one line: ACCESS_KEY_ID:SECRET_ACCESS_KEY",
            )
        keys = Credentials(access_key, secret_key)
    return BucketRepository(
        url=declared.endpoint,
        bucket=bucket,
        credentials=keys,
        clock=SystemClock(),
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or _REGION,
        prefix=f"{prefix}/" if prefix else "",
    )


def read_secret(reference: Reference, what: str) -> str:
    """The secret that a reference means; no error ever shows it. MissingError when there is none."""
    if reference.env is not None:
        if not (value := os.environ.get(reference.env, "").strip()):
            raise MissingError(f"could not open {what}: {reference.env} is not set in the environment")
        return value
    if reference.file is not None:
        return _of_file(Path(reference.file), what)
    return _of_command(reference.command or (), what)


def _of_file(path: Path, what: str) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_SECRET_BYTES_MAX).decode("ascii").strip()
    except FileNotFoundError:
        raise MissingError(f"could not open {what}: {path} does not exist") from None
    except UnicodeDecodeError:
        raise InvalidError(f"could not open {what}: {path} does not hold one line of text") from None
    except OSError as error:
        raise ForbiddenError(f"could not open {what}: {path}: {error.strerror}") from None


def _of_command(command: tuple[str, ...], what: str) -> str:
    """What a program prints; what it says besides is not shown, since it may be the secret."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=_COMMAND_SECONDS, check=True)
        return done.stdout[:_SECRET_BYTES_MAX].decode("ascii").strip()
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError) as error:
        reason = type(error).__name__
        raise UnavailableError(
            f"could not open {what}: {command[0]} gave no key ({reason})", hint="run it by hand"
        ) from None
