"""The id of an event from a foreign record: the source's own, or a digest that makes importing twice record once.

A native id that is made of `A-Z a-z 0-9 . _ : @ + = ~ / -` and has 1 to 200 characters is the event's id as it stands.
One that does not fit is replaced by its digest: equal ids stay equal. A record without usable id gets the digest of its
tokens (white space aside) and its occurrence number among equal records of the file. So a file that is imported twice,
renamed or sorted anew gives the same ids, and true repeats stay apart.

A digest is the first 128 bits of SHA-256 as 32 hex digits. An accidental collision among 10^12 records has a
probability of 10^-15; a forged one costs 2^64 hashes and is refused as a conflict, it replaces nothing.
"""

import hashlib
import re

from atp.errors import TooLargeError

OCCURRENCES_MAX = 16_000_000  # distinct records of one file: about 2.4 GB of counters

_ID = re.compile(r"[A-Za-z0-9._:@+=~/\-]{1,200}")


class Occurrences:
    """Tells the equal records of one file apart: keep one per file, from its first record to its last.

    Costs about 150 bytes for each distinct record of a source without usable ids, nothing for the others.
    """

    def __init__(self) -> None:
        self._counts: dict[bytes, int] = {}

    def next_id(self, tokens: bytes) -> str:
        """The id of this occurrence of a record. TooLargeError beyond OCCURRENCES_MAX distinct records."""
        record = hashlib.sha256(tokens).digest()
        number = self._counts.get(record, 0)
        if not number and len(self._counts) >= OCCURRENCES_MAX:
            raise TooLargeError(
                f"could not tell repeats apart: more than {OCCURRENCES_MAX:,} distinct records of the file have no id",
                hint="split the file",
            )
        self._counts[record] = number + 1
        return _digest(b"record\0%b%d" % (record, number))


def native_id(text: str) -> str:
    """The id for a source's own id: as it stands when its characters allow it, else its digest."""
    return text if _ID.fullmatch(text) else _digest(b"id\0" + text.encode())


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:32]
