"""A check of the package: sdist and wheel are built and inspected, and the wheel is used alone.

The wheel goes with the versions of constraints.txt into a new virtual environment, and from an empty folder a model is
trained, exported, verified and asked. `--sdist` installs the sdist instead.
"""

import random
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
PACKAGES = ("bst", "export", "bench")
OF_THE_REPOSITORY = {".ci/run", ".gitignore"}


class PackageError(Exception):
    """A failed check, in one line."""


def run(*command: str | Path, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        last_line = (done.stderr.strip() or done.stdout.strip() or "nothing was said").splitlines()[-1]
        raise PackageError(f"{' '.join(map(str, command))} gave {done.returncode}: {last_line}")
    return done.stdout


def files_of_the_project() -> set[str]:
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", folder=ROOT).splitlines()
    return {name for name in listed if (ROOT / name).is_file()} - OF_THE_REPOSITORY


def build(names: set[str], folder: Path) -> tuple[Path, Path]:
    """Build from a copy, so that nothing left from an earlier build gets in; the wheel is built from the sdist."""
    source, dist = folder / "source", folder / "dist"
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    uv = Path(sys.executable).with_name("uv")
    run(uv, "build", "--quiet", "--build-constraints=constraints.txt", f"--out-dir={dist}", folder=source)
    (sdist,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
    return sdist, wheel


def same(what: str, actual: set[str], expected: set[str]) -> None:
    if actual != expected:
        lacks, has = ", ".join(sorted(expected - actual)), ", ".join(sorted(actual - expected))
        raise PackageError(f"{what} lacks: {lacks or 'nothing'}; holds besides: {has or 'nothing'}")


def look_into(sdist: Path, wheel: Path, names: set[str]) -> None:
    with tarfile.open(sdist) as archive:
        members = {member.name.split("/", 1)[1] for member in archive if member.isfile()}
    generated = {"PKG-INFO", "setup.cfg"} | {name for name in members if name.split("/")[0].endswith(".egg-info")}
    same("the sdist", members - generated, names)
    members = set(zipfile.ZipFile(wheel).namelist())
    about = wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info"
    packaged = {name for name in names if name.split("/")[0] in PACKAGES}
    parts = ["METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"]
    same("the wheel", members, packaged | {f"{about}/{part}" for part in parts})


def events(path: Path) -> None:
    """Make up 60 users who mostly go on from one item to the next."""
    chance = random.Random(0)
    rows = [f"{user},{(user + step + chance.randrange(2)) % 20 + 1},{step}" for user in range(60) for step in range(12)]
    path.write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")


def use(package: Path, folder: Path) -> None:
    venv.create(folder / "venv", with_pip=True)
    bin_folder = folder / "venv" / "bin"
    run(bin_folder / "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", package, folder=folder)
    work = folder / "work"
    work.mkdir()
    events(work / "events.csv")
    (work / "small.toml").write_text("[model]\ndim = 16\n[training]\nepochs = 1\n")
    bst = bin_folder / "bst"
    run(bst, "--help", folder=work)
    run(bst, "train", "events.csv", "--config", "small.toml", "--out", "RUN", folder=work)
    run(bst, "export", "RUN", "--out", "BUNDLE", folder=work)
    run(bst, "verify", "BUNDLE", folder=work)
    if len(run(bst, "recommend", "BUNDLE", "--history", "3,4", folder=work).splitlines()) != 10:
        raise PackageError("bst recommend does not give ten items")


def main() -> int:
    names = files_of_the_project()
    with TemporaryDirectory() as folder:
        try:
            sdist, wheel = build(names, Path(folder))
            look_into(sdist, wheel, names)
            use(sdist if "--sdist" in sys.argv else wheel, Path(folder))
        except PackageError as error:
            print(error, file=sys.stderr)
            return 1
    print(f"{sdist.name} and {wheel.name} hold what they should, and bst runs without anything else")
    return 0


if __name__ == "__main__":
    sys.exit(main())
