"""The structure of the code: folders and files by size, imports between rooms, copies. `python tools/house.py`.

`tests/test_layout.py` holds these numbers to its bounds.
"""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[1]
# The floors of each package, from the ground up. A room is a folder or a file; it imports from its own floor's room and
# from those below, never from above.
FLOORS = {
    "bst": (
        *("errors", "system", "config", "data", "model", "training", "run", "imports"),
        *("settings_file", "options", "commands", "cli", "__main__"),
    ),
    "export": (
        *("contract", "serving", "shortlist", "guards", "sessions", "formats", "proof", "handout", "bundle"),
        *("batch", "spark", "page", "commands"),
    ),
    "bench": ("record", "contestants", "models", "harness", "modes", "report", "studies", "gpu", "demo", "commands"),
}
PACKAGES = tuple(FLOORS)
COPIED = 6  # lines in a row
CODE = (".py", ".mjs", ".js", ".hpp", ".cpp")


def sources(*folders: str) -> list[Path]:
    """List the files that git knows below `folders`, and new ones that it does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *folders], cwd=ROOT, capture_output=True, text=True, check=True
    )
    paths = (ROOT / name for name in listed.stdout.splitlines())
    return sorted(path for path in paths if path.suffix in CODE and path.is_file())


def files_a_folder(paths: list[Path]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for path in paths:
        if path.name != "__init__.py":
            counts[path.parent.relative_to(ROOT).as_posix()] += 1
    return dict(counts)


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def source_lines(path: Path) -> int:
    """Count the lines that are neither empty nor a comment; docstrings count."""
    return sum(bool(line.strip()) and not line.strip().startswith(("#", "//", "*", "/*")) for line in lines_of(path))


def functions(paths: list[Path]) -> Iterator[tuple[int, str]]:
    """Count the lines of each Python function, without those of its docstring."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno:
                first = node.body[0]
                has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
                docstring = (first.end_lineno or 0) - first.lineno + 1 if has_docstring else 0
                place = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
                yield node.end_lineno - node.lineno + 1 - docstring, place


def imports(path: Path) -> Iterator[str]:
    """Yield the modules of this project that a Python file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def room_of(module: str) -> tuple[str, str] | None:
    package, _, rest = module.partition(".")
    room = rest.partition(".")[0]
    return (package, room) if package in FLOORS and room in FLOORS[package] else None


def arrows() -> set[tuple[tuple[str, str], tuple[str, str], str]]:
    """List each import from one room into another: from, to, and the file that it stands in."""
    imported = set()
    for path in (file for file in sources(*PACKAGES) if file.suffix == ".py"):
        name = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        here = room_of(name.removesuffix(".__init__"))
        if here is None:  # the package itself, above all its rooms
            continue
        rooms = (room_of(module) for module in imports(path))
        imported |= {(here, there, path.relative_to(ROOT).as_posix()) for there in rooms if there and there != here}
    return imported


def height(room: tuple[str, str]) -> int:
    below = sum(len(FLOORS[package]) for package in PACKAGES[: PACKAGES.index(room[0])])
    return below + FLOORS[room[0]].index(room[1])


def arrows_up() -> list[str]:
    """List the imports of a room from a higher floor."""
    return sorted(f"{file} imports {'.'.join(there)}" for here, there, file in arrows() if height(there) > height(here))


def unplaced() -> list[str]:
    """List folders and files of the packages that stand on no floor."""
    rooms = set()
    for path in (file for file in sources(*PACKAGES) if file.suffix == ".py"):
        package, *rest = path.relative_to(ROOT).with_suffix("").parts
        if rest[0] != "__init__" and rest[0] not in FLOORS[package]:
            rooms.add(f"{package}.{rest[0]}")
    return sorted(rooms)


def circles() -> list[str]:
    """List the pairs of Python files that import one another, directly or by way of others."""
    names = {
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): path
        for path in sources(*PACKAGES)
        if path.suffix == ".py" and path.name != "__init__.py"
    }
    direct = {
        name: {module for module in imports(path) if module in names and module != name} for name, path in names.items()
    }
    reached = {name: set(modules) for name, modules in direct.items()}
    for middle in names:
        for name in names:
            if middle in reached[name]:
                reached[name] |= reached[middle]
    return sorted(
        f"{name} and {other}" for name in names for other in reached[name] if name < other and name in reached[other]
    )


def copied_lines(paths: list[Path]) -> dict[str, int]:
    """Count the lines that stand in two files, `COPIED` or more in a row and not all punctuation, by the pair of
    files.
    """
    places: dict[tuple[str, ...], set[Path]] = defaultdict(set)
    windows: dict[Path, list[tuple[str, ...]]] = {}
    for path in paths:
        lines = [line.strip() for line in lines_of(path)]
        lines = [line for line in lines if len(line) > 3 and not line.startswith(("import ", "from ", "#include"))]
        windows[path] = [tuple(lines[start : start + COPIED]) for start in range(len(lines) - COPIED + 1)]
        for window in windows[path]:
            places[window].add(path)
    counts: dict[str, int] = defaultdict(int)
    for path, own in windows.items():
        for other in {two for window in own for two in places[window]} - {path}:
            if path < other:
                shared = [other in places[window] for window in own]
                runs = sum(now and not before for before, now in pairwise([False, *shared]))
                counts[f"{path.relative_to(ROOT)} and {other.relative_to(ROOT)}"] = sum(shared) + runs * (COPIED - 1)
    return dict(counts)


def public_names() -> dict[str, int]:
    """Count the names in the `__all__` of each package and room."""
    counts = {}
    for path in (file for file in sources(*PACKAGES) if file.name == "__init__.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
                counts[path.parent.relative_to(ROOT).as_posix()] = len(ast.literal_eval(node.value))
    return counts


def main() -> None:
    for title, folders in (("packages", PACKAGES), ("clients", ("clients",)), ("tests", ("tests",))):
        paths = sources(*folders)
        python = [path for path in paths if path.suffix == ".py"]
        folder_sizes, file_sizes = files_a_folder(paths), {path: len(lines_of(path)) for path in paths}
        print(f"{title}:")
        for folder in folders:
            inside = sources(folder)
            print(f"  {folder}: {sum(map(source_lines, inside)):,} source lines in {len(inside)} files")
        largest = max(folder_sizes, key=folder_sizes.__getitem__)
        median = statistics.median(folder_sizes.values())
        print(f"  files a folder: at most {folder_sizes[largest]} ({largest}), median {median:g}")
        longest = max(file_sizes, key=file_sizes.__getitem__)
        at_most = f"{file_sizes[longest]} ({longest.relative_to(ROOT)})"
        print(f"  lines a file: at most {at_most}, median {statistics.median(file_sizes.values()):g}")
        if python:
            sizes = sorted(functions(python))
            at_most = f"{sizes[-1][0]} ({sizes[-1][1]})"
            print(f"  lines a function: at most {at_most}, median {statistics.median(size for size, _ in sizes):g}")
        copies = copied_lines(paths)
        print(f"  copied lines: {sum(copies.values())} in {len(copies)} pairs of files")
        for pair, count in sorted(copies.items(), key=lambda item: -item[1])[:5]:
            print(f"    {count} in {pair}")
    names = public_names()
    print(f"public names: {sum(names.values())} in {len(names)} packages and rooms")
    for what, problems in (("arrows up", arrows_up()), ("circles", circles()), ("on no floor", unplaced())):
        print(f"{what}: {len(problems)}", *(f"  {problem}" for problem in problems), sep="\n")


if __name__ == "__main__":
    sys.exit(main())
