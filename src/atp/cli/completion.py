"""`atp completion`: the script that lets a shell complete the words of a command line."""

import click
from click.shell_completion import get_completion_class

from atp.cli.output import Output
from atp.cli.server import json_option
from atp.errors import RefusedError

_SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_ATP_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@json_option
@click.pass_context
def command(context: click.Context, shell: str, is_json: bool) -> None:
    """Print the completion script of a SHELL.

    \b
    Examples:
      atp completion bash > ~/.local/share/bash-completion/completions/atp
      atp completion zsh > ~/.zfunc/_atp
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise RefusedError(f"could not complete for {shell}: this shell is not known", hint=", ".join(_SHELLS))
    script = kind(context.find_root().command, {}, "atp", _VARIABLE).source()
    Output(is_json).answer({"shell": shell, "script": script}, script)
