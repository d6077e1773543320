"""`atp act`: how far an act of an operator got, and what became of a step of which nobody told."""

from collections.abc import Callable

import click

from atp.app.machine import machine_clock, open_sink
from atp.cli.output import fields, table
from atp.cli.server import Server, connected
from atp.errors import MissingError
from atp.limits import PAGE_EVENTS_DEFAULT
from atp.ops.record.act import Act, Found, Step, Told, fold_all
from atp.ops.record.recording import resume

_HEADS = ("step", "state", "times", "intended", "ended", "what came of it")
_LIST_HEADS = ("begun", "what", "resource", "who", "state", "unknown steps", "act")
_FOUND = ("done", "failed", "nothing")


@click.group()
def command() -> None:
    """Look at acts of operators, and settle steps of which nobody told an outcome."""


@command.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=PAGE_EVENTS_DEFAULT, show_default=True)
@connected
def list_(server: Server, limit: int) -> None:
    """List the acts that were begun last, newest first, with how far each got; what waits on this machine too.

    An act is `unknown` until its end is told: it runs, or died.

    \b
    Example:
      atp act list --limit 10
    """
    with server.client() as client:
        acts = open_sink(server.url, client, tell=server.output.note).recent(limit)
    rows = [_row(act) for act in acts]
    server.output.answer({"acts": acts}, table(_LIST_HEADS, rows) if rows else "there is no act")


@command.command()
@click.argument("act_id", metavar="ACT")
@connected
def show(server: Server, act_id: str) -> None:
    """Show how far ACT got: a step that was intended and has no outcome is unknown.

    \b
    Example:
      atp act show 20260131T235959000001-9f86d081884c7d65
    """
    with server.client() as client:
        act = find_act(act_id, open_sink(server.url, client, tell=server.output.note).told)
    server.output.answer(act, _text(act))


@command.command()
@click.argument("act_id", metavar="ACT")
@click.argument("step")
@click.option("--found", type=click.Choice(_FOUND), required=True, help="`nothing`: the step never began.")
@click.option("--reason", required=True, help="What you looked at.")
@connected
def settle(server: Server, act_id: str, step: str, found: Found, reason: str) -> None:
    """Say what you found of STEP of ACT, whose outcome nobody told. It is written down with your name.

    \b
    Example:
      atp act settle 20260131T235959000001-9f86d081884c7d65 copy --found nothing --reason "the target is empty"
    """
    with server.client() as client:
        sink = open_sink(server.url, client, tell=server.output.note)
        recording = resume(find_act(act_id, sink.told), by=sink.person(), sink=sink, clock=machine_clock())
        recording.settle(step, found, reason)
    server.output.answer(recording.act, _text(recording.act))


def find_act(act_id: str, told: Callable[[str], list[Told]]) -> Act:
    """The act of this id, folded from whatever is told of it. MissingError when that is nothing."""
    act = fold_all(told(act_id)).get(act_id)
    if act is None:
        raise MissingError(f"could not find the act {act_id[:100]!r}", hint="its id is in the events of `operations`")
    return act


def _row(act: Act) -> tuple[str, ...]:
    unknown = ", ".join(step.name for step in act.unknown_steps)
    return (act.begun_at or "", f"{act.noun}.{act.verb}", act.resource, act.person.id, act.state, unknown, act.id)


def _outcome(step: Step) -> str:
    if step.settled is not None:
        how = "observed" if step.settled.is_observed else f"settled by {step.settled.by}"
        return f"{how}: {step.settled.reason}"
    return step.error or " ".join(f"{name}={value}" for name, value in step.outcome.items())


def _text(act: Act) -> str:
    who = act.person.id if act.person.is_bound else f"{act.person.id} (user of the machine, bound to no key)"
    head = fields(
        [
            ("act", act.id),
            ("what", f"{act.noun}.{act.verb} {act.resource}"),
            ("who", who),
            ("begun", act.begun_at),
            ("ended", act.ended_at or "not yet"),
            ("state", act.state),
            *(("remark", remark) for remark in act.remarks),
        ]
    )
    rows = [
        (step.name, step.state, str(step.attempts), step.intended_at or "", step.ended_at or "", _outcome(step))
        for step in act.steps.values()
    ]
    return f"{head}\n\n{table(_HEADS, rows)}" if rows else head
