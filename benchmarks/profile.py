"""Where a process spends its time: py-spy samples its stacks; functions by their share, thread by thread."""

import re
import shutil
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.services.absent import AbsentError

SAMPLES_PER_SECOND = 250
_LISTED = 10
_STACK = re.compile(r"(.*) (\d+)$")
_THREAD = re.compile(r"thread \([^)]*\)(?:: )?")
_NUMBER_OF_WORKER = re.compile(r"[-_ ]\d+$")
_LINE = re.compile(r":\d+\)$")
_PLUMBING = re.compile(
    r"\((threading|contextlib|<frozen|asyncio/|concurrent/|click/|anyio/|starlette/|uvicorn/|atp/cli/)|<module>"
)


@dataclass(slots=True)
class Thread:
    """Busy samples of a thread, and how many of them each function stood in, or was the innermost of."""

    busy: int = 0
    inside: Counter[str] = field(default_factory=Counter)
    own: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Profile:
    """The threads of a process by name; the workers of a pool are one."""

    threads: defaultdict[str, Thread] = field(default_factory=lambda: defaultdict(Thread))

    def add(self, line: str) -> None:
        """Take in one folded stack: `thread;outer;inner COUNT`."""
        if not (stack := _STACK.match(line)):
            return
        first, *frames = stack[1].split(";")
        functions = [_LINE.sub(")", frame) for frame in frames if not _PLUMBING.search(frame)]
        thread, count = self.threads[_NUMBER_OF_WORKER.sub("", _THREAD.sub("", first))], int(stack[2])
        thread.busy += count
        thread.inside.update(dict.fromkeys(functions, count))
        thread.own.update({functions[-1]: count} if functions else {})

    def as_text(self, what: str) -> str:
        """The busiest functions of each thread; 100 % is all samples in which any thread was busy."""
        total = sum(thread.busy for thread in self.threads.values()) or 1
        lines = [f"profile of {what}: share with callees, own share; {total:,} samples"]
        for name, thread in sorted(self.threads.items(), key=lambda item: -item[1].busy):
            lines.append(f"  {thread.busy / total:6.1%}         thread {name}")
            for function, count in thread.inside.most_common(_LISTED):
                lines.append(f"  {count / total:6.1%} {thread.own[function] / total:6.1%}    {function}")
        return "\n".join(lines)


@contextmanager
def profiling(pid: int, *, folder: Path) -> Iterator[Profile]:
    """Sample a process while the block runs; the profile is complete afterwards. AbsentError without py-spy."""
    profile, stacks = Profile(), folder / "stacks"
    command = [_program(), "record", "--pid", str(pid), "--threads", "--function", "--format", "raw"]
    command += ["--rate", str(SAMPLES_PER_SECOND), "--duration", "unlimited", "--nonblocking", "--output", str(stacks)]
    recorder = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield profile
    finally:
        recorder.send_signal(signal.SIGINT)
        recorder.wait()
    for line in stacks.read_text().splitlines():
        profile.add(line)


def _program() -> str:
    beside = Path(sys.executable).with_name("py-spy")
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if not found:
        raise AbsentError("py-spy", enable=f"{sys.executable} -m pip install py-spy")
    return found
