"""Runs the program in this process, with streams and an environment of its own, and keeps what it said."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from click.testing import CliRunner

from atp.cli.main import main


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of one command line."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Atp:
    """The program in an environment."""

    env: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *words: object, stdin: bytes = b"", **env: str | None) -> Ran:
        cleared = {name: None for name in os.environ if name.startswith(("ATP_", "_ATP"))}
        with CliRunner().isolation(input=stdin, env={**cleared, **self.env, **env}) as (out, err, _):
            code = main([str(word) for word in words])
            return Ran(code, out.getvalue().decode(), err.getvalue().decode())

    def document(self, *words: object, code: int = 0, stdin: bytes = b"") -> Any:
        """The JSON document of a command that has to end with `code`."""
        ran = self(*words, "--json", stdin=stdin)
        assert ran.code == code, ran
        return ran.json
