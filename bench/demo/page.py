"""The page that a demo ends in."""

from __future__ import annotations

from dataclasses import dataclass

from bench.record.record import BenchRecord
from bench.report.page import cards, figure, page, paragraph, preformatted, section, table, tiles
from bench.report.report import bench_sections
from bench.report.tables import crossings, headline
from bst.run.dataset import Dataset
from bst.run.figures import draw_learning_curve
from bst.run.pipeline import TrainingResult
from bst.training.trainer import EpochReport
from export import Manifest

HEADS = (
    *("format", "signature", "calls", "rows", "max error"),
    *("error to float64", "eager's error to float64", "tied swaps"),
)


@dataclass(frozen=True)
class Household:
    """One household of the page: the names of its last purchases, of its recommendations and of its next purchases."""

    about: str
    history: list[str]
    recommended: list[tuple[str, float]]
    bought_next: str
    is_hit: bool


@dataclass(frozen=True)
class Demo:
    """The content of the page."""

    dataset: Dataset
    result: TrainingResult
    reports: tuple[EpochReport, ...]
    manifest: Manifest
    bench: BenchRecord
    households: list[Household]
    commands: tuple[str, ...]
    seconds: float


def demo_page(demo: Demo) -> str:
    """Write everything as one page (see `bench.report.page`)."""
    sequences, quality = demo.dataset.sequences, demo.result.test
    model, popular, markov = quality.model, *(quality.baselines[name].hr[10] for name in ("popularity", "markov"))
    worst = max(record.max_error for record in demo.manifest.parity)
    speed, speed_words = headline(crossings(demo.bench.latency)[0].best)
    lead = (
        f"A model that read {len(sequences.items):,} purchases of {sequences.num_users:,} households, exported to "
        f"ONNX, TorchScript and torch.export, proven equal and measured: {demo.seconds:.0f} seconds from table to page."
    )
    parity_rows = [
        [
            *(row.format, row.signature, str(row.cases), str(row.rows)),
            f"{row.max_error:.1e}",
            f"{row.error_to_float64:.1e}",
            f"{row.eager_error_to_float64:.1e}",
            str(row.swaps),
        ]
        for row in demo.manifest.parity
    ]
    parts = [
        tiles(
            [
                (f"{model.hr[10]:.1%}", "of households: their next purchase is among ten recommended"),
                (f"{popular:.1%}", "with the ten most bought products instead"),
                (f"{worst:.0e}", f"largest error of any exported file ({demo.manifest.tolerance:.0e} allowed)"),
                (speed, f"{speed_words}, one user"),
            ]
        ),
        section("Three households, and what they might want next", cards(demo.households)),
        section(
            "Training",
            figure(
                draw_learning_curve(demo.reports, ("most bought", popular), stacked=True),
                "Loss on the training examples, HR@10 on the validation purchases, by epoch.",
            ),
            paragraph(
                f"Test: HR@10 {model.hr[10]:.4f}, NDCG@10 {model.ndcg[10]:.4f}, MRR {model.mrr:.4f}, "
                f"ranking all {demo.manifest.items.count:,} products for {model.num_users:,} households (last "
                f"purchase held out); what most often follows the last has HR@10 {markov:.4f}. Products bought before "
                "stay in the ranking. The data's maker calls it simulated."
            ),
        ),
        section(
            "Equal to the trained model",
            paragraph(
                "Each exported file was reopened and compared with the Python model on the same calls: held-out "
                "households in batches, and edge cases such as an empty history, unknown ids, padding "
                "in the middle. Errors are relative to the largest score."
            ),
            table(
                HEADS,
                parity_rows,
                range(2, 8),
            ),
        ),
        section("How fast", *bench_sections(demo.bench)),
        section("Try next", preformatted("\n".join(demo.commands))),
    ]
    return page("What will this household buy next?", lead, parts)
