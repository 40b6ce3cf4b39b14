"""An `ORT_ROOT` as ONNX Runtime's releases have it, where only package registries are at hand.

The library is the one inside the wheel of PyPI; the headers, which no wheel holds, come from a package of npm.

    python -m tests.clients.ort_root DIR
"""

import re
import sys
from pathlib import Path

import onnxruntime

HEADERS = Path(__file__).parent / "headers" / "node_modules" / "com.github.asus4.onnxruntime"


def headers_are_newer() -> bool:
    """Whether a program that is built with the headers asks for more than the library has."""
    header = next(HEADERS.glob("**/ios-arm64/**/onnxruntime_c_api.h"))
    (version,) = re.findall(r"#define ORT_API_VERSION (\d+)", header.read_text(encoding="utf-8"))
    return int(version) > int(onnxruntime.__version__.split(".")[1])


def make_ort_root(folder: Path) -> Path:
    """Fill `folder` with links `include` and `lib/libonnxruntime.so`, and give it."""
    library = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))
    headers = next(HEADERS.glob("**/ios-arm64/**/onnxruntime_cxx_api.h")).parent
    (folder / "lib").mkdir(parents=True)
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / "lib" / name).symlink_to(library)
    (folder / "include").symlink_to(headers)
    return folder


if __name__ == "__main__":
    print(make_ort_root(Path(sys.argv[1])))
