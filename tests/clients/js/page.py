"""The page of the web client, served and watched."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.clients.conftest import JAVASCRIPT

WEB = JAVASCRIPT / "web"
PAGE_RUNTIME = JAVASCRIPT / "node_modules" / "onnxruntime-web"


@dataclass
class Site:
    """A bundle that is served, and the process that does it."""

    url: str
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rsplit(":", 1)[1])

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


@contextmanager
def served(bundle: Path, *options: object) -> Iterator[Site]:
    command = ["node", WEB / "serve.mjs", bundle, "--port", "0", *options]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        site = Site(process.stdout.readline().split(" ")[0], process)
        try:
            yield site
        finally:
            site.stop()


@dataclass
class Watched:
    """A page and all that it told and asked for."""

    page: Any
    requests: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def load(self, url: str) -> None:
        self.page.goto(url)
        self.settle()

    def settle(self) -> None:
        """Until the model answers and its files are kept, or until the page says what went wrong."""
        self.page.wait_for_selector("#offline:not(:empty), #trouble:not([hidden])", state="attached")

    def pick(self, text: str, box: str = "#pick-input") -> None:
        """Type into a search box and take what comes first."""
        self.page.locator(box).fill(text)
        self.page.keyboard.press("Enter")

    def history(self, count: int) -> None:
        self.page.wait_for_selector(f"#history li:nth-child({count})")

    def ranking(self, name: str = "recommended") -> tuple[list[str], list[float]]:
        rows = self.page.locator(f"#{name} button").all()
        scores = [float(row.locator("data").get_attribute("value")) for row in rows]
        return [row.get_attribute("data-id") for row in rows], scores

    def pressed(self, name: str) -> dict[str, Any]:
        """Press `verify` or `bench` and read the JSON."""
        self.page.locator(f"#{name}").click()
        self.page.wait_for_selector(f"#{name}-json:not(:empty)", state="attached", timeout=60_000)
        return json.loads(self.page.locator(f"#{name}-json").text_content())

    def trouble(self) -> str:
        return str(self.page.locator("#trouble").inner_text())
