"""A bundle as an HTTP service.

    python examples/serve_bundle.py BUNDLE --port 8080            # with this package
    python examples/serve_bundle.py BUNDLE --port 8080 --plain    # with onnxruntime and numpy alone

    curl -d '{"history": [1198, 3552], "context": {"gender": "F"}}' http://127.0.0.1:8080/recommend

It answers `{"item_ids": [...], "scores": [...]}`, best first, and 400 with the reason for what it cannot use. The
server is that of Python's standard library: put a real one around the same function for more than a few users.
"""

import argparse
import json
import os
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Recommend = Callable[[list[Any], dict[str, Any]], dict[str, list[Any]]]
LONGEST = 1_000_000  # bytes of a request


def with_this_package(bundle: Path) -> Recommend:
    from export import open_bundle

    recommender = open_bundle(bundle).recommender(threads=1)
    return lambda history, context: recommender.recommend(history, context).to_dict()


def with_onnxruntime_alone(bundle: Path) -> Recommend:
    """Ask the ONNX file itself: raw ids go in and come out, so nothing else of the bundle is needed but names."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before the library is loaded
    import numpy as np
    import onnxruntime

    manifest = json.loads((bundle / "manifest.json").read_text())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(bundle / "onnx" / "top_k.onnx", options)

    def recommend(history: list[Any], context: dict[str, Any]) -> dict[str, list[Any]]:
        if strangers := context.keys() - manifest["context"].keys():
            raise ValueError(f"not a feature of the model: {', '.join(sorted(strangers))}")
        values = {name: [context.get(name, facts["padding"])] for name, facts in manifest["context"].items()}
        values["history"] = [history or [manifest["items"]["padding"]]]
        kinds = {"history": manifest["items"], **manifest["context"]}
        inputs = {
            name: np.array(rows, dtype=object if kinds[name]["dtype"] == "string" else None)
            for name, rows in values.items()
        }
        item_ids, scores = session.run(None, inputs)
        kept = np.isfinite(scores[0])  # a score of -inf: no item is left for that place
        return {"item_ids": item_ids[0][kept].tolist(), "scores": scores[0][kept].tolist()}

    return recommend


def serve(recommend: Recommend, port: int) -> ThreadingHTTPServer:
    """Give a server on this machine alone, which `serve_forever` starts; port 0 takes any that is free."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            try:
                if self.path != "/recommend":
                    raise ValueError(f"{self.path} is not /recommend")
                length = int(self.headers.get("Content-Length", 0))
                if length > LONGEST:
                    raise ValueError(f"a request of {length} bytes is longer than {LONGEST}")
                request = json.loads(self.rfile.read(length))
                status, answer = 200, recommend(request.get("history", []), request.get("context", {}))
            except Exception as error:  # of bad input, each runtime raises its own
                status, answer = 400, {"error": str(error)}
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing of each request."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--plain", action="store_true", help="use onnxruntime and numpy alone")
    arguments = parser.parse_args()
    load = with_onnxruntime_alone if arguments.plain else with_this_package
    server = serve(load(arguments.bundle), arguments.port)
    print(f"http://127.0.0.1:{server.server_port}/recommend", flush=True)
    server.serve_forever()
