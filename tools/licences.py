"""The tables of docs/reference/dependencies.md: each installed package, its licence, and the part that needs it.

What users of `bst` and of the clients get must be under a licence that asks for little more than its notice.
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGE = ROOT / "docs" / "reference" / "dependencies.md"
TABLES = "## Python\n"
NPM = ["clients/js", "tests/clients/headers"]
PERMISSIVE = {
    *("0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0"),
    *("ISC", "MIT", "MIT-CMU", "PSF-2.0", "Zlib"),
}
SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
# Their metadata says "BSD", or nothing: these were read.
READ = {
    "com.github.asus4.onnxruntime": "MIT",
    "colorama": "BSD-3-Clause",
    "contourpy": "BSD-3-Clause",
    "cycler": "BSD-3-Clause",
    "jinja2": "BSD-3-Clause",
    "kiwisolver": "BSD-3-Clause",
    "mpmath": "BSD-3-Clause",
    "sympy": "BSD-3-Clause",
    "tqdm": "MPL-2.0",  # and parts MIT
    "tritonclient": "BSD-3-Clause",
}


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    licence: str
    needed_by: str
    at_run_time: bool

    def trouble(self) -> str | None:
        if not self.licence:
            return f"{self.name} states no licence; read it and add it to READ in tools/licences.py"
        licences = re.split(r" AND | OR ", self.licence)
        if self.at_run_time and not PERMISSIVE.issuperset(licences):
            return f"{self.name} is under {self.licence}, which users of {self.needed_by} would have to look at"
        return None


def names(extra: str) -> set[str]:
    """List what `extra` brings, with all that these packages bring; without what only a torch with CUDA wants."""
    for_cuda = set(re.findall(r"^([\w-]+)==", (ROOT / "requirements-cuda.lock").read_text(), flags=re.MULTILINE))
    packages: set[tuple[str, str]] = set()
    waiting = [(PROJECT["name"], ""), (PROJECT["name"], extra)]
    while waiting:
        for requirement in requirements(*waiting.pop()):
            new = {(canonicalize_name(requirement.name), of) for of in ["", *requirement.extras]} - packages
            packages |= new
            waiting += [(name, of) for name, of in new if name not in for_cuda]
    return {name for name, _ in packages} - for_cuda - {PROJECT["name"]}


def requirements(name: str, extra: str) -> list[Requirement]:
    """List what a package wants by itself, or with `extra`: this project by its pyproject.toml, others as installed."""
    if name == PROJECT["name"]:
        lines = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
        return [Requirement(line) for line in lines]
    requires = map(Requirement, distribution(name).requires or [])
    return [line for line in requires if line.marker is None or line.marker.evaluate({"extra": extra})]


def licence(name: str) -> str:
    """Return the SPDX expression where a package states one; otherwise its metadata as SPDX; otherwise nothing."""
    facts = metadata(name)
    if "License-Expression" in facts:
        return str(facts["License-Expression"])
    classifiers = [line.split(" :: ")[-1] for line in facts.get_all("Classifier", []) if line.startswith("License")]
    for text in [READ.get(name, ""), *facts.get_all("License", []), *classifiers]:
        if (spdx := SPDX.get(text, text)) in PERMISSIVE | {"MPL-2.0", "ZPL-2.1"}:
            return str(spdx)
    return ""


def python_packages() -> Iterator[Package]:
    listed: set[str] = set()
    for extra in ["", "tensorboard", "demo", "search", "dev", "docs"]:
        for name in sorted(names(extra) - listed):
            version = distribution(name).version.split("+")[0]
            yield Package(name, version, licence(name), extra or "base", not extra)
            listed.add(name)


def npm_packages() -> Iterator[Package]:
    for folder in NPM:
        for path, entry in json.loads((ROOT / folder / "package-lock.json").read_text())["packages"].items():
            if "node_modules/" in path and not entry.get("link"):  # else it is a package of the project
                name = path.split("node_modules/")[-1]
                licence_ = entry.get("license", READ.get(name, "")).strip("()")
                to_develop = entry.get("dev", False) or folder.startswith("tests")
                wanted_by = f"{folder}, to develop" if to_develop else folder
                yield Package(name, entry["version"], licence_, wanted_by, not to_develop)


def row(package: Package) -> str:
    return f"| {package.name} | {package.version} | {package.licence} | {package.needed_by} |"


def table(packages: list[Package]) -> str:
    return "\n".join(["| package | version | licence | wanted by |", "|---|---|---|---|", *map(row, packages)]) + "\n"


def main() -> int:
    try:
        python, npm = list(python_packages()), list(npm_packages())
    except PackageNotFoundError as missing:
        print(f"{missing.name} is not installed; run make install", file=sys.stderr)
        return 1
    if troubles := [trouble for package in [*python, *npm] if (trouble := package.trouble())]:
        print("\n".join(troubles), file=sys.stderr)
        return 1
    head = PAGE.read_text().split(TABLES)[0]
    PAGE.write_text(f"{head}{TABLES}\n{table(python)}\n## npm\n\n{table(npm)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
