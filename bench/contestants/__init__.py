"""Contestants: every way to run a bundle, and the opponents."""

from bench.contestants.backends import BACKENDS, Backend, find_backends
from bench.contestants.peers import OPPONENTS, build_peers, open_onnx, whole_inputs

__all__ = ["BACKENDS", "OPPONENTS", "Backend", "build_peers", "find_backends", "open_onnx", "whole_inputs"]
