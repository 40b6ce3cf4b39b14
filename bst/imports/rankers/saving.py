"""The run of an imported ranker: written whole, with its report, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bst.config import DataConfig, TrainConfig
from bst.imports.rankers.account import Account
from bst.imports.rankers.folding import fold
from bst.imports.rankers.ranker import Ranker
from bst.imports.rankers.report import REPORT_FILE, report_lines, report_page
from bst.model import make_model
from bst.run.folder import SCHEMA_VERSION, Run, RunConfig, library_versions, save_metrics, save_weights, staged_run
from bst.run.heldout import made_up
from bst.system.files import write_atomically
from bst.system.unfilled import unfilled


@dataclass(frozen=True)
class Imported:
    """A run that was imported, and what a command prints of it."""

    run: Run
    lines: tuple[str, ...]


def save_ranker(ranker: Ranker, account: Account, library: str, out: Path) -> Imported:
    """Write a ranker as the run `out`, with its report in `import.md`.

    Rows that its exports are compared on are made up, since no library keeps its data with a model.

    Raises:
        InputError: the parts do not fit one another, or `out` exists.
    """
    config, state, vocabularies = fold(ranker, account)
    with unfilled():
        model = make_model(config)
    model.load_state_dict(state, assign=True)
    data = DataConfig(  # no input can be called as these columns are
        user_column="user",
        item_column="item",
        time_column="time",
        context=tuple(vocabularies.context),
        event_features=tuple(vocabularies.events),
        numbers=tuple(number.name for number in config.numbers),
    )
    run_config = RunConfig(
        schema_version=SCHEMA_VERSION,
        model=config,
        training=TrainConfig(),
        data=data,
        versions=library_versions("polars"),
    )
    run = Run(model.eval(), run_config, vocabularies, made_up(config), ())
    with staged_run(out, run_config, vocabularies, run.heldout) as stage:
        save_weights(stage, run.model)
        save_metrics(stage, run.metrics)
        write_atomically(stage / REPORT_FILE, report_page(library, account, config))
    return Imported(run, tuple(report_lines(account, config)))
