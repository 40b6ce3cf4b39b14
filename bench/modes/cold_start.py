"""A fresh process that answers one call. `bench.modes.cold` runs this file; it imports no more than it measures.

Its argument is JSON: `kind`, `path`, `name` of the signature, `threads`, `inputs` (.npz), their `order`, `outputs`
(.npz to write), `output_names`, and for the kind `library` also `backend` (a pickle from the process that started this
one). It prints JSON: `moments` (after the interpreter, the imports, the load, the answer; by the system's monotonic
clock) and `peak_mb`.
"""

import time

MOMENTS = [time.monotonic()]

import base64  # noqa: E402  the clock comes first
import json  # noqa: E402
import pickle  # noqa: E402
import sys  # noqa: E402
from typing import Any  # noqa: E402


def main(task: dict[str, Any]) -> None:
    if task["kind"] == "onnxruntime":
        outputs = onnxruntime_answer(task)
    elif task["kind"] == "library":
        outputs = library_answer(task)
    else:
        outputs = torch_answer(task)
    import numpy as np

    arrays = {name: array.astype(str) if array.dtype == object else array for name, array in outputs.items()}
    np.savez(task["outputs"], **arrays)
    print(json.dumps({"moments": MOMENTS, "peak_mb": peak_mb()}))


def onnxruntime_answer(task: dict[str, Any]) -> dict[str, Any]:
    """Answer as a service without torch would: NumPy and ONNX Runtime alone."""
    import numpy as np
    import onnxruntime

    moment()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = task["threads"], 1
    session = onnxruntime.InferenceSession(task["path"], options, providers=["CPUExecutionProvider"])
    moment()
    arrays = np.load(task["inputs"])
    feed = {node.name: arrays[node.name] for node in session.get_inputs()}
    outputs = session.run(
        None, {name: array.astype(object) if array.dtype.kind == "U" else array for name, array in feed.items()}
    )
    moment()
    return dict(zip([node.name for node in session.get_outputs()], outputs, strict=True))


def torch_answer(task: dict[str, Any]) -> dict[str, Any]:
    """Answer by torch's own loaders: TorchScript and AOTInductor."""
    import warnings

    import numpy as np
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(task["threads"])
    moment()
    if task["kind"] == "torchscript":
        method = getattr(torch.jit.load(task["path"]), task["name"])
    else:
        import torch._inductor

        method = torch._inductor.aoti_load_package(task["path"])
    moment()
    stored = np.load(task["inputs"])
    inputs = [stored[name] for name in task["order"]]
    with torch.inference_mode():
        outputs = method(*[array.tolist() if array.dtype.kind == "U" else torch.from_numpy(array) for array in inputs])
    moment()
    outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    arrays = [np.array(part.numpy() if isinstance(part, torch.Tensor) else part) for part in outputs]
    return dict(zip(task["output_names"], arrays, strict=True))


def library_answer(task: dict[str, Any]) -> dict[str, Any]:
    """Answer every other backend through this project's own sessions."""
    from pathlib import Path

    import numpy as np
    import torch

    from export import open_bundle

    backend = pickle.loads(base64.b64decode(task["backend"]))
    torch.set_num_threads(task["threads"])
    moment()
    session = backend.open(open_bundle(Path(task["path"])), task["name"], task["threads"])
    moment()
    stored = np.load(task["inputs"])
    inputs = {name: stored[name] for name in task["order"]}
    answer = session(
        {name: array.astype(object) if array.dtype.kind == "U" else array for name, array in inputs.items()}
    )
    moment()
    return answer


def moment() -> None:
    MOMENTS.append(time.monotonic())


def peak_mb() -> float:
    """Return the peak resident memory in MB; `ru_maxrss` would include memory of the parent process."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1e3


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
