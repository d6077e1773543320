"""Signing keys of the logs and of the installation, and the list of who may knock."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One issued key: only the SHA-256 of the secret is kept. `tenants` empty means every tenant.

    `scopes` are of `ingest`, `read`, `export`, `admin`; times are RFC 3339 UTC, `revoked_at` None while it is good.
    """

    id: str
    person: str
    scopes: tuple[str, ...]
    tenants: tuple[str, ...]
    secret_sha256: str
    created_at: str
    revoked_at: str | None = None


class KeyStore(Protocol):
    """Secrets at rest, readable by their owner alone. Safe to call from several threads."""

    def log_keys(self, tenant: str) -> list[str]:
        """The private signing keys of a log, `PRIVATE+KEY+…` each, the one to sign with first; two while a key
        change overlaps. MissingError when the log has none."""

    def put_log_keys(self, tenant: str, keys: Sequence[str]) -> None:
        """Replace the signing keys of a log, durably and atomically."""

    def evidence_key(self) -> str:
        """The private key that signs statements of this installation, `PRIVATE+KEY+…`. MissingError before the first
        `put_evidence_key`."""

    def put_evidence_key(self, key: str) -> None:
        """Replace that key, durably and atomically."""

    def api_keys(self) -> list[ApiKey]:
        """Every key that was ever issued."""

    def put_api_keys(self, keys: Sequence[ApiKey]) -> None:
        """Replace the list, durably and atomically."""
