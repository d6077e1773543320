"""A mapping: one TOML file that says how a source's record becomes an event.

Keys (fields, conditions: see `fields`; paths: see `paths`)::

    name        what `--format` calls it: a-z, 0-9 and hyphens
    title       the product, for people
    recognise   list of conditions; a record of which one holds is of this format
    action      field, required to give a text
    actor       id, type, name: fields; without an id the actor is "unknown"
    resource    id, type, name: fields; without an id there is no resource
    time        field; the first alternative that is a time wins (see `times`); none: the event has no time
    zone        of times that name none: "UTC" (default) or a name such as "Europe/Berlin"
    outcome     field that gives success, failure, denied or unknown; when no alternative applies: unknown
    context     ip, request_id, trace_id, user_agent, session_id: fields
    id          field, or "digest" for sources whose own ids are missing or recur with other content (see `ids`)
    absent      texts that mean "no value", such as "-"
    body        paths of the object or text that holds the fields when a record wraps them; `data` stays whole
    records     paths of the list of records in the source's envelope
    csv_column  column that holds the record when the source exports CSV
    syntax      "json" (default), or "auditd": lines of Linux audit, several of which make one record
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from atp.errors import InvalidError
from atp.formats.fields import (
    Condition,
    Field,
    Patterns,
    alternatives,
    compile_alternative,
    compile_condition,
    compile_field,
)
from atp.formats.paths import Path, ReadText, parse_path

OUTCOMES = frozenset(("success", "failure", "denied", "unknown"))
DIGEST = "digest"


class Named(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How an actor or a resource is read."""

    id: Field = []
    type: Field = []
    name: Field = []


class Circumstances(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How the context is read."""

    ip: Field = []
    request_id: Field = []
    trace_id: Field = []
    user_agent: Field = []
    session_id: Field = []


class Declaration(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A mapping file as it stands: the keys above, their types and defaults."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9-]{0,63}$")]
    title: str
    recognise: Annotated[list[Annotated[dict[str, Patterns], msgspec.Meta(min_length=1)]], msgspec.Meta(min_length=1)]
    action: Field
    actor: Named
    resource: Named = Named()
    context: Circumstances = Circumstances()
    time: Field = []
    zone: str = "UTC"
    outcome: Field = []
    id: Field = DIGEST
    absent: list[str] = []
    body: list[str] = []
    records: list[str] = []
    csv_column: str | None = None
    syntax: Literal["json", "auditd"] = "json"


@dataclass(frozen=True, slots=True)
class NamedReaders:
    """Compiled `Named`."""

    id: ReadText
    type: ReadText
    name: ReadText


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping ready for use: every path parsed, every template and condition compiled.

    `gates` are members of which a record has at least one if a condition holds for it: a cheap first question.
    """

    name: str
    title: str
    gates: frozenset[str]
    conditions: tuple[Condition, ...]
    action: ReadText
    actor: NamedReaders
    resource: NamedReaders
    context: tuple[tuple[str, ReadText], ...]
    time: tuple[ReadText, ...]  # the first that is a time counts, not the first with a text
    zone: tzinfo
    outcome: ReadText | None
    id: ReadText | None
    body: tuple[Path, ...]
    records: tuple[Path, ...]
    csv_column: str | None
    syntax: str


def parse_mapping(text: str, *, file: str) -> Mapping:
    """The mapping that a TOML text declares. InvalidError names `file` and the key that is wrong."""
    try:
        return _compile(msgspec.convert(tomllib.loads(text), Declaration))
    except tomllib.TOMLDecodeError as error:
        reason = f"it is not TOML: {error}"
    except msgspec.ValidationError as error:
        reason = str(error).replace(" - at `$.", " at key `")
    except _BadKeyError as error:
        reason = str(error)
    raise InvalidError(
        f"could not load format {file}: {reason}",
        hint="atp.formats.mapping lists the keys; the built-in files are examples",
    )


class _BadKeyError(ValueError):
    """A key and what is wrong with it."""


def _compile(declared: Declaration) -> Mapping:
    absent = frozenset(declared.absent)

    def reader(key: str, field: Field) -> ReadText:
        read: ReadText = _at(key, compile_field, field, absent=absent)
        return read

    def named(key: str, declared: Named) -> NamedReaders:
        return NamedReaders(
            id=reader(f"{key}.id", declared.id),
            type=reader(f"{key}.type", declared.type),
            name=reader(f"{key}.name", declared.name),
        )

    def paths(key: str, texts: list[str]) -> tuple[Path, ...]:
        return tuple(_at(key, parse_path, text) for text in texts)

    _check_outcomes(declared.outcome)
    body = paths("body", declared.body)
    firsts = paths("recognise", [path for table in declared.recognise for path in list(table)[:1]])
    context = ((name, field) for name, field in msgspec.structs.asdict(declared.context).items() if field)
    return Mapping(
        name=declared.name,
        title=declared.title,
        gates=frozenset(str(path[0]) for path in (*body, *firsts)),
        conditions=tuple(_at("recognise", compile_condition, table) for table in declared.recognise),
        action=reader("action", declared.action),
        actor=named("actor", declared.actor),
        resource=named("resource", declared.resource),
        context=tuple((name, reader(f"context.{name}", field)) for name, field in context),
        time=tuple(_at("time", compile_alternative, entry, absent=absent) for entry in alternatives(declared.time)),
        zone=_at("zone", _zone, declared.zone),
        outcome=reader("outcome", declared.outcome) if declared.outcome else None,
        id=None if declared.id == DIGEST else reader("id", declared.id),
        body=body,
        records=paths("records", declared.records),
        csv_column=declared.csv_column,
        syntax=declared.syntax,
    )


def _at(key: str, make: Callable[..., Any], *given: Any, **options: Any) -> Any:
    try:
        return make(*given, **options)
    except ValueError as error:
        raise _BadKeyError(f"{error} at key `{key}`") from None


def _check_outcomes(field: Field) -> None:
    for entry in alternatives(field):
        text = entry if isinstance(entry, str) else entry.text
        if "{" not in text and text not in OUTCOMES:
            raise _BadKeyError(f"{text!r} is none of {', '.join(sorted(OUTCOMES))} at key `outcome`")


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"{name!r} is not a time zone that this machine knows") from None
