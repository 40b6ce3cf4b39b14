"""Histories that are made of events, as of a time."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from tests.conftest import Command, OnDemand, refused, write_beside, write_events, write_users
from tests.export.batch.shop import alone, opened, read_scores, shards

AS_OF = 1_600_300_000


def by_hand(events: pl.DataFrame, as_of: int, *features: str) -> pl.DataFrame:
    before = events.filter(pl.col("timestamp") < as_of).sort("user_id", "timestamp")
    columns = [pl.col("item_id").alias("history"), pl.col("timestamp").alias("event_time"), *map(pl.col, features)]
    return before.group_by("user_id", maintain_order=True).agg(columns)


def test_events_before_the_time_are_the_histories(bundle_path: Path, bst_command: Command, tmp_path: Path) -> None:
    events, people = write_events(tmp_path / "events.csv"), write_users(tmp_path / "users.csv")
    code, stdout, stderr = bst_command(
        *("score", bundle_path, people, "--from-events", events, "--as-of", "300", "--out", tmp_path / "out"),
        *("--workers", "1"),
    )
    assert code == 0, stderr
    assert "users stand in" in stderr
    users = by_hand(pl.read_csv(events), 300).join(pl.read_csv(people), on="user_id", how="left", maintain_order="left")
    assert f"scored {len(users)} users in 1 shards: 1 now, 0 were there" in stdout
    scores = read_scores(tmp_path / "out")
    assert scores["user_id"].to_list() == users["user_id"].to_list()
    assert scores["item_ids"].to_list() == [row["item_ids"] for row in alone(opened(bundle_path), users)]
    code, stdout, _ = bst_command("score", "--verify", tmp_path / "out", "--json")
    assert code == 0
    assert json.loads(stdout)["replayed"] == min(16, len(users))


def test_what_stands_beside_the_events_and_the_time_of_the_request_come_along(
    variants: OnDemand, bst_command: Command, tmp_path: Path
) -> None:
    events, people = write_beside(tmp_path / "tables", text=True)
    whole = pl.read_csv(events)
    whole.drop("spent").write_csv(events)
    path = variants["text_ids"]
    options = ("--unknown", "spent", "--workers", "1", "--from-events", events, "--as-of", AS_OF)
    code, _, stderr = bst_command("score", path, people, "--out", tmp_path / "out", *options)
    assert code == 0, stderr
    users = by_hand(whole, AS_OF, "kind", "step").join(pl.read_csv(people), on="user_id", maintain_order="left")
    users = users.with_columns(request_time=AS_OF, spent=pl.lit(None, dtype=pl.Float64))
    scores = read_scores(tmp_path / "out")
    assert scores["item_ids"].to_list() == [row["item_ids"] for row in alone(opened(path), users)]


def test_events_that_are_sorted_in_pieces_give_the_histories_of_the_whole(
    bundle_path: Path, bst_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, people = write_events(tmp_path / "events.csv"), write_users(tmp_path / "users.csv")
    shuffled = pl.read_csv(events).sample(fraction=1.0, shuffle=True, seed=0)
    shuffled.write_csv(events)
    monkeypatch.setattr("bst.data.prepared.sorting.PIECE_ROWS", 40)
    monkeypatch.setattr("bst.data.prepared.runs.SAMPLE", 4)
    command = ("score", bundle_path, people, "--from-events", events, "--as-of", "300", "--out", tmp_path / "out")
    code, _, stderr = bst_command(*command, "--workers", "1")
    assert code == 0, stderr
    parts = sorted((tmp_path / "out" / "_users").glob("users-*/part-*.parquet"))
    users = by_hand(shuffled, 300)
    assert len(parts) > 3
    made = pl.concat([pl.read_parquet(part) for part in parts])
    assert made["user_id"].to_list() == users["user_id"].to_list()
    assert made["history"].to_list() == users["history"].to_list()
    assert read_scores(tmp_path / "out")["user_id"].to_list() == users["user_id"].to_list()
    assert {path.name for path in (tmp_path / "out" / "_users").iterdir()} == {parts[0].parent.name}


def test_the_same_events_give_the_same_bytes_and_others_are_refused(
    bundle_path: Path, bst_command: Command, tmp_path: Path
) -> None:
    events, people = write_events(tmp_path / "events.csv"), write_users(tmp_path / "users.csv")
    command = ("score", bundle_path, people, "--from-events", events, "--out", tmp_path / "out", "--workers", "1")
    assert bst_command(*command, "--as-of", "300")[0] == 0
    before, made = shards(tmp_path / "out"), list((tmp_path / "out" / "_users").iterdir())
    (tmp_path / "out" / "_users" / ".users.partial-killed" / "parts").mkdir(parents=True)
    code, stdout, _ = bst_command(*command, "--as-of", "300", "--resume")
    assert code == 0
    assert "0 now, 1 were there" in stdout
    assert shards(tmp_path / "out") == before
    refused(bst_command(*command, "--as-of", "200", "--resume"), "is of the input", "give another --out")
    refused(bst_command(*command, "--as-of", "300"), "the output", "exists; give another --out")
    assert list((tmp_path / "out" / "_users").iterdir()) == made
    assert bst_command("score", "--verify", tmp_path / "out")[0] == 0


def test_events_of_text_ids_and_prepared_data_are_refused_by_name(
    bundle_path: Path, bst_command: Command, tmp_path: Path
) -> None:
    whole = pl.read_csv(write_events(tmp_path / "events.csv"))
    whole.with_columns(item_id=pl.format("i-{}", "item_id")).write_csv(tmp_path / "text.csv")
    assert bst_command("prepare", tmp_path / "events.csv", "--out", tmp_path / "data")[0] == 0
    command = ("score", bundle_path, "--unknown", "gender,region", "--as-of", "300", "--out", tmp_path / "out")
    text = bst_command(*command, "--from-events", tmp_path / "text.csv")
    refused(text, "column 'item_id' holds text, and the ids of the model's items are whole numbers")
    refused(bst_command(*command, "--from-events", tmp_path / "data"), "is prepared data, which has no raw events")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--as-of", "300"), ("the model reads gender,region of a user", "--unknown gender,region")),
        (("--as-of", "0", "--unknown", "gender,region"), ("no event is before --as-of 0; give a later time",)),
        (("--as-of", "noon", "--unknown", "gender,region"), ("--as-of 'noon' is no time as in the table",)),
        (("--as-of", "300", "--exclude", "never"), ("--candidates and --exclude are of users",)),
        (("--as-of", "300", "--item-column", "sku", "--unknown", "gender,region"), ("no column 'sku'",)),
    ],
)
def test_events_that_cannot_be_grouped_are_refused(
    arguments: tuple[str, ...], words: tuple[str, ...], bundle_path: Path, bst_command: Command, tmp_path: Path
) -> None:
    events = write_events(tmp_path / "events.csv")
    refused(bst_command("score", bundle_path, "--from-events", events, "--out", tmp_path / "out", *arguments), *words)
    assert not (tmp_path / "out").exists()
