"""Who signs a statement: the installation with its evidence key when its server answers, else this machine."""

from collections.abc import Callable

import msgspec

from atp.app.machine import open_spool
from atp.cli.server import find_key
from atp.cli.vault import Desk
from atp.client import Client
from atp.errors import AtpError, MalformedError, TamperedError
from atp.merkle.keys import parse_vkey
from atp.ops.record.statement import Sealed, Statement, check_statement, encode_statement

_PATH = "/v1/statements"
_WHOSE = "the evidence key of the installation, as the operators' log names it"


class _Answer(msgspec.Struct):
    envelope: msgspec.Raw
    vkey: str


def signer(desk: Desk) -> Callable[[Statement], Sealed]:
    """What signs for a command. That the server does not sign, for whatever reason, is said, and stands in `whose`."""
    key, spool = find_key(desk.key_file, desk.output), open_spool(desk.url, tell=desk.output.note)

    def sign(statement: Statement) -> Sealed:
        if key is not None:
            try:
                with Client(desk.url, key=key, tries=1) as client:
                    return _signed(client, statement)
            except AtpError as error:
                desk.output.note(f"note: this machine signs, not the installation: {error}")
        return spool.sign(statement)

    return sign


def _signed(client: Client, statement: Statement) -> Sealed:
    """What the server signed, held against what it was asked for. TamperedError when that is something else."""
    sent = encode_statement(statement)
    reply = client.request("POST", _PATH, body=sent, is_repeatable=True)
    try:
        answer = msgspec.json.decode(reply.body, type=_Answer)
    except msgspec.MsgspecError as error:
        raise MalformedError(f"could not read the signed statement: {error}", hint="check the URL") from None
    key = parse_vkey(answer.vkey)
    if encode_statement(check_statement(bytes(answer.envelope), trusted_keys=[key])) != sent:
        raise TamperedError("could not use the signed statement: it is not the one that was sent")
    return Sealed(bytes(answer.envelope), key, _WHOSE)
