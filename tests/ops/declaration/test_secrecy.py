"""Literal secrets are known by their shape or their key, and what is none passes."""

import pytest

from atp.ops.declaration.secrecy import is_secret_name, secret_in

# Written in two halves, so that nobody who looks for secrets finds some here.
SECRETS = [
    "postgresql://backup:" + "hunter2@db/bookings",
    "https://user:" + "p/ss@word@host/path",
    "redis://:" + "hunter2@cache",
    "host=db password" + "=hunter2",
    "postgresql://db/x?password" + "=hunter2",
    "-----BEGIN RSA " + "PRIVATE KEY-----",
    "-----BEGIN " + "PRIVATE KEY-----\nMIIE",
    "AGE-SECRET-" + "KEY-1QQQQ",
    "AKIA" + "ABCDEFGHIJKLMNOP",
    "ghp_" + "a" * 36,
    "glpat-" + "a" * 20,
    "xoxb-" + "1234567890-abc",
    "eyJhbGciOiJIUzI1" + ".eyJzdWIiOiIxMjM0.sig",
]
INNOCENT = [
    "postgresql://backup@db/bookings",
    "https://tickets.example.org:8443/health",
    "s3://ferry-vault/production",
    "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
    "psql password=$PASSWORD",
    "Where the password lies, the safe tells.",
    "-----BEGIN PUBLIC KEY-----",
    "mailbox data-protection@example.org",
    "select count(*) from token where kind = 'AKIA'",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_known_by_its_shape(text: str) -> None:
    assert secret_in(text)


@pytest.mark.parametrize("text", INNOCENT)
def test_what_is_none_passes(text: str) -> None:
    assert secret_in(text) is None


def test_keys_that_hold_secrets_are_known() -> None:
    assert all(
        map(is_secret_name, ["password", "db_password", "clientSecret"[6:], "api-key", "access_key", "API_TOKEN"])
    )
    assert not any(map(is_secret_name, ["credentials", "passwords_policy", "tokens", "secretary", "key_at"]))
