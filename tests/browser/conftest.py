"""One Chromium for all browser tests."""

import os
import shutil

import pytest
from playwright.sync_api import sync_playwright

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        found = next(filter(None, map(shutil.which, NAMES)), own if os.path.exists(own) else None)
        if found is None:
            missing = "no Chromium on this machine: apt-get install chromium, or playwright install chromium"
            (pytest.fail if os.environ.get("ZOOFUSE_REQUIRE_BROWSER") else pytest.skip)(missing)
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()
