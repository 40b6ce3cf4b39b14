"""Contestants: every way to run a bundle, and the opponents."""

from bench.contestants.backends import BACKENDS, Backend, find_backends
from bench.contestants.peers import OPPONENTS, Opponent, build_peers

__all__ = ["BACKENDS", "OPPONENTS", "Backend", "Opponent", "build_peers", "find_backends"]
