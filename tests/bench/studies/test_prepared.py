"""The study of prepared data, on a table of a thousandth of its size."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bench.studies.prepared import __main__ as study
from bst.errors import CheckError
from tests.peak import HAS_PEAK


@pytest.mark.skipif(not HAS_PEAK, reason="peak memory is read from /proc")
def test_the_study_measures_preparing_training_and_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--events", "20000", "--users", "500", "--items", "90", "--train-seconds", "6"]
    monkeypatch.setattr(sys, "argv", ["prepared", *words, "--json", str(tmp_path / "record.json")])
    study.main()
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["data_bytes"] > 20000 * 12
    assert record["loader_rows_per_s"] > 10_000
    assert 10**8 < record["prepare_peak_bytes"] < 10**9
    assert 10**8 < record["train_peak_bytes"] < 2 * 10**9
    assert record["prepare_s"] < 60


def test_a_command_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match="bst prepare ended with exit code 2"):
        study.watched("prepare", tmp_path / "nothing", "--out", tmp_path / "data")
