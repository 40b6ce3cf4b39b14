"""A search over settings with optuna, by the validation targets alone.

    pip install 'bst-recommender[search]'
    python examples/search.py events.csv --out search --trials 20
    bst train events.csv --config search/best.toml --out RUN

Killed and called again, it goes on with the trials that are left. A trial that falls behind the others is cut short. No
trial looks at the test targets: `bst train` does, once, with the settings that were chosen.
"""

import argparse
from pathlib import Path

import optuna
import torch
from optuna.storages.journal import JournalFileBackend, JournalStorage

from bst import Architecture, Dataset, InputError, Settings, TrainConfig, Trainer, read_interactions
from bst.model import make_model
from bst.run.pipeline import model_config
from bst.settings_file import settings_toml
from bst.training.trainer import EpochReport

STUDY = "settings"


def suggested(trial: optuna.Trial, epochs: int) -> Settings:
    """Give the settings of a trial. Edit this: what is searched for, and between which bounds."""
    model = Architecture(
        dim=trial.suggest_categorical("dim", [64, 128]),
        num_blocks=trial.suggest_int("num_blocks", 1, 2),
        dropout=trial.suggest_float("dropout", 0.1, 0.5, step=0.1),
    )
    training = TrainConfig(
        epochs=epochs,
        batch_events=trial.suggest_categorical("batch_events", [512, 1024, 2048]),
        learning_rate=trial.suggest_float("learning_rate", 3e-4, 3e-3, log=True),
        item_learning_rate=trial.suggest_float("item_learning_rate", 2e-3, 2e-2, log=True),
    )
    return Settings(model=model, training=training)


def quality_of(trial: optuna.Trial, dataset: Dataset, settings: Settings) -> float:
    """Train with the settings of a trial; its best validation NDCG@10, or the end of it where it falls behind."""
    torch.manual_seed(settings.training.seed)
    config = model_config(settings, dataset)
    windows, validation = dataset.windows(config.max_length), dataset.split.validation
    training, _ = settings.training.fitted(config.num_items, windows.num_examples)  # as `bst train` does
    trainer = Trainer(make_model(config), windows, validation, training)
    for moment in trainer.moments():
        if isinstance(moment, EpochReport):
            trial.report(moment.validation.headline, moment.epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
    return trainer.best_metrics.headline


def search(events: Path, out: Path, trials: int, epochs: int) -> Path:
    """Search until `trials` have ended, those of earlier calls among them, and give the TOML of the best settings.

    Raises:
        InputError: the events cannot be read, or the study in `out` was made with another number of epochs.
    """
    out.mkdir(parents=True, exist_ok=True)
    dataset = Dataset.build(read_interactions(events, Settings().data))
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(out / "study.log"))),
        study_name=STUDY,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2),
    )
    if study.user_attrs.setdefault("epochs", epochs) != epochs:
        raise InputError(f"--epochs {epochs}, and {out} has trials of {study.user_attrs['epochs']}; give another --out")
    study.set_user_attr("epochs", epochs)
    ended = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    left = trials - len(study.get_trials(states=ended))
    if left > 0:
        study.optimize(lambda trial: quality_of(trial, dataset, suggested(trial, epochs)), n_trials=left)
    best = suggested(optuna.trial.FixedTrial(study.best_params), epochs)
    (out / "best.toml").write_text(settings_toml(best))
    print(f"validation NDCG@10 {study.best_value:.4f} with {study.best_params}\nwrote {out / 'best.toml'}")
    return out / "best.toml"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("events", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=8, help="of each trial; the best settings keep it")
    arguments = parser.parse_args()
    search(arguments.events, arguments.out, arguments.trials, arguments.epochs)
