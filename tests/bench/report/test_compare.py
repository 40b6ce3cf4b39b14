"""`bst compare`: what changed between two records, which here are made from one measured record."""

import json
from pathlib import Path

import pytest

from bench import BenchConfig, BenchRecord
from bench.report.compare import compare_records, differences
from bst import InputError
from tests.conftest import Command, refused


def slowed(record: BenchRecord, factor: float, backend: str, failure: str | None = None) -> BenchRecord:
    """The same record as if a backend had taken so many times as long."""
    rows = []
    for row in record.latency:
        if row.backend == backend:
            samples = tuple(
                tuple(tuple(value * factor for value in calls) for calls in rounds) for rounds in row.samples_us
            )
            parity = row.parity.model_copy(update={"failure": failure})
            row = row.model_copy(update={"samples_us": samples, "parity": parity})
        rows.append(row)
    return record.model_copy(update={"latency": tuple(rows)})


def write(record: BenchRecord, path: Path) -> Path:
    path.write_text(json.dumps(record.to_dict()))
    return path


def test_a_record_agrees_with_itself(bst_command: Command, record: BenchRecord, tmp_path: Path) -> None:
    path = write(record, tmp_path / "a.json")
    code, out, err = bst_command("compare", path, path)
    assert (code, err) == (0, "")
    assert "2 of 2 agree within their intervals" in out
    assert "different" not in out


def test_what_became_twice_as_slow_is_slower_also_beside_eager(record: BenchRecord) -> None:
    changes = {one.backend: one for one in compare_records(record, slowed(record, 4.0, "onnxruntime"))}
    assert changes["eager"].verdict == "cannot tell"
    assert changes["onnxruntime"].verdict == "slower"
    assert changes["onnxruntime"].ratio.value == pytest.approx(0.25)
    assert changes["onnxruntime"].beside_eager is not None
    assert changes["onnxruntime"].beside_eager.value == pytest.approx(0.25)


def test_a_slower_machine_changes_nothing_beside_eager(record: BenchRecord) -> None:
    slower = slowed(slowed(record, 4.0, "onnxruntime"), 4.0, "eager")
    changes = {one.backend: one for one in compare_records(record, slower)}
    assert changes["onnxruntime"].verdict == "slower"
    assert changes["onnxruntime"].beside_eager is not None
    assert changes["onnxruntime"].beside_eager.value == pytest.approx(1.0)


def test_wrong_answers_are_told_whatever_the_speed(record: BenchRecord) -> None:
    changes = compare_records(record, slowed(record, 0.5, "onnxruntime", "row 0 is off"))
    assert [one.parity for one in changes] == ["right", "NOW WRONG"]


def test_another_machine_or_setting_is_named(record: BenchRecord) -> None:
    other = record.model_copy(
        update={"environment": {**record.environment, "cpu": "another"}, "config": BenchConfig(launches=9)}
    )
    told = differences(record, other)
    assert f"cpu: {record.environment['cpu']} before, another after" in told
    assert "launches: 3 before, 9 after" in told


def test_records_of_different_cases_are_refused(record: BenchRecord) -> None:
    with pytest.raises(InputError, match="nothing is in both records"):
        compare_records(record, record.model_copy(update={"latency": ()}))


def test_what_is_no_record_is_one_line(bst_command: Command, record: BenchRecord, tmp_path: Path) -> None:
    path = write(record, tmp_path / "a.json")
    refused(bst_command("compare", path, tmp_path / "no.json"), "no.json is not there")
    (tmp_path / "old.json").write_text('{"schema_version": 1}')
    refused(bst_command("compare", path, tmp_path / "old.json"), "schema_version=1", "measure again")
    broken = {**record.to_dict(), "latency": "none"}
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    refused(bst_command("compare", path, tmp_path / "broken.json"), "broken.json", "latency")


def test_changes_for_machines_are_json(bst_command: Command, record: BenchRecord, tmp_path: Path) -> None:
    paths = write(record, tmp_path / "a.json"), write(slowed(record, 4.0, "onnxruntime"), tmp_path / "b.json")
    code, out, _ = bst_command("compare", *paths, "--json")
    assert code == 0
    assert [one["verdict"] for one in json.loads(out)["changes"]] == ["cannot tell", "slower"]
