"""The system's Chromium, driven headless through Playwright; nothing is downloaded and nothing phones home."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from tests.services.absent import APT_LINE, AbsentError

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",  # its sandbox refuses root; the pages are our own
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start Chromium (1 s); raises AbsentError without one.

    While it is open this thread counts as inside an event loop: no `asyncio.run` beside it.
    """
    program = find_program()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


def find_program() -> str:
    """The path of Chromium; raises AbsentError when it is on no PATH."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise AbsentError("Chromium", enable=APT_LINE)
    return program
