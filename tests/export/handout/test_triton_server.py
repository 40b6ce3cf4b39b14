"""A real Triton server serves the model repository: golden answers over HTTP and gRPC, merged calls, warm-up.

The server is that of PyPI's nvidia-pytriton, which has no backend but Python's. There `tests/triton/model.py` does what
the ONNX Runtime backend does with the same files; what `config.pbtxt` says, the server itself reads and obeys.
"""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http

from export import Signature, compare, open_bundle
from export.contract.inputs import DTYPES
from export.contract.signatures import signatures_of_task
from export.handout.triton import KSERVE_TYPES
from export.proof.golden import GoldenCall, read_golden
from tests.conftest import held_by

HERE = Path(__file__).parents[2] / "triton"
PACKAGES = next(HERE.glob(".venv/lib/python3.*/site-packages"), HERE)
BINARIES = PACKAGES / "pytriton" / "tritonserver"
PATIENCE = 60  # seconds, for each start, stop and answer
VARIANTS = ("raw_ids", "text_ids", "numbers_k_input", "index_no_context", "clicks")
HELD = [
    *((variant, signature) for variant in VARIANTS[:-1] for signature in held_by(variant)),
    *(("clicks", signature) for signature in signatures_of_task("click")),
]
each_signature = pytest.mark.parametrize(("server", "signature"), HELD, indirect=["server"], scope="module")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not BINARIES.is_dir(),
        reason="no Triton server here: `make test-all` installs it on Linux, x86-64, with Python 3.11 or 3.12",
    ),
]


@dataclass(frozen=True)
class Server:
    """A running server, the bundle that it serves, and where it writes what it does."""

    bundle: Path
    repository: Path
    http: str
    grpc: str
    log: Path

    def signature(self, name: str) -> Signature:
        return open_bundle(self.bundle).manifest.signature(name)

    def golden(self, name: str) -> list[GoldenCall]:
        return read_golden(self.bundle / "golden", self.signature(name))


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def for_python(repository: Path, folder: Path) -> Path:
    """The same models for the Python backend: only the backend is another, and `model.py` lies beside the ONNX file."""
    shutil.copytree(repository, folder)
    for config in folder.glob("*/config.pbtxt"):
        text = config.read_text()
        assert text.count('backend: "onnxruntime"') == 1
        config.write_text(text.replace('backend: "onnxruntime"', 'backend: "python"'))
        shutil.copy(HERE / "model.py", config.parent / "1")
    return folder


def backends(folder: Path) -> Path:
    """The Python backend with the stub for the Python that it is to run."""
    shutil.copytree(BINARIES / "backends", folder)
    version = PACKAGES.parent.name.removeprefix("python")
    shutil.copy(BINARIES / "python_backend_stubs" / version / "triton_python_backend_stub", folder / "python")
    return folder


def is_ready(process: "subprocess.Popen[bytes]", http: str, log: Path) -> bool:
    assert process.poll() is None, log.read_text()[-4000:]
    try:
        with urllib.request.urlopen(f"http://{http}/v2/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module", params=VARIANTS)
def server(
    request: pytest.FixtureRequest, variants: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    from bst.cli import run

    folder = tmp_path_factory.mktemp("server")
    bundle, repository = variants[request.param], folder / "repository"
    assert run(["export", str(bundle), "--triton", str(repository)]) == 0
    http, grpc, log = free_port(), free_port(), folder / "log"
    command = [BINARIES / "bin" / "tritonserver", "--model-repository", for_python(repository, folder / "served")]
    command += ["--backend-directory", backends(folder / "backends"), "--log-verbose=1", "--allow-metrics=false"]
    command += ["--http-address=127.0.0.1", f"--http-port={http}"]
    command += ["--grpc-address=127.0.0.1", f"--grpc-port={grpc}"]
    path = f"{PACKAGES.parents[2] / 'bin'}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "LD_LIBRARY_PATH": str(PACKAGES / "nvidia_pytriton.libs")}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not is_ready(process, f"127.0.0.1:{http}", log):
            assert time.monotonic() < deadline, log.read_text()[-4000:]
            time.sleep(0.2)
        yield Server(bundle, repository, f"127.0.0.1:{http}", f"127.0.0.1:{grpc}", log)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # with the stubs, which it started
                process.wait()


def client_of(protocol: Any, server: Server) -> Any:
    if protocol is tritonclient.http:
        return protocol.InferenceServerClient(server.http, network_timeout=PATIENCE, connection_timeout=PATIENCE)
    return protocol.InferenceServerClient(server.grpc)


def asked(protocol: Any, stated: Signature, inputs: dict[str, np.ndarray]) -> list[Any]:
    """The inputs as a client sends them: one value a row becomes `[batch, 1]` where Triton has the batch."""
    found = []
    for spec in stated.inputs:
        array = inputs[spec.name]
        if not stated.takes("k") and array.ndim == 1:
            array = array[:, None]
        one = protocol.InferInput(spec.name, list(array.shape), KSERVE_TYPES[spec.dtype])
        found.append(one.set_data_from_numpy(array))
    return found


def answer_of(stated: Signature, result: Any) -> dict[str, np.ndarray]:
    arrays = {name: result.as_numpy(name) for name in stated.output_names}
    return {
        name: np.array([text.decode() for text in array.ravel()], dtype=object).reshape(array.shape)
        if array.dtype == object
        else array
        for name, array in arrays.items()
    }


def counts(client: Any, model: str) -> tuple[int, int]:
    """How many rows were asked for, and in how many runs they were answered."""
    (found,) = client.get_inference_statistics(model).model_stats
    return found.inference_count, found.execution_count


def counted(client: Any, model: str, before: tuple[int, int], rows: int) -> int:
    """The runs that it took to answer so many rows. The server counts a call after it has answered it."""
    deadline = time.monotonic() + PATIENCE
    while (found := counts(client, model))[0] - before[0] < rows:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    assert found[0] - before[0] == rows
    return found[1] - before[1]


def ask_at_once(client: Any, stated: Signature, calls: list[dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    done: Queue[tuple[int, Any, Any]] = Queue()
    for place, inputs in enumerate(calls):
        client.async_infer(
            stated.name,
            asked(tritonclient.grpc, stated, inputs),
            lambda result, error, place=place: done.put((place, result, error)),
        )
    found = {}
    for _ in calls:
        place, result, error = done.get(timeout=PATIENCE)
        assert error is None, error
        found[place] = answer_of(stated, result)
    return [found[place] for place in range(len(calls))]


@pytest.mark.parametrize("protocol", [tritonclient.http, tritonclient.grpc], ids=["http", "grpc"])
@each_signature
def test_the_server_gives_the_golden_answers(server: Server, signature: str, protocol: Any) -> None:
    stated = server.signature(signature)
    with closing(client_of(protocol, server)) as client:
        for one in server.golden(signature):
            actual = answer_of(stated, client.infer(signature, asked(protocol, stated, one.inputs)))
            assert compare(stated, one.outputs, actual).failure is None, one.name


@each_signature
def test_every_sample_warmed_its_model_up(server: Server, signature: str) -> None:
    found = re.findall(rf"instance {signature}_0_0 is running warmup sample '(\w+)'", server.log.read_text())
    several = "edges_in_one_batch" if server.signature(signature).takes("k") else "full_times_8"
    assert found == ["full", "empty", several]


def test_calls_of_one_length_are_merged_and_others_are_not(server: Server) -> None:
    name = next(name for name in ("all_scores", "score_candidates") if (server.repository / name).is_dir())
    stated = server.signature(name)
    one = next(golden for golden in server.golden(name) if golden.name == "full")
    with closing(client_of(tritonclient.grpc, server)) as client:
        for _ in range(20):  # whether calls meet is a matter of time; that they never do, is not
            before = counts(client, name)
            found = ask_at_once(client, stated, [one.inputs] * 200)
            assert all(compare(stated, one.outputs, actual).failure is None for actual in found)
            runs = counted(client, name, before, 200)
            if runs < 200:
                break
        assert runs < 200

        per_event = [spec.name for spec in stated.inputs if spec.shape[1:2] == ("length",)]
        lengths = [
            {**one.inputs, **{event: one.inputs[event][:, -length:] for event in per_event}} for length in range(1, 13)
        ]
        before = counts(client, name)
        ask_at_once(client, stated, lengths)
        assert counted(client, name, before, 12) == 12


def test_the_example_in_the_readme_gets_an_answer(server: Server) -> None:
    (line,) = re.findall(r"^curl .*$", (server.repository / "README.md").read_text(), flags=re.MULTILINE)
    *_, url, _, body = shlex.split(line)
    url = f"http://{url.replace('localhost:8000', server.http)}"
    with urllib.request.urlopen(url, data=body.encode(), timeout=PATIENCE) as answer:
        found = {one["name"]: one["data"] for one in json.load(answer)["outputs"]}
    given = {one["name"]: one["data"] for one in json.loads(body)["inputs"]}
    stated = open_bundle(server.bundle).manifest.main_signature()
    inputs = {
        spec.name: np.array(given[spec.name], dtype=DTYPES[spec.dtype]).reshape((1, -1) if len(spec.shape) == 2 else -1)
        for spec in stated.inputs
    }
    want = open_bundle(server.bundle).session("onnxruntime", stated.name)(inputs)
    for spec in stated.outputs:
        values = want[spec.name][0]
        assert found[spec.name] == (pytest.approx(values, abs=1e-5) if spec.dtype == "float32" else values.tolist())
