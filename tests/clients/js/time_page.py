"""Press "Measure" on the page, in a real browser, for `bench.studies.clients`: `python -m tests.clients.js.time_page
BUNDLE`.

Prints the line of JSON that the page shows. A browser is many processes, so it may use every core.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.browser import CHROMIUM, QUIET
from tests.clients.js.page import Watched, served


def time_page(bundle: Path) -> dict[str, Any]:
    """Serve the page with `bundle`, let it measure itself, and give what it says."""
    with served(bundle) as site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        watched = Watched(browser.new_page())
        watched.load(site.url)
        measured = watched.pressed("bench")
        browser.close()
    return measured


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    # What `bench.studies.clients` asks of every client, and the only values that the page has.
    parser.add_argument("--calls", type=int, choices=[2000], default=2000)
    parser.add_argument("--case", choices=["full"], default="full")
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    print(json.dumps(time_page(parser.parse_args().bundle)))
