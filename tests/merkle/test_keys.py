"""Keys in text form: what is trusted, what never is, and that a secret stays one."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.errors import MalformedError
from atp.merkle.encodings import format_base64, parse_base64, parse_decimal
from atp.merkle.keys import COSIGNATURE, ED25519, SigningKey, VerifierKey, parse_signing_key, parse_vkey

SEEDS = st.binary(min_size=32, max_size=32)
NAMES = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="+"), min_size=1, max_size=20)
KEY = SigningKey.from_seed(bytes(32), name="log.example/tenant-7")


@given(SEEDS, NAMES, st.sampled_from([ED25519, COSIGNATURE]))
def test_a_vkey_gives_back_the_key(seed: bytes, name: str, kind: int) -> None:
    key = SigningKey.from_seed(seed, name=name).public(kind=kind)
    assert parse_vkey(key.vkey) == key


@given(SEEDS, NAMES)
def test_a_private_form_gives_back_the_key(seed: bytes, name: str) -> None:
    secret = SigningKey.from_seed(seed, name=name).secret()
    assert parse_signing_key(secret).secret() == secret


def test_no_secret_is_printed() -> None:
    secret = KEY.secret().rpartition("+")[2]
    assert secret not in repr(KEY)
    damaged = KEY.secret().replace("tenant-7", "tenant-8")
    with pytest.raises(MalformedError) as refused:
        parse_signing_key(damaged)
    assert secret not in str(refused.value)


@given(st.integers(0, 200), st.integers(1, 255))
def test_a_vkey_with_one_changed_character_is_refused(at: int, change: int) -> None:
    vkey = KEY.public().vkey
    at %= len(vkey)
    changed = vkey[:at] + chr(ord(vkey[at]) ^ change) + vkey[at + 1 :]
    with pytest.raises(MalformedError):
        parse_vkey(changed)


@given(st.text() | st.from_regex(r"(PRIVATE\+KEY\+)?[a-z]{1,3}\+[0-9a-f]{8}\+[A-Za-z0-9+/]{40,44}=?", fullmatch=True))
def test_any_key_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_vkey, parse_signing_key):
        with pytest.raises(MalformedError):
            parse(text)


@given(st.integers(0, 255), st.binary(max_size=120))
def test_any_public_key_is_trusted_or_refused(kind: int, public: bytes) -> None:
    with suppress(MalformedError):
        assert parse_vkey(VerifierKey("a", kind, public).vkey).public == public


@pytest.mark.parametrize("name", ["", " ", "a b", "a+b", "a\n", "a\u00a0b", "a\u2028", "\x01", "\ud800", "x" * 1_001])
def test_a_name_that_breaks_a_signature_line_is_refused(name: str) -> None:
    with pytest.raises(MalformedError, match="could not use the key name"):
        SigningKey.from_seed(bytes(32), name=name)


def test_a_seed_has_32_bytes() -> None:
    with pytest.raises(MalformedError, match="32 bytes"):
        SigningKey.from_seed(bytes(31), name="a")


def test_a_private_key_of_another_kind_is_refused() -> None:
    with pytest.raises(MalformedError, match="not an Ed25519 key"):
        parse_signing_key(f"PRIVATE+KEY+a+00000000+{format_base64(bytes([COSIGNATURE]) + bytes(32))}")


def test_log_and_witness_of_one_secret_have_different_ids() -> None:
    assert KEY.public().key_id != KEY.public(kind=COSIGNATURE).key_id


@given(st.binary(max_size=50))
def test_base64_has_one_spelling(data: bytes) -> None:
    assert parse_base64(format_base64(data)) == data


@pytest.mark.parametrize("text", ["A", "AA", "AA=", "AB==", "AA==\n", " AA==", "AA==AA==", "A-==", "é", "=", "AAA=A"])
def test_another_spelling_is_no_base64(text: str) -> None:
    assert parse_base64(text) is None


def test_a_decimal_has_one_spelling() -> None:
    assert [parse_decimal(text, most=10) for text in ("0", "7", "10")] == [0, 7, 10]
    for text in ("", "-1", "+1", "01", "00", " 1", "1 ", "1\n", "1_0", "0x1", "11", "٣", "9" * 5_000):
        assert parse_decimal(text, most=10) is None
