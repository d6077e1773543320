"""The text encodings that C2SP formats share, each accepted in its one canonical spelling only."""

import re
from base64 import b64decode, b64encode

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


def format_base64(data: bytes) -> str:
    """RFC 4648 section 4: standard alphabet, padded."""
    return b64encode(data).decode("ascii")


def parse_base64(text: str) -> bytes | None:
    """The bytes, or None if the text is not exactly what `format_base64` makes of them."""
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        return None
    # Python ignores stray bits in the last character; two spellings of one value would be two files of one meaning.
    return data if format_base64(data) == text else None


def parse_decimal(text: str, *, most: int) -> int | None:
    """The integer from 0 to `most`, or None: ASCII digits, no sign, no leading zero."""
    number = int(text) if _DECIMAL.fullmatch(text) else None
    return number if number is not None and number <= most else None
