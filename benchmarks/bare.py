"""The same door without anything behind it: reads a body, answers a receipt. `python -m benchmarks.bare PORT`."""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.load import HOST
from benchmarks.run import EVENTS_PATH

PATH = EVENTS_PATH
_RECEIPT = b'{"id":"%b","index":1000000,"leaf_hash":"%b","duplicate":false}' % (b"0" * 24, b"0" * 64)
_ANSWER = b'{"accepted":1,"duplicates":0,"receipts":[%b]}' % _RECEIPT


async def answer(request: Request) -> Response:
    """A receipt as long as a real one."""
    await request.body()
    return Response(_ANSWER, media_type="application/json")


def main() -> None:
    """Serve on the port of the command line until killed."""
    application = Starlette(routes=[Route("/v1/tenants/{tenant}/events", answer, methods=["POST"])])
    uvicorn.run(
        application,
        host=HOST,
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="error",
    )


if __name__ == "__main__":
    main()
