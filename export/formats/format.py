"""A format: a value with functions that write, open, inspect and call its files, and state their needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from bst.config import BSTConfig
from bst.data.vocabulary import Vocabularies
from bst.errors import CheckError
from bst.run.folder import Run
from export.contract.inputs import Array
from export.contract.manifest import Entry, FormatRecord, Manifest, Needs, OutputLayer
from export.contract.model_signatures import can_hold_raw_ids
from export.contract.settings import ORT_DEFAULTS, ExportSettings, SessionOptions
from export.contract.signatures import Ids, Signature
from export.serving.blocks import Blocks
from export.serving.scorer import ServedModel, make_scorer
from export.sessions.session import Session
from export.shortlist.choice import Shortlist

SNIPPETS = Path(__file__).with_name("snippets")
IN_TORCH = """\
pip install torch=={torch} numpy=={numpy}
python ../program.py"""


@dataclass(frozen=True)
class Order:
    """The order to a format: what to write.

    Attributes:
        folder: to write to; it is empty, and has the name of the format.
        signatures: at the level at which the format holds ids.
        metadata: texts by name that go into the files themselves.
        shortlist: the compact copies for `top_k`, for formats that can use them.
    """

    folder: Path
    run: Run
    signatures: tuple[Signature, ...]
    settings: ExportSettings
    metadata: Mapping[str, str]
    shortlist: Shortlist | None = None

    def served(self, *, one_length: bool = False, packed: bool = False) -> ServedModel:
        """Return the network to be written, in evaluation mode; see `Scorer`."""
        top_k, config = self.settings.top_k, self.run.config.model
        scorer = make_scorer(self.run.model, config, top_k, one_length=one_length, packed=packed)
        vocabularies = self.run.vocabularies if self.signatures[0].ids == "raw" else None
        return ServedModel(scorer, vocabularies, config).eval()


@dataclass(frozen=True)
class Snippet:
    """A whole program that calls a signature in the bundle's folder, for people: a template, see `export.handout`.

    Attributes:
        commands: shell lines that install what it needs and run it, in the bundle's folder; the program is beside that
            folder, as `program.py`, `.cpp` or `.mjs`. `{torch}` stands for a version of the manifest.
    """

    title: str
    language: str
    template: Path
    commands: str


@dataclass(frozen=True)
class Question:
    """A call on which a format and the model differ: tensors by index as `BST.forward` names them, and the inputs as
    the format takes them.
    """

    by_index: Mapping[str, Any]
    inputs: Mapping[str, Array]


class Format(ABC):
    """One format. Add one to `FORMATS`, and bundles can hold it.

    Attributes:
        name: in settings, in the manifest, and of its folder in a bundle.
        backend: its runtime, by its name in `bst recommend --backend`.
        holds_text: text can go in and out of it. If not, a bundle with text ids holds it at index level.
        equal_scores: the order of items of equal scores in `top_k`.
        snippets: programs that the README in a bundle shows.
    """

    name: str
    backend: str
    holds_text: bool = True
    equal_scores: Literal["lower index first", "any order"] = "any order"
    snippets: tuple[Snippet, ...] = ()

    def level(self, ids: Ids, vocabularies: Vocabularies) -> Ids:
        """Return the level of its ids in a bundle of `ids`."""
        return ids if self.holds_text or can_hold_raw_ids(vocabularies) else "index"

    def require(self, config: BSTConfig, settings: ExportSettings) -> None:  # noqa: B027  most can write everything
        """Refuse what it cannot write, before any work is done.

        Raises:
            InputError: the message has the reason and the remedy.
        """

    def copies(self, settings: ExportSettings) -> int:
        """Return how many times the weights are stored in its folder."""
        return 1

    @abstractmethod
    def entry(self, signature: str) -> Entry:
        """Return the place of a signature in a bundle."""

    @abstractmethod
    def write(self, order: Order) -> OutputLayer | None:
        """Write the files; return the place of the output layer in them, if other programs can read it there.

        Raises:
            CheckError: they could not be written, or are not what was to be written.
        """

    @abstractmethod
    def needs(self, folder: Path, settings: ExportSettings) -> Needs:
        """Return the needs of the files in `folder`."""

    def obstacles(self, needs: Needs) -> list[str]:
        """List the reasons why its files cannot run here, beyond those that `export.formats.compatibility` checks
        for every format.
        """
        return []

    def warnings(self) -> list[str]:
        """List what may break here, though it was not seen to."""
        return []

    def check(self, path: Path, signature: Signature) -> None:  # noqa: B027  most files state no signature
        """Check that the file itself states `signature`.

        Raises:
            CheckError: it does not.
        """

    def beside(self, path: Path) -> list[str]:
        """List the other files that a file of this format names and needs, relative to its folder."""
        return []

    @abstractmethod
    def open(
        self, path: Path, signature: Signature, *, threads: int | None = None, options: SessionOptions = ORT_DEFAULTS
    ) -> Session:
        """Load a signature from its file; `threads` and `options` are of ONNX Runtime.

        Raises:
            InputError: the file does not load.
        """

    def look(self, path: Path, signature: Signature, question: Question) -> Blocks | str:
        """Return the values of the blocks inside (`export.serving.blocks`) at a call, or the reason why they cannot
        be read.
        """
        return f"the blocks inside {self.name} cannot be read"

    def open_in(
        self,
        bundle: Path,
        record: FormatRecord,
        signature: Signature,
        *,
        threads: int | None = None,
        options: SessionOptions = ORT_DEFAULTS,
    ) -> Session:
        """Load a signature of a bundle, at the level of the format; see `open`."""
        return self.open(file_of(bundle, record, signature), signature, threads=threads, options=options)

    def beside_in(self, bundle: Path, manifest: Manifest, record: FormatRecord, signature: Signature) -> list[str]:
        """List the other files that a signature of a bundle needs, as paths of the manifest; see `beside`.

        Raises:
            CheckError: one is not in the manifest, so that its content cannot be checked.
        """
        path = file_of(bundle, record, signature)
        folder = PurePosixPath(record.entries[signature.name].path).parent
        needed = [(folder / name).as_posix() for name in self.beside(path)]
        if strangers := sorted(set(needed) - {file.path for file in manifest.files}):
            raise CheckError(
                f"{path} names weights that are no files of its bundle: {', '.join(strangers)}; export again"
            )
        return needed


def file_of(bundle: Path, record: FormatRecord, signature: Signature) -> Path:
    """Return the path of the file of a signature; `record` must hold it."""
    return bundle / record.entries[signature.name].path
