"""Statements in DSSE envelopes: signed as the specification says, and believed only under a trusted key."""

import base64
import json

import msgspec
import pytest

from atp.errors import MalformedError, TamperedError
from atp.merkle.dsse import is_payload_signed, open_envelope, pre_authentication, seal_payload, sign_payload
from atp.merkle.keys import ED25519, SigningKey, VerifierKey
from atp.ops.record.statement import PAYLOAD_TYPE, Statement, Subject, check_statement, sign_statement

KEY = SigningKey.from_seed(bytes(range(32)), name="example.org/evidence")
OTHER = SigningKey.from_seed(b"o" * 32, name="example.org/evidence")
STATEMENT = Statement(
    subject=(Subject("backup-7", {"sha256": "ab" * 32}),),
    predicate_type="https://example.org/drill/v1",
    predicate=msgspec.Raw(b'{"rto_seconds":12.5}'),
)
DIGEST = b"ab" * 32
GOLDEN_PAYLOAD = (
    b'{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"backup-7","digest":{"sha256":"%b"}}],'
    b'"predicateType":"https://example.org/drill/v1","predicate":{"rto_seconds":12.5}}' % DIGEST
)
GOLDEN_SIGNATURE = "FgJL6cOyiF0CUKxc2MR5QruUWw8AnoLiNyR3P2kiqW5C7Z/FpgPoiEGj1XgpTkCEFBZ7B1vLoQ/eW5fFGl4SDA=="
"""Made once from the text of the specification with a bare Ed25519 key of the seed 00 01 … 1f."""


@pytest.mark.parametrize(
    ("kind", "payload", "encoded"),
    [
        ("http://example.com/HelloWorld", b"hello world", b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"),
        ("", b"", b"DSSEv1 0  0 "),
        ("a/ä", b"\x00\n", b"DSSEv1 4 a/\xc3\xa4 2 \x00\n"),
    ],
)
def test_what_is_signed_is_the_encoding_of_the_specification(kind: str, payload: bytes, encoded: bytes) -> None:
    assert pre_authentication(kind, payload) == encoded


def test_no_other_type_and_payload_have_the_same_encoding() -> None:
    assert pre_authentication("a", b"b 1 c") != pre_authentication("a 5 b", b"c")


def test_an_envelope_is_written_as_ever() -> None:
    envelope = json.loads(sign_statement(STATEMENT, KEY))
    assert base64.b64decode(envelope["payload"]) == GOLDEN_PAYLOAD
    assert envelope == {
        "payload": base64.b64encode(GOLDEN_PAYLOAD).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"keyid": "113fdc51", "sig": GOLDEN_SIGNATURE}],
    }


def test_a_statement_is_read_back_under_any_trusted_key() -> None:
    for keys in ([KEY], [KEY, OTHER], [OTHER, KEY]):
        envelope = sign_statement(STATEMENT, *keys)
        assert check_statement(envelope, trusted_keys=[KEY.public()]) == STATEMENT
    opened = open_envelope(envelope, payload_type=PAYLOAD_TYPE, trusted=[KEY.public(), OTHER.public()])
    assert opened.signers == (KEY.public(), OTHER.public())


def test_a_url_safe_alphabet_and_unknown_members_are_read() -> None:
    envelope = json.loads(seal_payload(PAYLOAD_TYPE, GOLDEN_PAYLOAD, KEY)) | {"unknown": 1}
    for part, name in ((envelope, "payload"), (envelope["signatures"][0], "sig")):
        part[name] = part[name].replace("+", "-").replace("/", "_")
    envelope["signatures"][0].pop("keyid")
    assert check_statement(json.dumps(envelope).encode(), trusted_keys=[KEY.public()]) == STATEMENT


def test_what_no_trusted_key_signed_is_not_believed() -> None:
    envelope = json.loads(sign_statement(STATEMENT, KEY))
    lied = {**envelope, "signatures": [{**envelope["signatures"][0], "keyid": OTHER.public().key_id.hex()}]}
    for trusted in ([], [OTHER.public()]):
        for document in (envelope, lied):
            with pytest.raises(TamperedError, match="no trusted key"):
                check_statement(json.dumps(document).encode(), trusted_keys=trusted)
    changed = {**envelope, "payload": base64.b64encode(GOLDEN_PAYLOAD.replace(b"12.5", b"1.25")).decode()}
    with pytest.raises(TamperedError):
        check_statement(json.dumps(changed).encode(), trusted_keys=[KEY.public()])


def test_a_signature_of_another_type_is_not_one() -> None:
    value = sign_payload("text/plain", GOLDEN_PAYLOAD, KEY)
    assert is_payload_signed("text/plain", GOLDEN_PAYLOAD, value=value, key=KEY.public())
    assert not is_payload_signed(PAYLOAD_TYPE, GOLDEN_PAYLOAD, value=value, key=KEY.public())
    witness = KEY.public(kind=0x04)
    assert isinstance(witness, VerifierKey) and witness.kind != ED25519
    assert not is_payload_signed("text/plain", GOLDEN_PAYLOAD, value=value, key=witness)


@pytest.mark.parametrize(
    "envelope",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b"{}",
        b'{"payload":"","payloadType":"x","signatures":[]}',
        b'{"payload":"","payloadType":"x","signatures":[1]}',
        b'{"payload":"","payloadType":1,"signatures":[{"sig":""}]}',
        b'{"payload":"*","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":""}]}',
        b'{"payload":"","payloadType":"text/plain","signatures":[{"sig":""}]}',
        b'{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":7}]}',
        b" " * 1_000_001,
    ],
)
def test_what_is_no_envelope_is_malformed(envelope: bytes) -> None:
    with pytest.raises(MalformedError, match=r"^could not read the envelope"):
        check_statement(envelope, trusted_keys=[KEY.public()])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Statement/v1", b"Statement/v0.1"),
        (b'"subject":[{', b'"subject":[],"x":[{'),
        (b'{"sha256":"' + b"ab" * 32 + b'"}', b"{}"),
        (b"ab" * 32, b"AB" * 32),
        (b"https://example.org/drill/v1", b""),
        (b'{"rto_seconds":12.5}', b"[12.5]"),
        (b"}", b""),
    ],
)
def test_what_is_no_statement_is_malformed_though_it_is_signed(old: bytes, new: bytes) -> None:
    assert old in GOLDEN_PAYLOAD
    envelope = seal_payload(PAYLOAD_TYPE, GOLDEN_PAYLOAD.replace(old, new), KEY)
    with pytest.raises(MalformedError, match=r"^could not read the statement"):
        check_statement(envelope, trusted_keys=[KEY.public()])
