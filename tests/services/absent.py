"""What a starter raises when this machine lacks a part: the test is skipped aloud, never silently."""

APT_PACKAGES = ("age", "chromium", "postgresql", "strace", "zstd")
APT_LINE = f"apt-get install -y --no-install-recommends {' '.join(APT_PACKAGES)}"


class AbsentError(Exception):
    """A part of the machine is missing; `enable` is the one command that brings it."""

    def __init__(self, what: str, *, enable: str) -> None:
        super().__init__(f"could not find {what} (hint: {enable})")
