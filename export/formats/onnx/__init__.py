"""The ONNX format: graphs of plain operators over one file of weights."""

from export.formats.onnx.format import Onnx

__all__ = ["Onnx"]
