"""The harness: each contestant in a process of its own, and its inputs."""

from bench.harness.contest import Contest
from bench.harness.workers import Task, Worker

__all__ = ["Contest", "Task", "Worker"]
