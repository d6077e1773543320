"""Evidence of a mismatch: the verifier's whole report and the signed checkpoint, kept beside the data it is about."""

from pathlib import Path
from typing import Any

import msgspec

from atp.durable import replace_file
from atp.errors import UnavailableError

FOLDER = "evidence"


def keep_evidence(data: Path, name: str, document: dict[str, Any]) -> Path:
    """Write `document` once, durably, to DATA/evidence/NAME.json (0600); a file that is there already stays as it is.

    UnavailableError when the disk does not take it.
    """
    path = data / FOLDER / f"{name}.json"
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if not path.exists():
            replace_file(path, msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")
    except OSError as error:
        raise UnavailableError(f"could not keep evidence in {path}: {error.strerror}", hint="free space") from None
    return path
