"""What `atp backup` and `atp restore` share: the estate file, repositories, progress, keys, sizes for people."""

import functools
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click
import msgspec

from atp.app.vaults import open_repository, read_secret
from atp.cli.acting import Acting, acting
from atp.cli.estate import file_option, read_estate
from atp.cli.output import Output, table
from atp.cli.progress import Progress
from atp.cli.server import find_key, json_option, key_file_option, url_option
from atp.client import Client
from atp.errors import ForbiddenError, InvalidError, MissingError
from atp.log.event import Outcome
from atp.ops.backups.act.erasing import observe_listing
from atp.ops.backups.act.listing import list_backups
from atp.ops.backups.act.step import Step
from atp.ops.backups.declare import Declared, declared_backup
from atp.ops.backups.evidence import backup_listed
from atp.ops.backups.format.seal import Identity, parse_identities
from atp.ops.declaration.durations import parse_instant
from atp.ops.declaration.kinds import Reference
from atp.ops.estate.declare.values import Estate, Source
from atp.ops.estate.evidence.proofs import BACKUP_LISTED
from atp.ops.record.fact import dataset_resource, fact_event
from atp.ports.repository import PROMISES, Repository

IDENTITY_BYTES_MAX = 64 * 1024
_EVENT_BYTES = 8
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")

dry_run_option = click.option("--dry-run", "is_dry", is_flag=True, help="Print the steps, and do none of them.")

Verb = Callable[..., int | None]


@dataclass(frozen=True, slots=True)
class Desk:
    """The estate that a command is about, and how it acts."""

    estate: Estate
    url: str
    key_file: Path | None
    output: Output

    @contextmanager
    def acting(self) -> Iterator[Acting]:
        """Who acts, and where it is written down."""
        with acting(self.url, key_file=self.key_file, output=self.output) as found:
            yield found

    def declared(self, dataset: str) -> Declared:
        """What is declared of one dataset's backups."""
        return declared_backup(self.estate, dataset)

    def backed_up(self, only: str | None) -> list[str]:
        """The datasets that declare a backup, or the one that is named."""
        if only is not None:
            return [self.declared(only).dataset]
        return [name for name, dataset in self.estate.datasets.items() if dataset.backup is not None]

    def address(self, source: Source) -> str:
        """The address that a source names. It may hold a password."""
        reference = Reference(env=source.env, file=source.file, command=source.command)
        return read_secret(reference, "the source")

    def client(self) -> Client:
        """Who asks the server, once."""
        return Client(self.url, key=find_key(self.key_file, self.output), tries=1)

    def open(self, name: str) -> Repository:
        """The repository of this name; says so when it does not hold what the file promises."""
        declared = self.estate.repositories.get(name)
        if declared is None:
            names = ", ".join(self.estate.repositories) or "none"
            raise MissingError(f"could not find repository {name[:80]!r} in the estate file", hint=names)
        opened = open_repository(name, declared)
        if declared.lock != "none" and opened.lock == "none":
            self.output.note(f"warning: repository {name} should lock ({declared.lock}), and is {PROMISES['none']}")
        return opened


def at_desk(verb: Verb) -> Verb:
    """Give a verb the options of estate file and server, and call it with the `desk` that they mean."""

    @file_option
    @url_option
    @key_file_option
    @json_option
    @functools.wraps(verb)
    def call(file: Path, url: str, key_file: Path | None, is_json: bool, **given: object) -> int | None:
        return verb(Desk(read_estate(file), url, key_file, Output(is_json)), **given)

    return call


@contextmanager
def counting(what: str, *, total: int = 0) -> Iterator[Callable[[int], None]]:
    """What takes numbers of bytes and shows their sum on the terminal."""
    with Progress(what, total=total) as progress:
        done = [0]

        def moved(count: int) -> None:
            done[0] += count
            progress.show(done[0])

        yield moved


def tell(
    doing: Acting,
    action: str,
    data: msgspec.Struct | dict[str, object],
    *,
    dataset: str,
    outcome: Outcome | None = None,
    is_outcome: bool = True,
) -> None:
    """Write a fact about a dataset into the operators' trail. `outcome`: see `fact_event`, `is_outcome`: see `Sink`."""
    event_id, at = f"{action}.{doing.clock.random_bytes(_EVENT_BYTES).hex()}", doing.clock.now()
    of = dataset_resource(dataset)
    event = fact_event(action, data, of=of, by=doing.by, at=at, event_id=event_id, outcome=outcome)
    doing.sink.write(event, expect={}, is_outcome=is_outcome)


def tell_listing(doing: Acting, declared: Declared, opened: Repository, *, repository: str) -> None:
    """Write down what a repository holds of a dataset, where that has to be gone in time. Costs some listings."""
    if declared.gone_after is None:
        return
    listed, now = list_backups(opened, dataset=declared.dataset), doing.clock.now()
    found = observe_listing(opened, listed, dataset=declared.dataset, now=now)
    data = backup_listed(found, repository=repository, gone_after=declared.gone_after, now=now)
    tell(doing, BACKUP_LISTED, data, dataset=declared.dataset)


def answer_plan(output: Output, steps: Sequence[Step]) -> int:
    """Print what would be done; the exit code of a command that did nothing."""
    document = {"plan": [{"step": step.name, "what": step.what} for step in steps]}
    output.answer(document, table(("step", "what would be done"), [(step.name, step.what) for step in steps]))
    return 0


def read_identities(path: Path | None, output: Output) -> list[Identity]:
    """The private keys of a file; none of no file. Errors never show what is in it."""
    if path is None:
        return []
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(IDENTITY_BYTES_MAX).decode("ascii")
    except FileNotFoundError:
        raise MissingError(f"could not read the identity file: {path} does not exist") from None
    except OSError as error:
        raise ForbiddenError(f"could not read the identity file: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        text, mode = "", 0
    if mode & _OTHERS:
        output.note(f"warning: others can read the private key in {path} (hint: chmod 600 {path})")
    return parse_identities(text)


def instant(text: str | None) -> datetime | None:
    """The instant of `--at`. InvalidError when it is none."""
    if text is None:
        return None
    try:
        return parse_instant(text)
    except ValueError:
        raise InvalidError(f"could not use --at {text!r}: it is no instant", hint="2026-03-01T09:00:00Z") from None


def size(count: int) -> str:
    """Bytes for people."""
    amount, unit = float(count), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{count:,} bytes" if unit == 0 else f"{amount:,.1f} {_UNITS[unit]}"


def day(moment: datetime | None) -> str:
    """An instant for people, to the second."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%SZ}"
