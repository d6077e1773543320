"""A stream compressed with zstd (RFC 8878) and encrypted with age (age-encryption.org/v1), and back.

age says whom only private keys elsewhere can open it for, and not who wrote it: whoever knows the recipients can make
such a stream, so what comes out of one is checked, never trusted.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn, TypeAlias

import pyrage

from atp.errors import AtpError, InvalidError, MalformedError, TamperedError, UnauthorizedError
from atp.ops.backups.format.beside import beside
from atp.ops.backups.format.ring import Reading
from atp.ops.backups.format.stream import Plain
from atp.ports.repository import Sink

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Recipient: TypeAlias = Any  # pyrage has no types: x25519.Recipient or ssh.Recipient
Identity: TypeAlias = Any
LEVEL = 3
ZSTD_VERSION = zstd.zstd_version
_CHUNK_BYTES = 1 << 20
_GATHERED = 16  # pieces of age's, of 8 KiB
_WORKERS = min(4, os.cpu_count() or 1)
"""Threads that compress beside the one that encrypts."""
_JOB_BYTES = 1 << 20
"""What each of them takes at once: with more, the one before them and the one behind them wait for each other."""
_CUT_SHORT = "could not decrypt the backup: it ends before its end, or its bytes are not what was encrypted"
_WORDS_OF_AGE = ("decrypt", "age file is truncated")
_BEHIND = "could not read the backup: something stands behind its end"


def parse_recipients(texts: Sequence[str]) -> list[Recipient]:
    """The public keys: `age1…` or `ssh-…`. InvalidError when there is none or one is no key."""
    if not texts:
        raise InvalidError("could not encrypt: no recipient is named", hint="atp backup key -o KEY.txt makes one")
    return [_parse_recipient(text) for text in texts]


def parse_identities(text: str) -> list[Identity]:
    """The private keys of an identity file as `age-keygen` writes it, or an SSH key. MalformedError when it is none."""
    if text.startswith("-----BEGIN"):
        return [_parse(lambda: pyrage.ssh.Identity.from_buffer(text.encode()))]
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise MalformedError("could not read the identity file: it holds no key")
    return [_parse(partial(pyrage.x25519.Identity.from_str, line)) for line in lines]


def draw_identity() -> tuple[str, str]:
    """A new private key and its recipient, as texts."""
    identity = pyrage.x25519.Identity.generate()
    return str(identity), str(identity.to_public())


def seal(chunks: Iterable[bytes], *, recipients: Sequence[Recipient], into: Sink) -> None:
    """Compress and encrypt a stream, in bounded memory. What `chunks` or `into` raise goes through.

    `chunks` is drawn by another thread, a little ahead.
    """

    def close(source: Reading, target: Sink) -> None:
        pieces = iter(source.read_some, b"")
        sink = _Sealed(target)
        pyrage.encrypt_io(_Source(_compressed(pieces)), sink, list(recipients))
        if sink.fault is not None:
            raise sink.fault

    with beside(close, chunks, what="encrypt the backup") as sealed:
        while data := sealed.read(_CHUNK_BYTES):
            into.write(data)


@contextmanager
def unsealed(chunks: Iterator[bytes], *, identities: Sequence[Identity]) -> Iterator[Plain]:
    """The plain stream, to be read to its end: only then is it known that nothing of it was changed or is missing.

    UnauthorizedError when no identity fits, TamperedError when it is damaged; what `chunks` raises goes through. All of
    that may come after bytes that were right until then, and from the end of the block. `chunks` is drawn by another
    thread.
    """

    def open_(source: Reading, target: Sink) -> None:
        _open(source, target, identities)

    with beside(open_, chunks, what="decrypt the backup") as plain:
        yield plain
        if plain.read(1):
            raise TamperedError("could not read the backup: it holds more than it should")


def unseal(chunks: Iterable[bytes], *, identities: Sequence[Identity], into: Sink) -> None:
    """Decrypt a small stream without a process of its own, which costs more than its bytes. Raises as `unsealed` does,
    and what `into` raises; what it took until then is not to be used."""
    source = _Source(chunks)
    try:
        _open(source, into, identities)
    except BaseException:
        if source.fault is not None:
            raise source.fault from None
        raise


def _open(source: "Reading | _Source", target: Sink, identities: Sequence[Identity]) -> None:
    plain = _Decompressing(target)
    try:
        pyrage.decrypt_io(source, plain, list(identities))
        plain.check_end()
    except Exception as error:
        _raise_cause(plain.fault or error)
    if source.read(1):
        raise TamperedError(_BEHIND)


def _raise_cause(cause: BaseException) -> NoReturn:
    """In the platform's words."""
    if isinstance(cause, pyrage.DecryptError) and "key" in str(cause).lower():
        raise UnauthorizedError(
            "could not decrypt the backup: none of the keys in the identity file is one of its recipients",
            hint="its manifest names the recipients",
        ) from None
    if isinstance(cause, AtpError):
        raise cause
    is_of_age = any(word in str(cause) for word in _WORDS_OF_AGE)  # which raises OSError for what it finds, too
    if isinstance(cause, pyrage.DecryptError | zstd.ZstdError) or is_of_age:
        raise TamperedError(_CUT_SHORT) from None
    raise cause


def _parse_recipient(text: str) -> Recipient:
    kind = pyrage.ssh if text.startswith("ssh-") else pyrage.x25519
    try:
        return kind.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        raise InvalidError(f"could not encrypt to {text[:80]!r}: it is no recipient of age: {error}") from None


def _parse(read: Callable[[], Identity]) -> Identity:
    try:
        return read()
    except pyrage.IdentityError:
        raise MalformedError(
            "could not read the identity file: a line is no private key of age", hint="it begins with AGE-SECRET-KEY-1"
        ) from None


def _compressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    parameter = zstd.CompressionParameter
    options: dict[int, int] = {
        parameter.compression_level: LEVEL,
        parameter.checksum_flag: 1,
        parameter.nb_workers: _WORKERS,
        parameter.job_size: _JOB_BYTES,
    }
    packer = zstd.ZstdCompressor(options=options)
    for chunk in chunks:
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()


class _Source:
    """What age reads from."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")
        self.fault: BaseException | None = None

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end. Age turns what is raised into one of its own: `fault` keeps it."""
        while not self._rest:
            try:
                chunk = next(self._chunks, None)
            except BaseException as error:
                self.fault = error
                raise
            if chunk is None:
                return b""
            self._rest = memoryview(chunk)
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)


class _Sealed:
    """What age writes to."""

    def __init__(self, into: Sink) -> None:
        self._into = into
        self.fault: BaseException | None = None

    def write(self, data: bytes) -> int:
        """Take all. Age writes its last buffer when it is dropped, and forgets what that raised: `fault` does not."""
        try:
            self._into.write(data)
        except BaseException as error:
            self.fault = error
            raise
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""


class _Decompressing:
    """What age writes to when it decrypts: one frame of zstd, whose content is passed on in chunks."""

    def __init__(self, into: Sink) -> None:
        self._into = into
        self._packer = zstd.ZstdDecompressor()
        self._gathered = list[bytes]()
        self.fault: BaseException | None = None

    def write(self, data: bytes) -> int:
        """Take all. Age comes with little at once, and each piece that is unpacked costs the same."""
        self._gathered.append(data)
        if len(self._gathered) == _GATHERED:
            self._unpack()
        return len(data)

    def flush(self) -> None:
        """What is held back is unpacked at the end."""

    def check_end(self) -> None:
        """TamperedError unless the frame is whole, its checksum compared. Raises what age passed over."""
        if self.fault is not None:
            raise self.fault
        self._unpack()
        if not self._packer.eof:
            raise TamperedError(_CUT_SHORT)

    def _unpack(self) -> None:
        data, self._gathered = b"".join(self._gathered), []
        try:
            self._take(data)
        except BaseException as error:  # age turns it into one of its own
            self.fault = error
            raise

    def _take(self, data: bytes) -> None:
        packer = self._packer
        while data or not (packer.needs_input or packer.eof):
            if packer.eof:
                raise TamperedError(_BEHIND)
            if plain := packer.decompress(data, _CHUNK_BYTES):
                self._into.write(plain)
            data = packer.unused_data
