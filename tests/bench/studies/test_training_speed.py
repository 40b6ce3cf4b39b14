"""The race of trainers writes its record, whoever takes part."""

import json
from pathlib import Path

import pytest

from bench.studies import training_speed


@pytest.mark.slow
def test_a_race_ends_with_a_table_and_a_record(
    tables: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training_speed, "CONTESTANTS", {"tied": training_speed.CONTESTANTS["tied"]})
    options = ["training_speed", str(tables[0]), "--rounds", "2", "--threads", "1", "--max-length", "8"]
    monkeypatch.setattr("sys.argv", [*options, "--json", str(tmp_path / "race.json")])
    training_speed.main()
    record = json.loads((tmp_path / "race.json").read_text())
    assert [len(rates) for rates in record["rows_per_s"].values()] == [2]
    assert record["machine"]["threads"] == [1]
    assert "to tied (95 %)" in capsys.readouterr().out


def test_the_record_of_a_race_says_the_threads_and_the_machine(
    tmp_path: Path, tables: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race itself is left out: what comes after it is asked."""

    class Runner:
        def communicate(self, timeout: float) -> None: ...

    monkeypatch.setattr(training_speed, "_start", lambda *arguments: Runner())
    monkeypatch.setattr(training_speed, "_one_round", lambda worker: 1000.0)
    monkeypatch.setattr("sys.argv", ["x", str(tables[0]), "--threads", "2", "--json", str(tmp_path / "race.json")])
    training_speed.main()
    record = json.loads((tmp_path / "race.json").read_text())
    assert record["machine"]["threads"] == [2]
    assert set(record["rows_per_s"]) == set(training_speed.CONTESTANTS)
