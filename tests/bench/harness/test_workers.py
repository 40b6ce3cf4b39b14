"""A worker's answers carry what they are compared by."""

from __future__ import annotations

from bench.contestants.backends import BACKENDS
from bench.harness.workers import Task, Worker
from bench.record.record import REFERENCE, Case
from bst.system.machine import last_cores
from export import open_bundle
from export.contract.parity import LARGEST
from export.proof.golden import read_golden
from tests.conftest import OnDemand


def test_the_errors_of_a_single_candidate_are_relative_to_the_usual_logit(variants: OnDemand) -> None:
    bundle = open_bundle(variants["clicks"])
    signature = bundle.manifest.signature("score_candidates")
    usual = min(call.outputs[LARGEST].min() for call in read_golden(bundle.path / "golden", signature))
    worker = Worker(
        Task(bundle.path, BACKENDS.find(REFERENCE), signature.name, 1, last_cores(1), 0, 8, as_reference=True)
    )
    worker.wait()
    case = Case(num_items=bundle.manifest.items.count, threads=1, batch_size=2, length=0, candidates=1)
    answers = worker.warm_up(case, 0.01, 1).answers
    worker.close()
    assert len(answers) == 8
    assert all(answer[LARGEST].tolist() == [usual] * 2 for answer in answers)
