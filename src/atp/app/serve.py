"""`serve`: open the platform, let people in until a signal comes or a bug ends it, and stop without losing anything."""

import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

from atp.app.config import Config
from atp.app.due import Scheduler
from atp.app.follower import Follower
from atp.app.open import Opened, open_platform
from atp.app.platform import Platform
from atp.app.runner import Runner
from atp.app.wire import BoundedHead
from atp.errors import EXIT_BUG, UnavailableError
from atp.limits import CONNECTIONS_MAX
from atp.tenants.names import DEFAULT

_BACKLOG = 1_024
_KEEP_ALIVE_SECONDS = 75
_FINISH_SECONDS = 3  # for requests in flight; the whole stop takes under five
_LOOK_SECONDS = 1
_GC_THRESHOLD = 50_000
_SWITCH_SECONDS = 0.002  # a thread that comes back from the disk or the packer is let in after this, not after 5 ms
_ANYWHERE = ("0.0.0.0", "::", "")


@dataclass(frozen=True, slots=True)
class Doors:
    """What is served: the application, and the path of a one-time link that signs the first person in, if it has
    pages."""

    app: ASGIApp
    login_path: str | None = None


def serve(config: Config, *, open_doors: Callable[[Platform], Doors], tell: Callable[[str], object]) -> int:
    """Serve until SIGTERM or SIGINT, then return 0; return 70 when a loop met a bug.

    `tell` gets lines for people. Raises what `open_platform` raises, and UnavailableError when the address is taken.
    """
    listener = listen(config)
    follower = Follower(config.data)
    try:
        opened = open_platform(config, follow=follower.follow)
    except BaseException:
        listener.close()
        raise
    platform = opened.platform
    scheduler = _scheduler(config, opened, listener)
    platform.start()
    scheduler.start()
    try:
        doors = open_doors(platform)
        for line in _welcome(config, opened, doors, listener):
            tell(line)
        _run(platform, doors.app, listener)
    finally:
        scheduler.stop()
        platform.stop()
        follower.close()
    return EXIT_BUG if platform.bug else 0


def listen(config: Config) -> socket.socket:
    """A socket that listens. UnavailableError when the address is taken or not this machine's."""
    host, port = config.address
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(found[4][:2], family=found[0], backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        raise UnavailableError(
            f"could not listen on {config.listen}: {getattr(error, 'strerror', None) or error}",
            hint="stop the program that listens there, or choose another --listen",
        ) from None


def _scheduler(config: Config, opened: Opened, listener: socket.socket) -> Scheduler:
    platform, runner = opened.platform, None
    if config.recovery.run and config.estate is not None:
        runner = Runner(
            config.recovery,
            url=_local_url(listener),
            estate=config.estate,
            data=config.data,
            root_key=opened.root_key,
        )

    def end(bug: Exception) -> None:
        platform.bug = bug
        platform.lines.write("critical", "bug", kind=type(bug).__name__, reason=str(bug))

    return Scheduler(
        platform.recovery,
        note=platform.note,
        runner=runner,
        on_bug=end,
        clock=platform.clock,
        lines=platform.lines,
        meters=platform.meters,
        host=socket.gethostname(),
    )


def _local_url(listener: socket.socket) -> str:
    """Where this machine reaches the server."""
    host, port = listener.getsockname()[:2]
    host = "127.0.0.1" if host in _ANYWHERE else f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}"


def _run(platform: Platform, app: ASGIApp, listener: socket.socket) -> None:
    async def look() -> None:
        if platform.bug is not None:
            server.should_exit = True

    server = uvicorn.Server(
        uvicorn.Config(
            app,
            loop="uvloop",
            http=BoundedHead,  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_FINISH_SECONDS,
            callback_notify=look,
            timeout_notify=_LOOK_SECONDS,
        )
    )
    # What is open by now stays; and events are no cycles, so collecting them is seldom worth a pause.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 50)
    sys.setswitchinterval(_SWITCH_SECONDS)
    with _signals_after_the_end():
        server.run(sockets=[listener])


@contextmanager
def _signals_after_the_end() -> Iterator[None]:
    """The server raises the signal again that has ended it; by then that must not kill the process."""
    old = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, reaction in old.items():
            signal.signal(number, reaction)


def _welcome(config: Config, opened: Opened, doors: Doors, listener: socket.socket) -> Iterator[str]:
    url = config.public_url.rstrip("/") or _local_url(listener)
    yield f"serving   {url}"
    yield f"data      {config.data.resolve()}{' (new)' if opened.is_new else ''}"
    yield f"tenant    {DEFAULT}"
    yield f"key file  {opened.root_key.resolve()}"
    if config.estate is not None:
        yield f"estate    {config.estate.resolve()}"
    yield from (f"lost      {loss}" for loss in opened.losses)
    yield from (f"stopped   {log}: {why}" for log, why in sorted(opened.platform.pipeline.stopped.items()))
    if doors.login_path:
        yield f"sign in   {url}{doors.login_path}  (once, within 15 minutes)"
