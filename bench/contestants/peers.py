"""The opponents: common ways to serve a model, from the same weights, by index (ids are looked up before the clock).

plain-compile            `torch.compile` of the plain module (`bench.contestants.plain`)
plain-script             `torch.jit.script` of it
plain-onnx               `torch.onnx.export` of it, in ONNX Runtime with its defaults
plain-onnx-legacy        the same by the older exporter (`dynamo=False`)
plain-onnx-optimized     `plain-onnx` through `onnxruntime.transformers.optimizer`
plain-onnx-int8          `plain-onnx` through `quantize_dynamic` (seven bits without VNNI); not expected to be equal
plain-openvino           `plain-onnx` in OpenVINO, set to float32
plain-openvino-defaults  the same with OpenVINO's defaults, which may be less than float32; not expected to be equal

Of a bundle that was imported, with the folder that it was imported from:

torch-rechub             the library's own class in PyTorch (`bench.contestants.rechub`)
torch-rechub-onnx        the library's own export of it, in ONNX Runtime with its defaults
fuxictr                  not measured: its class is in the library's repository, not in its package
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from bench.contestants.backends import Backend, Lacks, Open, lacks_compiler, lacks_openvino, nothing
from bench.contestants.plain_files import (
    built_for_onnxruntime,
    built_for_openvino,
    built_in_torch,
    export_plain,
    optimize_plain,
    quantize_plain,
)
from bench.contestants.rechub import build_class, build_export, lacks_rechub
from bench.contestants.sessions import OPENVINO_IN_FLOAT32
from bench.record.record import BenchConfig
from bst.errors import InputError, reason
from bst.imports.importer import library_of
from bst.system.console import Tell
from bst.system.registry import Registry
from export import Bundle
from export.contract.signatures import SIGNATURES
from export.formats.quiet import quiet
from export.formats.torchscript_archive import script


@dataclass(frozen=True)
class Opponent:
    """A common way to serve a model, to compare with. Add one to `OPPONENTS`, and `--peers` measures it.

    Attributes:
        name: on the command line, as that of a backend.
        build: from a bundle, the name of a signature, an empty folder for files, and the folder of `made_from`, a
            function that opens it. If it raises, the opponent is missing and the others are measured.
        made_from: the opponent whose files it starts from; one that comes before it.
        library: the library whose own model it is; in place of `made_from`, `build` gets the folder of the import.
        lacks: returns the reason why it cannot be measured on this machine, or None.
        exact: its answers should equal eager's.
    """

    name: str
    build: Callable[[Bundle, str, Path, Path | None], Open]
    made_from: str | None = None
    library: str | None = None
    lacks: Lacks = nothing
    exact: bool = True

    def suits(self, bundle: Bundle, library: str | None) -> bool:
        """Return whether it is among all opponents of a bundle. Without a `library`, each library's may be, of a click
        model.
        """
        if self.library is None:
            return True
        return self.library == library if library else not bundle.manifest.model.scores_catalogue

    def missing(self, bundle: Bundle, signature: str, library: str | None) -> str | None:
        """Say why it cannot be measured, or None."""
        if self.library is None and bundle.manifest.model.sequences:
            return "the plain export reads one sequence"
        if self.library is None and SIGNATURES.find(signature).picks and bundle.manifest.settings.top_k.k_is_input:
            return "the plain export has no k as an input"
        if lack := self.lacks(bundle):
            return lack
        if self.library and self.library != library:
            return f"give --imported-from DIR, the folder that `bst import {self.library}` read"
        return None


def choose_peers(bundle: Bundle, config: BenchConfig, imported_from: Path | None = None) -> tuple[str, ...]:
    """Return the names of the opponents that `config` asks for; `imported_from` is as in `build_peers`."""
    library = library_of(imported_from) if imported_from else None
    return tuple(
        opponent.name
        for opponent in OPPONENTS
        if opponent.name in config.backends or (config.peers and opponent.suits(bundle, library))
    )


def require_library(config: BenchConfig, imported_from: Path) -> None:
    """Refuse the folder of an import that no opponent of `config` is built from.

    Raises:
        InputError: it is no such folder, or `config` asks for none of its library's opponents.
    """
    library = library_of(imported_from)
    own = [opponent.name for opponent in OPPONENTS if opponent.library == library]
    if not config.peers and not {*own} & {*config.backends}:
        raise InputError(f"--imported-from {imported_from} is for the opponents {', '.join(own)}; give --peers too")


def build_peers(
    bundle: Bundle,
    signature: str,
    folder: Path,
    names: Sequence[str],
    tell: Tell = lambda step: None,
    *,
    imported_from: Path | None = None,
) -> tuple[dict[str, Backend], dict[str, str]]:
    """Build the files of the opponents `names` below `folder`; return the backends by name, and the reasons for those
    that are missing.

    Args:
        imported_from: the folder that `bst import` made the bundle's run of.
    """
    library = library_of(imported_from) if imported_from else None
    chosen = [OPPONENTS.find(name) for name in names]
    needed = {opponent.name for opponent in chosen} | {opponent.made_from for opponent in chosen}
    peers: dict[str, Backend] = {}
    missing: dict[str, str] = {}
    for opponent in OPPONENTS:
        if opponent.name not in needed:
            continue
        if lack := opponent.missing(bundle, signature, library):
            missing[opponent.name] = lack
            continue
        if opponent.made_from in missing:
            missing[opponent.name] = f"{opponent.made_from} {missing[opponent.made_from]}"
            continue
        tell(f"building {opponent.name}")
        (folder / opponent.name).mkdir()
        try:
            with _silent():
                source = folder / opponent.made_from if opponent.made_from else imported_from
                opened = opponent.build(bundle, signature, folder / opponent.name, source)
        except Exception as error:  # exporters and optimizers raise any exception
            missing[opponent.name] = f"cannot be built: {_first_line(error)}"
            continue
        peers[opponent.name] = Backend(opponent.name, opened, exact=opponent.exact, peer=True)
    return (
        {name: opponent for name, opponent in peers.items() if name in names},
        {name: reason for name, reason in missing.items() if name in names},
    )


def _lacks_fuxictr(bundle: Bundle) -> str | None:
    return "its class is in FuxiCTR's repository, not in its package"


def _not_built(bundle: Bundle, signature: str, folder: Path, source: Path | None) -> Open:
    raise NotImplementedError  # it always lacks something


PLAIN = "plain-onnx"
OPPONENTS: Registry[Opponent] = Registry(
    "opponent",
    (
        Opponent("plain-compile", partial(built_in_torch, prepared=torch.compile), lacks=lacks_compiler),
        Opponent("plain-script", partial(built_in_torch, prepared=script)),
        Opponent(PLAIN, partial(built_for_onnxruntime, write=partial(export_plain, dynamo=True))),
        Opponent("plain-onnx-legacy", partial(built_for_onnxruntime, write=partial(export_plain, dynamo=False))),
        Opponent("plain-onnx-optimized", partial(built_for_onnxruntime, write=optimize_plain), made_from=PLAIN),
        Opponent("plain-onnx-int8", partial(built_for_onnxruntime, write=quantize_plain), made_from=PLAIN, exact=False),
        Opponent(
            "plain-openvino",
            partial(built_for_openvino, settings=OPENVINO_IN_FLOAT32),
            made_from=PLAIN,
            lacks=lacks_openvino,
        ),
        Opponent(
            "plain-openvino-defaults",
            partial(built_for_openvino, settings={}),
            made_from=PLAIN,
            lacks=lacks_openvino,
            exact=False,
        ),
        Opponent("torch-rechub", build_class, library="torch-rechub", lacks=lacks_rechub),
        Opponent("torch-rechub-onnx", build_export, library="torch-rechub", lacks=lacks_rechub),
        Opponent("fuxictr", _not_built, library="fuxictr", lacks=_lacks_fuxictr),
    ),
)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Suppress what exporters print and log."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with quiet(), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(level)


def _first_line(error: Exception) -> str:
    return reason(error)[:200]
