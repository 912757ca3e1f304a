"""A real Chromium without a screen, with a picture of the page where a test fails."""

import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

#: Names that distributions give it.
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

#: Where it runs as root, in a container; memory that is shared with others may be short there.
OPTIONS = ("--no-sandbox", "--disable-dev-shm-usage")

#: What a busy machine may take to show a page, or to react to a click.
TIMEOUT_MS = 90_000

#: Environment variable with the folder for pictures of failed tests; by default the test's own.
SCREENSHOTS = "BROWSER_SCREENSHOTS"


@pytest.fixture
def page() -> Iterator[object]:
    """Give an empty page of a browser that only this test uses."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no Chromium is on the PATH; Debian has it as: apt-get install chromium")
    with (
        sync_api.sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program, args=OPTIONS) as browser,
    ):
        page = browser.new_page(viewport={"width": 1400, "height": 1000}, locale="en-US")
        page.set_default_timeout(TIMEOUT_MS)
        yield page


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Take a picture of the page while it is still there."""
    report = yield
    page = item.funcargs.get("page")
    if report.when == "call" and report.failed and page is not None:
        report.sections.append(("the page", _picture(page, item)))
    return report


def _picture(page, item: pytest.Item) -> str:
    """Return where the page is and where its picture lies; a browser that has died leaves none."""
    from playwright.sync_api import Error

    folder = Path(os.environ.get(SCREENSHOTS) or item.funcargs["tmp_path"])
    path = folder / f"{item.name}.png"
    try:
        page.screenshot(path=path)
    except Error as error:
        return f"{page.url}\nno picture: {error}"
    return f"{page.url}\n{path}"
