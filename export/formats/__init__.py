"""Formats: the files that a bundle can hold a model as, each a value that writes, opens and looks into them."""

from bst.system.registry import Registry
from export.formats.aotinductor import AOTInductor
from export.formats.format import Format, Order, Question, Snippet
from export.formats.onnx.format import Onnx
from export.formats.pt2 import Pt2
from export.formats.torchscript import TorchScript

FORMATS: Registry[Format] = Registry("format", (Onnx(), TorchScript(), Pt2(), AOTInductor()))

__all__ = ["FORMATS", "Format", "Order", "Question", "Snippet"]
