"""The page that a demo ends in."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure

from bench.record.record import BenchRecord
from bench.report.page import figure, page, paragraph, section, table, text, tiles
from bench.report.report import bench_sections
from bench.report.tables import crossings
from bst.run.pipeline import Dataset, TrainingResult
from bst.training.metrics import RankingMetrics
from bst.training.trainer import EpochReport
from export import Manifest


@dataclass(frozen=True)
class Household:
    """One household as the page shows it: names of what it bought last, what is recommended, what came next."""

    about: str
    history: list[str]
    recommended: list[tuple[str, float]]
    bought_next: str
    found: bool


@dataclass(frozen=True)
class Demo:
    """All that the page is made of."""

    dataset: Dataset
    result: TrainingResult
    popular: RankingMetrics
    reports: tuple[EpochReport, ...]
    manifest: Manifest
    bench: BenchRecord
    households: list[Household]
    commands: tuple[str, ...]
    seconds: float


def demo_page(demo: Demo) -> str:
    """Lay everything out as one page (see `bench.report.page`)."""
    sequences, result, popular = demo.dataset.sequences, demo.result, demo.popular
    worst = max(record.max_error for record in demo.manifest.parity)
    fastest = crossings(demo.bench.latency)[0].best
    lead = (
        f"A model that read {len(sequences.items):,} purchases of {sequences.num_users:,} households, exported to "
        f"ONNX, TorchScript and torch.export, proven equal and measured: {demo.seconds:.0f} seconds from table to page."
    )
    parity_rows = [
        [
            text(one.format),
            text(one.signature),
            str(one.cases),
            str(one.rows),
            f"{one.max_error:.1e}",
            f"{one.error_to_float64:.1e}",
            f"{one.eager_error_to_float64:.1e}",
            str(one.swaps),
        ]
        for one in demo.manifest.parity
    ]
    parts = [
        tiles(
            [
                (f"{result.test.hr_10:.1%}", "of households: their next purchase is among ten recommended"),
                (f"{popular.hr_10:.1%}", "with the ten most bought products instead"),
                (f"{worst:.0e}", f"largest error of any exported file ({demo.manifest.tolerance:.0e} allowed)"),
                (f"{fastest.to_eager.value:.1f}x", f"as fast as eager PyTorch: {fastest.backend}, one user"),
            ]
        ),
        section("Three households, and what they might want next", _cards(demo.households)),
        section(
            "Training",
            figure(
                _learning_curve(demo), "Loss on the training examples, HR@10 on the validation purchases, by epoch."
            ),
            paragraph(
                f"Test: HR@10 {result.test.hr_10:.4f}, NDCG@10 {result.test.ndcg_10:.4f}, MRR {result.test.mrr:.4f}, "
                f"ranking all {demo.manifest.items.count:,} products for {result.test.num_users:,} households (last "
                "purchase held out). Products bought before stay in the ranking. The data's maker calls it simulated."
            ),
        ),
        section(
            "Equal to the trained model",
            paragraph(
                "Each exported file was opened again and asked for the same answers as the Python model: held-out "
                "households in batches, and edge cases such as an empty history, unknown ids, padding "
                "in the middle. Errors are relative to the largest score."
            ),
            table(
                ["format", "signature", "calls", "rows", "to eager", "to float64", "eager to float64", "swaps"],
                parity_rows,
                range(2, 8),
            ),
        ),
        section("How fast", *bench_sections(demo.bench)),
        section("Try next", "<pre>" + text("\n".join(demo.commands)) + "</pre>"),
    ]
    return page("What will this household buy next?", lead, parts)


def _cards(households: list[Household]) -> str:
    cards = []
    for one in households:
        history = "".join(f"<li>{text(name)}</li>" for name in one.history)
        recommended = "".join(f"<li>{text(name)}</li>" for name, _ in one.recommended)
        mark = (
            '<span class="good">among the ten recommended</span>'
            if one.found
            else '<span class="soft">not among the ten</span>'
        )
        cards.append(
            f'<div class="card"><h3>{text(one.about)}</h3><h4>Bought last</h4><ul>{history}</ul>'
            f"<h4>Recommended</h4><ol>{recommended}</ol>"
            f"<h4>Bought next</h4><div>{text(one.bought_next)} - {mark}</div></div>"
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _learning_curve(demo: Demo) -> Figure:
    drawn = Figure(figsize=(7.2, 2.6))
    epochs = range(1, len(demo.reports) + 1)
    losses, hits = [one.loss for one in demo.reports], [one.validation.hr_10 for one in demo.reports]
    for place, (values, label) in enumerate(((losses, "loss (nats)"), (hits, "HR@10"))):
        axes = drawn.add_subplot(1, 2, place + 1)
        axes.plot(epochs, values, "o-", color="#0b6e69")
        if place:
            axes.axhline(demo.popular.hr_10, color="#8a94a3", linestyle="--", label="most bought")
            axes.legend(fontsize=8, frameon=False)
        axes.set_xticks(list(epochs))
        axes.set_xlabel("epoch", fontsize=9)
        axes.set_title(label, fontsize=10, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
    drawn.tight_layout()
    return drawn
