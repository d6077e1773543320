"""What this person saw of a log before, held against what the server shows now, and said aloud."""

from atp.cli.server import Server
from atp.errors import ForbiddenError, MissingError
from atp.ops.record.watch import Seen, Watched, compare, published
from atp.verify.remember import default_memory


def watch(server: Server, tenant: str, *, size_min: int = 0, note: bytes | None = None) -> Seen | None:
    """Check that the log still begins with what was seen of it before, and remember what is seen now.

    `note` is a checkpoint that the server gave already; else the newest is fetched, as soon as it covers `size_min`
    entries. None when nothing is published, or the key may not read. TamperedError, loudly, for a log that was forked
    or cut: both checkpoints are kept as evidence. Costs two requests, and two tiles a level when the log has grown.
    """
    with server.client() as client:
        log = Watched(client, tenant)
        try:
            note = note or published(log, size_min)
            seen, kept = compare(log, note, default_memory())
        except MissingError:
            return None
        except ForbiddenError as error:
            server.output.note(f"note: the checkpoint was not checked: {error}")
            return None
    if kept:
        server.output.note(f"note: {kept}")
    return seen
