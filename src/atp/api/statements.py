"""Statements: what an operator's act found, signed with the evidence key of the installation."""

from functools import partial
from hashlib import sha256

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from atp.api.bodies import Intake
from atp.api.gate import Gate
from atp.api.parameters import read_parameters
from atp.api.shapes import answer
from atp.errors import InvalidError, TooLargeError
from atp.limits import STATEMENT_BYTES_MAX, STATEMENT_SUBJECTS_MAX
from atp.log.event import Resource
from atp.ops.record.statement import Statement, decode_statement, is_ours, sign_statement
from atp.tenants.names import OPERATIONS


class SignedStatement(msgspec.Struct):
    """The DSSE envelope, byte for byte, the SHA-256 of these bytes, and the public half of the key that signed."""

    envelope: msgspec.Raw
    sha256: str
    vkey: str


def routes(gate: Gate, intake: Intake) -> list[Route]:
    """The doors of this noun."""
    return [Route("/v1/statements", partial(sign, gate, intake), methods=["POST"])]


async def sign(gate: Gate, intake: Intake, request: Request) -> Response:
    """A statement in its envelope. Whoever may write acts into `operations` may have what came of them signed; what is
    signed is that this person told it, and the trail says so."""
    caller = gate.caller(request)
    gate.platform.reader(OPERATIONS, by=caller, scope="ingest")
    read_parameters(request, ())
    async with intake.body(request) as body:
        statement = _read(body)

    def seal() -> SignedStatement:
        key = gate.platform.installation_key.key()
        envelope = sign_statement(statement, key)
        signed = SignedStatement(msgspec.Raw(envelope), sha256(envelope).hexdigest(), key.public().vkey)
        told = {
            "predicate_type": statement.predicate_type,
            "subjects_sha256": [subject.digest.get("sha256") for subject in statement.subject],
            "vkey": signed.vkey,
        }
        gate.act(request, "statement.sign", Resource(signed.sha256, type="statement"), told, by=caller)
        return signed

    return answer(await run_in_threadpool(seal), status=201)


def _read(body: bytes) -> Statement:
    if len(body) > STATEMENT_BYTES_MAX:
        raise TooLargeError(f"could not sign the statement: {len(body):,} bytes, over {STATEMENT_BYTES_MAX:,}")
    statement = decode_statement(body)
    if not is_ours(statement):
        raise InvalidError("could not sign the statement: its predicateType is none of this platform", hint="urn:atp:…")
    if len(statement.subject) > STATEMENT_SUBJECTS_MAX:
        raise InvalidError(f"could not sign the statement: more than {STATEMENT_SUBJECTS_MAX} subjects")
    return statement
