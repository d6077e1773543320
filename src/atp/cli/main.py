"""The program `atp`: finds the verb, runs it, and turns what it raises into one sentence and an exit code."""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import click
from click.shell_completion import shell_complete

from atp import __version__
from atp.cli.output import Output
from atp.errors import EXIT_BUG, EXIT_INTERRUPTED, AtpError, RefusedError, UnavailableError

# Verb -> what `atp --help` says of it. The module of the same name below this package holds it as `command`; it is
# imported only when the verb is called, so that the program starts fast.
VERBS = {
    "serve": "Run the platform on a data directory.",
    "ingest": "Record events of files, in any known format.",
    "query": "Ask for events.",
    "show": "Show one event.",
    "prove": "Fetch the offline proof of one event.",
    "verify": "Verify a data directory, an export, a live log or a proof.",
    "export": "Write events with their proofs, or a whole log.",
    "tenant": "Create and list tenants, change the keys of their logs.",
    "key": "Create, list and revoke API keys.",
    "integrity": "Let the server verify its logs; freeze exports and erasure.",
    "maintenance": "Refuse events for a while.",
    "act": "Show an act of an operator; settle what nobody told.",
    "spool": "Look at what waits on this machine for a server.",
    "rebuild": "Make views again from the logs.",
    "dlq": "Look at records that were parked.",
    "status": "Say how each log stands.",
    "demo": "See in a minute what the trail is for.",
    "backup": "Make, verify and prune copies of what you run.",
    "restore": "Bring a dataset back from its backup.",
    "estate": "Declare, review and hand over what you run.",
    "drill": "Rehearse a restore: measured, judged, signed.",
    "doctor": "Check this machine and the server, and say what to do.",
    "completion": "Print the completion script of a shell.",
}
_ABOUT = """Record audit events, ask for them, and prove to anyone that none was changed.

Exit codes: 0 done, 1 tampered or a check failed, 2 refused, 3 missing, 4 conflict, 5 unavailable, 70 a bug,
130 interrupted.
"""
_COMPLETE = "_ATP_COMPLETE"


def module_of(verb: str) -> str:
    """The module that holds a verb."""
    return f"atp.cli.{verb}"


def main(words: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    words = list(sys.argv[1:] if words is None else words) or ["--help"]
    output = Output(is_json="--json" in words)
    try:
        return _run(words)
    except AtpError as error:
        output.fail(code=error.code, sentence=str(error), error=error)
        return error.exit_code
    except click.ClickException as error:
        output.fail(code="usage", sentence=_usage(error))
        return RefusedError.exit_code
    except BrokenPipeError:  # whoever reads has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a disk that is full, a terminal that is gone: the world's fault, not the program's
        output.fail(code=UnavailableError.code, sentence=f"could not go on: {error}")
        return UnavailableError.exit_code
    except (KeyboardInterrupt, click.Abort):
        output.fail(code="interrupted", sentence="interrupted")
        return EXIT_INTERRUPTED
    except Exception as bug:
        return _report(bug, output)


def program(words: Sequence[str]) -> click.Group:
    """The command line. Verbs that occur in `words` are loaded, of the others only the names are known."""
    group = click.Group("atp", help=_ABOUT, context_settings={"help_option_names": ["-h", "--help"]})
    click.version_option(__version__, "--version", message="%(prog)s %(version)s")(group)
    for verb, summary in VERBS.items():
        named = importlib.import_module(module_of(verb)).command if verb in words else click.Command(verb)
        named.short_help = summary
        group.add_command(named, verb)
    return group


def _run(words: Sequence[str]) -> int:
    if asked := os.environ.get(_COMPLETE):
        loaded = program(os.environ.get("COMP_WORDS", "").split())
        return shell_complete(loaded, {}, "atp", _COMPLETE, asked)
    group = program(words)
    try:
        with group.make_context("atp", list(words)) as context:
            return group.invoke(context) or 0
    except click.exceptions.Exit as end:
        return end.exit_code


def _usage(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{error.format_message()} (hint: {context.command_path} --help)" if context else error.format_message()


def _report(bug: Exception, output: Output) -> int:
    """Say one sentence; the traceback is for those who asked for it, or for the file that the sentence names."""
    if os.environ.get("ATP_DEBUG") == "1":
        traceback.print_exc()
    output.fail(
        code="bug",
        sentence=f"could not go on: this is a bug of atp, {type(bug).__name__}: {bug} "
        "(hint: run it again with ATP_DEBUG=1 and report the traceback)",
    )
    return EXIT_BUG


if __name__ == "__main__":  # how the server starts what is due
    sys.exit(main())
