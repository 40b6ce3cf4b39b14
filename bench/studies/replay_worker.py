"""The peer in `training_speed.py`: SasRec of replay-rec, in an environment that has it and not this project.

usage: python replay_worker.py WINDOWS.npz THREADS      trains an epoch for each line on stdin, prints rows a second
"""

import json
import sys
import time

import numpy as np
import torch
from replay.data import FeatureHint, FeatureSource, FeatureType
from replay.data.nn import TensorFeatureInfo, TensorFeatureSource, TensorSchema
from replay.nn.sequential import SasRec

windows, threads = np.load(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(threads)
sizes, num_items = json.loads(str(windows["sizes"])), int(windows["num_items"])
counts = windows["counts"].tolist()
# Its ids count from 0, and padding comes after the last.
items, targets = (
    torch.from_numpy(np.where(windows[name] > 0, windows[name] - 1, num_items)) for name in ("items", "targets")
)
schema = TensorSchema(
    [
        TensorFeatureInfo(
            "item_id",
            is_seq=True,
            feature_type=FeatureType.CATEGORICAL,
            embedding_dim=sizes["dim"],
            padding_value=num_items,
            cardinality=num_items,
            feature_hint=FeatureHint.ITEM_ID,
            feature_sources=[TensorFeatureSource(FeatureSource.INTERACTIONS, "item_id")],
        )
    ]
)
model = SasRec.from_params(
    schema,
    embedding_dim=sizes["dim"],
    num_heads=sizes["num_heads"],
    num_blocks=sizes["num_blocks"],
    max_sequence_length=items.shape[1],
    dropout=sizes["dropout"],
    hidden_dim=sizes["ff_width"],
).train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)


def epoch() -> float:
    """Train on every window once, in batches as they come, cut to their longest window."""
    started = time.perf_counter()
    batches = list(zip(items.split(counts), targets.split(counts), strict=True))
    for place in torch.randperm(len(batches)).tolist():
        length = int((batches[place][0] != num_items).sum(dim=1).max())
        inputs, following = (part[:, -length:].contiguous() for part in batches[place])
        output = model(
            feature_tensors={"item_id": inputs},
            padding_mask=inputs != num_items,
            positive_labels=following.unsqueeze(-1),
            target_padding_mask=(following != num_items).unsqueeze(-1),
        )
        optimizer.zero_grad()
        output["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        last = output["loss"].item()
    assert np.isfinite(last)
    return int((targets != num_items).sum()) / (time.perf_counter() - started)


for _ in sys.stdin:
    print(epoch(), flush=True)
