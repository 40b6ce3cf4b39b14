"""Figures of a run: its learning curve and the calibration of a click model; and TensorBoard's scalars on request."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from bst.errors import InputError
from bst.system.files import require_new, write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch.utils.tensorboard import SummaryWriter

    from bst.training.trainer import EpochReport

LEARNING_CURVE_FILE, CALIBRATION_FILE = "learning_curve.svg", "calibration.svg"


def save_figure(path: Path, draw: Callable[[], Figure]) -> None:
    """Write what `draw` draws as SVG; the same figure gives the same bytes."""
    from matplotlib import rc_context

    drawn = io.BytesIO()
    with rc_context({"svg.hashsalt": "bst"}):
        draw().savefig(drawn, format="svg", metadata={"Date": None})
    write_atomically(path, drawn.getvalue())


def require_svg(path: Path) -> None:
    """Refuse a path that cannot be written as a figure.

    Raises:
        InputError: it exists or is no .svg.
    """
    if path.suffix != ".svg":
        raise InputError(f"--calibration {path}: figures are written as SVG; give a name that ends in .svg")
    require_new(path, "the figure", "--calibration")


def draw_calibration(calibration: Sequence[tuple[float, float, int]], words: str) -> Figure:
    """Draw the buckets of `ClickMetrics.calibration`: the share that was clicked over the mean probability.

    Args:
        words: what was measured.
    """
    from matplotlib.figure import Figure

    means, shares, counts = zip(*calibration, strict=True)
    end = 1.05 * max(*means, *shares)
    figure = Figure(figsize=(4.2, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot((0, end), (0, end), color="grey", linewidth=0.8, linestyle=":", label="true probabilities")
    axes.plot(means, shares, marker=".", label=f"buckets of {max(counts):,}")
    axes.set(xlabel="mean probability", ylabel="share clicked", title=f"calibration, {words}")
    axes.set(xlim=(0, end), ylim=(0, end))
    axes.legend(loc="upper left", frameon=False)
    return figure


def draw_learning_curve(
    reports: Sequence[EpochReport], baseline: tuple[str, float] | None = None, *, stacked: bool = False
) -> Figure:
    """Draw loss and validation metrics by epoch; the best epoch is marked.

    Args:
        baseline: the name and HR@10 of a ranking without a model.
        stacked: one below the other, for a phone, and not side by side.
    """
    from matplotlib.figure import Figure

    epochs = [report.epoch for report in reports]
    best = max(reports, key=lambda report: report.validation.headline).epoch
    figure = Figure(figsize=(4.2, 5.4) if stacked else (8, 3.6), layout="constrained")
    loss_axes, metric_axes = figure.subplots(2, 1) if stacked else figure.subplots(1, 2)
    loss_axes.plot(epochs, [report.loss for report in reports], marker=".")
    loss_axes.set(xlabel="epoch", ylabel="training loss, nats", title="loss")
    shown = [report.validation.shown() for report in reports]
    for name in (name for name in shown[0] if name != "log loss"):
        metric_axes.plot(epochs, [numbers[name] for numbers in shown], marker=".", label=name)
    metric_axes.axvline(best, color="grey", linewidth=0.8, linestyle=":", label=f"best, epoch {best}")
    if baseline:
        metric_axes.axhline(baseline[1], color="grey", linewidth=0.8, linestyle="--", label=f"HR@10, {baseline[0]}")
    metric_axes.set(xlabel="epoch", title="validation")
    if "AUC" not in shown[0]:  # whose worst is not 0
        metric_axes.set(ylim=(0, None))
    figure.legend(*metric_axes.get_legend_handles_labels(), loc="outside lower right", ncols=2, frameon=False)
    for axes in (loss_axes, metric_axes):
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def open_tensorboard(run: Path, first_epoch: int) -> SummaryWriter:
    """Open `tensorboard/` in the folder `run` for scalars from `first_epoch` on; later ones that it holds are hidden.

    Raises:
        InputError: the package tensorboard is not installed.
    """
    require_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(run / "tensorboard"), purge_step=first_epoch)


def require_tensorboard() -> None:
    """Refuse, before any work is done, if the package tensorboard is not installed; raises as `open_tensorboard`."""
    if find_spec("tensorboard") is None:
        raise InputError("--tensorboard needs the package tensorboard; pip install tensorboard")


def log_epoch(writer: SummaryWriter, report: EpochReport) -> None:
    """Write one epoch's numbers as scalars and flush them."""
    values = {
        "training/loss": report.loss,
        "training/rows_per_s": report.rows_per_s,
        "training/gradient_norm": report.gradient_norm,
        "training/learning_rate": report.learning_rate,
        **{f"validation/{name}": value for name, value in report.validation.scalars().items()},
    }
    for name, value in values.items():
        writer.add_scalar(name, value, report.epoch)
    writer.flush()
