"""Session options of ONNX Runtime: what is tried, what is kept, and that it is applied."""

from pathlib import Path

import numpy as np
import pytest

import export.bundle.exporter
import export.bundle.tuning
import export.shortlist.rates
from bst import InputError
from export import ExportSettings, TopK, export_bundle, open_bundle
from export.bundle.tuning import BATCH_SIZES, ROUNDS, tune
from export.contract.choices import ZEN_4, Rates
from export.contract.settings import SessionOptions
from export.sessions.session import _session_options
from export.shortlist.choice import _Costs
from export.shortlist.rates import measure_rates

TUNED = ExportSettings(top_k=TopK(limit=3), formats=("onnx",), signatures=("top_k",), tune=True)


def test_options_reach_the_session() -> None:
    chosen = SessionOptions(threads=2, spinning=False, arena=False, prepacking=False)
    given = _session_options(chosen, None, "all")
    assert given.intra_op_num_threads == 2
    assert not given.enable_cpu_mem_arena
    assert given.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert given.get_session_config_entry("session.disable_prepacking") == "1"
    assert _session_options(chosen, 1, "all").intra_op_num_threads == 1


@pytest.mark.slow
@pytest.mark.bundle
def test_what_is_faster_in_every_round_is_kept_and_applied(
    run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fake(  # type: ignore[no-untyped-def]
        bundle, record, signature, candidates, tried, tell
    ) -> None:
        for options in candidates:
            one, many = 100.0, 1000.0
            if options.threads == 1:
                one *= 0.9
            if not options.arena:
                many *= 1.2
            if not options.prepacking:
                one *= 0.99  # less than what noise would do
            tried.setdefault(options, []).extend([[one, many]] * ROUNDS)

    monkeypatch.setattr(export.bundle.tuning, "_measure_by_turns", fake)
    asked: list[object] = []
    rates = Rates(cached_bytes=123.0)
    monkeypatch.setattr(export.bundle.exporter, "in_own_process", lambda function: asked.append(function) or rates)
    manifest = export_bundle(run_path, tmp_path / "bundle", TUNED)
    assert asked == [measure_rates]
    assert manifest.tuning is not None
    assert manifest.tuning.rates == rates
    assert manifest.session_options == SessionOptions(threads=1)
    assert {row.batch_size for row in manifest.tuning.rows} == set(BATCH_SIZES)
    session = open_bundle(tmp_path / "bundle").session()
    assert session.session.get_session_options().intra_op_num_threads == 1  # type: ignore[attr-defined]


def test_tuning_measures_real_sessions(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export.bundle.tuning, "STEPS", (("threads", 1),))
    monkeypatch.setattr(export.bundle.tuning, "ROUNDS", 1)
    manifest = open_bundle(bundle_path).manifest
    found = tune(bundle_path, manifest.format("onnx"), manifest.main_signature(), ZEN_4)
    assert len(found.rows) == 2 * len(BATCH_SIZES)
    assert all(row.p50_us > 1 for row in found.rows)
    assert found.options in {row.options for row in found.rows}


def test_without_onnx_there_is_nothing_to_tune(run_path: Path, tmp_path: Path) -> None:
    settings = TUNED.model_copy(update={"formats": ("torchscript",)})
    with pytest.raises(InputError, match="formats=torchscript lacks onnx; add it"):
        export_bundle(run_path, tmp_path / "bundle", settings)


def test_the_rates_of_the_machine_are_measured_and_kept_beside_what_they_decided(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export.shortlist.rates, "SECONDS", 0.01)
    monkeypatch.setattr(export.shortlist.rates, "BEYOND_CACHE", 2**23)
    rates = measure_rates()
    measured = {name: value for name, value in rates.model_dump().items() if value != getattr(ZEN_4, name)}
    assert set(measured) == {
        *("cached_bytes", "streamed_bytes", "streamed_table_bytes", "small_bytes", "float_products"),
        *("integer_products", "gathered_bytes", "gathered_bytes_many", "pick", "pick_many"),
    }
    assert all(value > 0 for value in measured.values())
    monkeypatch.setattr(export.bundle.tuning, "STEPS", ())
    manifest = open_bundle(bundle_path).manifest
    assert tune(bundle_path, manifest.format("onnx"), manifest.main_signature(), rates).rates == rates


def test_on_a_machine_that_reads_memory_slowly_a_compact_copy_pays_earlier() -> None:
    slow, fast = (_Costs(50_000, 128, Rates(streamed_bytes=one, cache_bytes=0)) for one in (1e3, 1e6))
    copy = (128, 32, np.zeros(8))
    assert slow.few(*copy) < slow.plain(1)
    assert fast.few(*copy) > fast.plain(1)
