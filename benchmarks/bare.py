"""The same application storing nothing: it lets in, checks and answers. `python -m benchmarks.bare PORT DATA`."""

import sys
from concurrent.futures import Future
from pathlib import Path

from atp.app.commit import Committer
from atp.app.config import Config
from atp.app.platform import Platform
from atp.app.serve import Doors, serve
from atp.cli.serve import open_doors
from atp.log.append import Outcome, Receipt, Request
from benchmarks.load import HOST
from benchmarks.server import RATE_PER_SECOND

_RECEIPT = Receipt("0" * 24, 1_000_000, "0" * 64, False)


class Forgetful(Committer):
    """Answers each event with a receipt, at once, and forgets it."""

    def submit(self, request: Request) -> "Future[Outcome]":
        """A future that is done."""
        future: Future[Outcome] = Future()
        future.set_result(Outcome(len(request.events), 0, [_RECEIPT] * len(request.events)))
        return future


def main() -> None:
    """Serve on the port of the command line, with keys in the directory named there, until killed."""

    def open_forgetful(platform: Platform) -> Doors:
        platform.committer.stop()
        platform.committer = Forgetful(lambda requests: [], on_durable=lambda tenants: None, on_bug=lambda bug: None)
        return open_doors(platform)

    config = Config(Path(sys.argv[2]), listen=f"{HOST}:{sys.argv[1]}", rate_per_second=RATE_PER_SECOND)
    serve(config, open_doors=open_forgetful, tell=lambda line: None)


if __name__ == "__main__":
    main()
