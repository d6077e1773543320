"""How the vectors spell hashes."""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any


def read(shared: Path, name: str) -> Any:
    """The JSON of one file of vectors."""
    return json.loads((shared / "vectors" / name).read_text("utf-8"))


def hashes(encoded: list[str] | None) -> list[bytes]:
    """A list of base64 hashes; null is the empty one."""
    return [b64decode(text) for text in encoded or ()]
