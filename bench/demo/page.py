"""The page that a demo ends in."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from bench.demo.households import Household
from bench.record.record import BenchRecord
from bench.report.page import cards, figure, page, paragraph, preformatted, section, table, tiles
from bench.report.report import bench_sections
from bench.report.tables import crossings, headline
from bst.run.dataset import Dataset
from bst.run.figures import draw_calibration, draw_learning_curve
from bst.run.pipeline import TrainingResult
from bst.run.quality import ClickQuality
from bst.training.trainer import EpochReport
from export import Manifest

HEADS = (
    *("format", "signature", "calls", "rows", "max error"),
    *("error to float64", "eager's error to float64", "tied swaps"),
)


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


@dataclass(frozen=True)
class Story:
    """What the page says of one kind of model: its title, its tiles, the figures of its training, what was measured."""

    title: str
    tiles: list[tuple[str, str]]
    figures: Markup
    test: str


def demo_page(demo: Demo) -> str:
    """Write everything as one page (see `bench.report.page`)."""
    sequences = demo.dataset.sequences
    story = click_story(demo) if isinstance(demo.result.test, ClickQuality) else ranking_story(demo)
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
                *story.tiles,
                (f"{worst:.0e}", f"largest error of any exported file ({demo.manifest.tolerance:.0e} allowed)"),
                (speed, f"{speed_words}, one user"),
            ]
        ),
        section("Three households, and what they might want next", cards(demo.households)),
        section("Training", story.figures, paragraph(f"{story.test} The data's maker calls it simulated.")),
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
    return page(story.title, lead, parts)


def ranking_story(demo: Demo) -> Story:
    """Say how often the next purchase is among ten recommended."""
    quality = demo.result.test
    model, popular, markov = quality.model, *(quality.baselines[name].hr[10] for name in ("popularity", "markov"))
    return Story(
        "What will this household buy next?",
        [
            (f"{model.hr[10]:.1%}", "of households: their next purchase is among ten recommended"),
            (f"{popular:.1%}", "with the ten most bought products instead"),
        ],
        figure(
            draw_learning_curve(demo.reports, ("most bought", popular), stacked=True),
            "Loss on the training examples, HR@10 on the validation purchases, by epoch.",
        ),
        f"Test: HR@10 {model.hr[10]:.4f}, NDCG@10 {model.ndcg[10]:.4f}, MRR {model.mrr:.4f}, "
        f"ranking all {demo.manifest.items.count:,} products for {model.num_users:,} households (last "
        f"purchase held out); what most often follows the last has HR@10 {markov:.4f}. Products bought before "
        "stay in the ranking.",
    )


def click_story(demo: Demo) -> Story:
    """Say how well the next purchase is told from a drawn product, and whether the probabilities are true."""
    quality = demo.result.test
    model, popular, markov = quality.model, *(quality.baselines[name].auc for name in ("popularity", "markov"))
    curve = figure(
        draw_learning_curve(demo.reports, stacked=True),
        "Loss on the training examples, AUC on the validation purchases, by epoch.",
    )
    calibration = figure(
        draw_calibration(model.calibration, "test"), "How often what has a probability was bought, in ten buckets."
    )
    return Story(
        "Will this household buy that product next?",
        [
            (f"{model.auc:.3f}", "AUC: how often the next purchase scores more than a drawn product"),
            (f"{popular:.3f}", "by how often products are bought instead"),
        ],
        Markup("").join((curve, calibration)),
        f"Test: AUC {model.auc:.4f}, by household {model.grouped_auc:.4f}, log loss {model.log_loss:.4f} (the base "
        f"rate has {quality.base_rate_log_loss:.4f}), for {model.num_users:,} households (last purchase held out, "
        f"beside it {quality.negatives}); what most often follows the last has AUC {markov:.4f}. The model reads "
        "categories and makers of products, and the times between purchases.",
    )
