"""`make tools`: brings this machine what the whole suite needs, and says what it could not bring."""

import os
import shutil
import subprocess
import sys

from tests.services import browser, go, postgres
from tests.services.absent import APT_LINE, APT_PACKAGES, AbsentError


def main() -> None:
    """Install missing Debian packages (as root) and Go programs; a failure is told, and skips tests aloud."""
    if not _has_packages():
        _install_packages()
    try:
        go.install_missing()
    except (OSError, subprocess.CalledProcessError) as error:
        _tell(f"could not build the foreign verifiers: {error} (hint: make tools)")


def _has_packages() -> bool:
    try:
        postgres.find_programs()
        browser.find_program()
    except AbsentError:
        return False
    return all(shutil.which(program) for program in ("age", "strace", "zstd"))


def _install_packages() -> None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        _tell(f"could not install {', '.join(APT_PACKAGES)}: not root on Debian (hint: {APT_LINE})")
        return
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run(["apt-get", "-qq", "update"], env=quiet, check=True, stdout=subprocess.DEVNULL)
        subprocess.run([*APT_LINE.split(), "-qq"], env=quiet, check=True, stdout=subprocess.DEVNULL)
    except subprocess.CalledProcessError as error:
        _tell(f"could not install packages: {error} (hint: {APT_LINE})")


def _tell(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


if __name__ == "__main__":
    main()
