"""The foreign verifier of whole logs: Tessera's `fsck` re-hashes every entry, rebuilds every tile (C2SP tlog-tiles)."""

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

SECONDS_MAX = 600


@dataclass(frozen=True)
class Fsck:
    """A built `fsck`; its exit status says nothing (v1.0.4 always leaves with 0), so its words are read."""

    program: Path

    def complaint(self, url: str, *, vkey: str, origin: str | None = None, bearer_token: str | None = None) -> str:
        """What it holds against the log at `url` (`file:///dir/`, `http://host/path/`): empty when all is well."""
        with tempfile.NamedTemporaryFile("w", suffix=".vkey") as key:
            key.write(vkey)
            key.flush()
            command = [str(self.program), f"--storage_url={url}", f"--public_key={key.name}", "--ui=false", "--N=4"]
            command += [f"--origin={origin}"] if origin else []
            command += [f"--bearer_token={bearer_token}"] if bearer_token else []
            done = subprocess.run(
                command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS_MAX
            )
        return "" if "Successfully fsck'd log" in done.stdout else done.stdout or "no verdict"
