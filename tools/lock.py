"""The locks: every installed version, with the sha256 of each of its files.

`requirements-torch.lock` and `requirements.lock` are what `make install` takes, `requirements-cuda.lock` is what a
torch with CUDA wants beside it, `constraints.txt` has the versions of all three without hashes, and
`tools/requirements.lock` is what these tools run with.

A version stays as it is while pyproject.toml allows it. `--upgrade` takes the newest, `--upgrade-package NAME` one.
"""

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
HEAD = "# Written by `make lock` from pyproject.toml.\n"
LOCKS = {
    "requirements-torch.lock": re.compile(r"torch=="),
    "requirements-cuda.lock": re.compile(r"(cuda|nvidia)-|triton=="),
    "requirements.lock": re.compile(r""),
}


def locked(sources: list[str], files: list[Path], options: list[str]) -> Iterator[str]:
    """Write one text a package, with hashes that hold on every platform; `files` fix the versions to keep."""
    with TemporaryDirectory() as folder:
        pins = Path(folder) / "found.txt"
        pins.write_text("".join(path.read_text() for path in files if path.exists()))
        uv = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "--quiet"]
        every = ["--universal", "--python-version=3.11", "--generate-hashes"]
        output = ["--no-header", "--no-annotate", f"--output-file={pins}"]
        subprocess.run([*uv, *every, *output, *sources, *options], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        for package in re.findall(r"^\S.*\n(?:\s.*\n)*", pins.read_text(), flags=re.MULTILINE):
            yield with_hash_of_cpu_build(package) if package.startswith("torch==") else package


def with_hash_of_cpu_build(package: str) -> str:
    """Add the hash of the wheel in pip's --find-links, if there is one: it is not among those of PyPI."""
    with TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-index", "--dest", folder]
        subprocess.run([*pip, package.split()[0]], stderr=subprocess.DEVNULL)
        hashes = {hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in Path(folder).iterdir()}
    listed = set(re.findall(r"sha256:(\w+)", package))
    lines = [package.split(" \\\n")[0], *(f"    --hash=sha256:{sha}" for sha in sorted(hashes | listed))]
    return " \\\n".join(lines) + "\n"


def write(name: str, packages: Iterable[str]) -> None:
    """Write a file unless it has that content: it keeps its time, so that `make install` has nothing to do."""
    path, text = ROOT / name, HEAD + "".join(packages)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def lock_of(package: str) -> str:
    return next(name for name, pattern in LOCKS.items() if pattern.match(package))


def main(options: list[str]) -> None:
    sources = ["pyproject.toml", "--extra=demo", "--extra=dev", "--extra=docs"]
    packages = list(locked(sources, [ROOT / name for name in LOCKS], options))
    for name in LOCKS:
        write(name, (package for package in packages if lock_of(package) == name))
    write("constraints.txt", (package.split(" \\\n")[0] + "\n" for package in packages))
    tools = "tools/requirements.lock"
    write(tools, locked(["--group=tools"], [ROOT / tools], options))


if __name__ == "__main__":
    main(sys.argv[1:])
