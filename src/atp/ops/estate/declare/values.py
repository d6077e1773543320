"""The estate file as it stands, typed: `atp.estate/1`. Its JSON Schema is made of these types and descriptions."""

from datetime import timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from atp.ops.declaration.kinds import (
    Cell,
    ClockTime,
    Command,
    Duration,
    EnvironmentVariable,
    Instant,
    Name,
    SecretReference,
    Sentence,
)

VERSION = "atp.estate/1"
Criticality = Literal["critical", "high", "medium", "low"]
Classification = Literal["public", "internal", "confidential", "restricted"]
DatasetKind = Literal["postgresql", "sqlite", "files", "trail", "configuration"]
Lock = Literal["compliance", "governance", "local", "none"]
Scenario = Literal["deletion", "corruption", "ransomware", "host-loss", "key-loss", "region-loss"]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

Host = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$", examples=["safe-1", "safe-1.example.org"])
]
Role = Annotated[Name, Meta(description="A role of `contacts`.", extra={"refers": ["contacts"]})]
Environment = Annotated[Name, Meta(description="One of `environments`.", extra={"refers": ["environments"]})]
Thing = Annotated[Name, Meta(description="A service or a dataset.", extra={"refers": ["services", "datasets"]})]
Store = Annotated[Name, Meta(description="One of `repositories`.", extra={"refers": ["repositories"]})]
Trail = Annotated[Name, Meta(description="A dataset of kind trail.", extra={"refers": ["datasets"]})]


class Contact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A role that people can reach, and when that was last tried."""

    channel: Annotated[Sentence, Meta(description="How the role is reached, day and night.")]
    confirmed_at: Annotated[Instant | None, Meta(description="When somebody last tried the channel.")] = None
    duties: Annotated[Sentence | None, Meta(description="What the role answers for.")] = None


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something that runs and can fall."""

    purpose: Annotated[Sentence | None, Meta(description="What it is for, in one sentence.")] = None
    owner: Annotated[Role | None, Meta(description="The role that answers for it.")] = None
    environments: Annotated[tuple[Environment, ...], Meta(description="Where it runs.")] = ()
    depends_on: Annotated[tuple[Thing, ...], Meta(description="Services and datasets that it cannot do without.")] = ()
    health: Annotated[Sentence | None, Meta(description="Address that says whether it is well, or a host:port.")] = None
    criticality: Annotated[Criticality, Meta(description="How much stops with it.")] = "medium"
    in_revenue_hours: Annotated[bool, Meta(description="Whether it has to run in the revenue hours.")] = False


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the living data is: a place that holds no secret, or a reference to its address. Exactly one."""

    place: Annotated[Sentence | None, Meta(description="A path, or an address without a password.")] = None
    env: Annotated[EnvironmentVariable | None, Meta(description="Environment variable that holds the address.")] = None
    file: Annotated[Sentence | None, Meta(description="File that holds the address, and nothing else.")] = None
    command: Annotated[Command | None, Meta(description="Program and arguments that print the address.")] = None


class Backup(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a dataset is copied, and how often the copies are read back."""

    repository: Annotated[Store, Meta(description="Where the copies go.")]
    schedule: Annotated[Duration, Meta(description="Time from one copy to the next.")]
    continuous: Annotated[bool, Meta(description="Changes are shipped between copies, as a database's log is.")] = False
    copies_in: Annotated[tuple[Store, ...], Meta(description="Further repositories that hold the same copies.")] = ()
    recipients: Annotated[
        tuple[Sentence, ...],
        Meta(description="Public keys that the copies are encrypted to; private halves elsewhere."),
    ] = ()
    verify_every: Annotated[Duration, Meta(description="How often a copy is read back whole.")] = timedelta(days=7)


class Rows(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many rows a restored table has to have."""

    table: Annotated[Sentence, Meta(description="Name of the table.")]
    at_least: Annotated[int, Meta(ge=0, description="The fewest rows that are believable.")]


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One question to the restored copy. Exactly one of sql, rows, digests and verify."""

    sql: Annotated[Sentence | None, Meta(description="A query; its rows are compared with `expect`.")] = None
    expect: Annotated[tuple[tuple[Cell, ...], ...] | None, Meta(description="The rows that `sql` has to give.")] = None
    rows: Annotated[Rows | None, Meta(description="A table and its fewest rows.")] = None
    within: Annotated[Duration, Meta(description="The longest that `sql` or `rows` may take.")] = timedelta(hours=1)
    digests: Annotated[bool, Meta(description="Every file is compared with the digest taken at backup.")] = False
    verify: Annotated[bool, Meta(description="The trail is verified, as `atp verify` does.")] = False


class Heartbeat(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Small writes into the dataset, each noted outside of it: what a restored copy lacks of them was lost."""

    every: Annotated[Duration, Meta(description="Time from one to the next; cron or a timer writes them.")]
    ledger: Annotated[Sentence, Meta(description="File outside of the dataset, one line for each that was written.")]


class Drill(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a restore is proven."""

    period: Annotated[Duration, Meta(description="The longest time between two drills.")] = timedelta(days=90)
    place: Annotated[Sentence, Meta(description="Fenced scratch place that the copy is restored into.")]
    checks: Annotated[tuple[Check, ...], Meta(min_length=1, description="Questions to the restored copy.")]
    scenarios: Annotated[tuple[Scenario, ...], Meta(min_length=1, description="What is rehearsed, in rotation.")] = (
        "deletion",
    )
    heartbeat: Annotated[Heartbeat | None, Meta(description="What the RPO of a drill is measured with.")] = None
    noticed_after: Annotated[
        Duration | None,
        Meta(
            description="How long corruption goes unnoticed: it is rehearsed with a copy from before. Absent: at once."
        ),
    ] = None
    runs_on: Annotated[
        Host | None,
        Meta(description="The machine with the private key, apart from the data, on which drills are run."),
    ] = None


class Dataset(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Data that can be lost."""

    purpose: Annotated[Sentence | None, Meta(description="What it holds, in one sentence.")] = None
    kind: Annotated[DatasetKind, Meta(description="How it is backed up and restored.")]
    source: Annotated[
        Source,
        Meta(description="Where the living data is.", extra_json_schema={"minProperties": 1, "maxProperties": 1}),
    ]
    owner: Annotated[Role | None, Meta(description="The role that answers for it.")] = None
    environments: Annotated[tuple[Environment, ...], Meta(description="Where it lies.")] = ()
    depends_on: Annotated[tuple[Thing, ...], Meta(description="What it cannot be reached without.")] = ()
    classification: Annotated[Classification, Meta(description="How much harm its disclosure does.")] = "confidential"
    rpo: Annotated[Duration | None, Meta(description="The most data that may be lost, as time.")] = None
    rto: Annotated[Duration | None, Meta(description="The longest that a restore may take.")] = None
    retention: Annotated[Duration | None, Meta(description="How long each copy is kept.")] = None
    erasable: Annotated[
        bool,
        Meta(
            description="Holds keys whose destruction erases data: its copies are never locked, and all of them are"
            " gone 30 days after they were made."
        ),
    ] = False
    backup: Annotated[Backup | None, Meta(description="How it is copied.")] = None
    drill: Annotated[Drill | None, Meta(description="How a restore is proven.")] = None


class Repository(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A place for copies."""

    kind: Annotated[Literal["directory", "s3"], Meta(description="What kind of store it is.")]
    place: Annotated[Sentence, Meta(description="s3://BUCKET/PREFIX, or an absolute path.")]
    isolated_from: Annotated[
        tuple[Environment, ...], Meta(description="Environments whose loss or compromise does not reach it.")
    ] = ()
    lock: Annotated[Lock, Meta(description="What keeps copies from being changed or removed before their time.")] = (
        "none"
    )
    offsite: Annotated[bool, Meta(description="Whether it stands in another building than the data.")] = False
    endpoint: Annotated[Sentence | None, Meta(description="Address of the store, when it is not the vendor's.")] = None
    credentials: Annotated[SecretReference | None, Meta(description="The key to it, by reference.")] = None


class Flow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"source": "from"}):
    """Data on its way from one thing to another."""

    source: Annotated[Thing, Meta(description="Where the data comes from.")]
    to: Annotated[Thing, Meta(description="Where it goes.")]
    what: Annotated[Sentence, Meta(description="What flows.")]
    audited_in: Annotated[Trail | None, Meta(description="The trail that records it.")] = None


class RevenueHours(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When standing still costs money, in local time; hours that pass midnight belong to the day they begin on."""

    zone: Annotated[Sentence, Meta(description="IANA time zone.", examples=["Europe/Berlin"])]
    weekdays: Annotated[tuple[Weekday, ...], Meta(min_length=1, max_length=7, description="Days that they begin on.")]
    opens: Annotated[ClockTime, Meta(description="First minute.")]
    closes: Annotated[ClockTime, Meta(description="The minute that is no longer part of them.")]


class Acceptance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A signature under a risk, for a time."""

    by: Annotated[Role, Meta(description="The role that signs.")]
    at: Annotated[Instant, Meta(description="When it was signed.")]
    until: Annotated[Instant, Meta(description="When it has to be decided again.")]
    reason: Annotated[Sentence, Meta(description="Why the risk is taken.")]


class HardFailure(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A failure that is known and has no quick way back."""

    what: Annotated[Sentence, Meta(description="What happens.")]
    hits: Annotated[tuple[Thing, ...], Meta(description="What falls first.")] = ()
    mitigation: Annotated[Sentence | None, Meta(description="What is done about it.")] = None
    acceptance: Annotated[Acceptance | None, Meta(description="Who accepts it, and until when.")] = None


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why the estate is as it is."""

    at: Annotated[Instant, Meta(description="When it was decided.")]
    what: Annotated[Sentence, Meta(description="What was decided, and why.")]
    by: Annotated[Role | None, Meta(description="The role that decided.")] = None


class Estate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that is run, held and answered for."""

    version: Annotated[Literal["atp.estate/1"], Meta(description="The format of this file.")]
    name: Annotated[Sentence, Meta(description="What the estate is called.")]
    environments: Annotated[tuple[Name, ...], Meta(min_length=1, description="Where things run.")]
    contacts: Annotated[dict[Name, Contact], Meta(description="Roles and how to reach them.")] = {}
    services: Annotated[dict[Name, Service], Meta(description="What runs.")] = {}
    datasets: Annotated[dict[Name, Dataset], Meta(description="What can be lost.")] = {}
    repositories: Annotated[dict[Name, Repository], Meta(description="Where copies go.")] = {}
    critical_paths: Annotated[
        dict[Name, Annotated[tuple[Thing, ...], Meta(min_length=1)]],
        Meta(description="What has to work, in order, for revenue to be made."),
    ] = {}
    data_flows: Annotated[tuple[Flow, ...], Meta(description="Where data goes, and which trail records it.")] = ()
    revenue_hours: Annotated[RevenueHours | None, Meta(description="When standing still costs money.")] = None
    hard_failures: Annotated[dict[Name, HardFailure], Meta(description="Known failures without a quick way back.")] = {}
    decisions: Annotated[tuple[Decision, ...], Meta(description="Why the estate is as it is.")] = ()

    def kind_of(self, name: str) -> str:
        """`service`, or the kind of the dataset. KeyError when there is no such thing."""
        return "service" if name in self.services else self.datasets[name].kind

    def things(self) -> list[str]:
        """The names of services, then of datasets."""
        return [*self.services, *self.datasets]

    def needs(self, name: str) -> tuple[str, ...]:
        """What a thing depends on directly, each once, in the order of the file."""
        thing = self.services.get(name) or self.datasets[name]
        return tuple(dict.fromkeys(thing.depends_on))
