"""Settings of an export. A default is written here and nowhere else."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from bst.config import BSTConfig, Frozen
from export.contract.model_signatures import signatures_of
from export.contract.signatures import NEXT_ITEM, SIGNATURES, Ids, TopK, signatures_of_task

OPSETS = (18, 20, 21, 23)
Cpu = Literal["avx2", "native"]


class SessionOptions(Frozen):
    """Options of an ONNX Runtime session; the defaults are its own.

    Attributes:
        threads: within an operator; one a core, if not given.
        spinning: threads wait for work in a busy loop, which is faster and costs processor time.
        arena: memory is kept for the next call.
        prepacking: weights are copied into a faster layout when the session starts.
    """

    threads: Annotated[int, Field(ge=1)] | None = None
    spinning: bool = True
    arena: bool = True
    prepacking: bool = True

    def __str__(self) -> str:
        parts = [f"{self.threads or 'all'} threads"]
        parts += [f"no {name}" for name in ("spinning", "arena", "prepacking") if not getattr(self, name)]
        return ", ".join(parts)


ORT_DEFAULTS = SessionOptions()


class ExportSettings(Frozen):
    """The settings of an export.

    Attributes:
        formats: those that are written, each once.
        signatures: those that are written, each once; always in the order of `SIGNATURES`. If they are not given, all
            that the model has.
        ids: `raw` puts the vocabularies into the files, `index` leaves them to the caller.
        opset: from 21 on, `top_k` can read its compact copy in blocks, which is faster for one row.
        tune: session options of ONNX Runtime are timed on this machine, and the fastest advised.
        shortlist: `top_k` in ONNX reads a compact copy of the output layer first, where that costs less.
        single_file: each ONNX file holds its weights itself, for programs that read one file.
        golden: the golden vectors of the bundle: a name in `RECORDINGS`.
        cpu: the target of `aotinductor`: any x86-64 CPU with AVX2, or one like this.
    """

    formats: Annotated[tuple[str, ...], Field(min_length=1)] = ("onnx", "torchscript", "pt2")
    signatures: Annotated[tuple[str, ...], Field(min_length=1)] = signatures_of_task(NEXT_ITEM)
    ids: Ids = "raw"
    top_k: TopK = TopK()
    opset: int = 21
    shortlist: bool = True
    tune: bool = False
    single_file: bool = False
    golden: str = "small"
    cpu: Cpu = "avx2"

    def of_model(self, config: BSTConfig) -> Self:
        """Return these settings for a model: with its signatures, if none were chosen."""
        if "signatures" in self.model_fields_set:
            return self
        return self.model_copy(update={"signatures": signatures_of(config)})

    @field_validator("signatures")
    @classmethod
    def _in_one_order(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        order = SIGNATURES.names
        return tuple(sorted(names, key=lambda name: order.index(name) if name in order else len(order)))

    @model_validator(mode="after")
    def _names_come_once(self) -> Self:
        for what, names in (("formats", self.formats), ("signatures", self.signatures)):
            if repeated := {name for name in names if names.count(name) > 1}:
                raise ValueError(f"{what} name {', '.join(sorted(repeated))} twice; once is enough")
        return self
