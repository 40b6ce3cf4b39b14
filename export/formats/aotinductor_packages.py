"""AOTInductor packages: `torch.export` programs compiled to machine code, one package a signature, weights inside.

A package runs on CPUs of the kind it was compiled for, and crashes the process on others (`cpu_flags_for`). It checks
neither shape nor dtype nor strides of its inputs: `export.sessions.session` does, other callers must.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bst.errors import CheckError, InputError
from bst.system.machine import cpu_flags
from export import guards
from export.contract.settings import Cpu
from export.contract.signatures import Signature
from export.formats.quiet import quiet
from export.serving.scorer import ServedModel

# The flags of x86-64-v3 as /proc/cpuinfo calls them (System V ABI for x86-64, section 3.1.1).
AVX2_FLAGS = ("abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe")


def require_compiler() -> None:
    """Refuse an export that needs a compiler where there is none.

    Raises:
        InputError: there is no C++ compiler, or the CPU is not an x86-64 one with AVX2.
    """
    if not (shutil.which("g++") or shutil.which("clang++")):
        raise InputError(
            "aotinductor needs a C++ compiler and there is no g++ here; install it or leave the format out"
        )
    missing = [flag for flag in AVX2_FLAGS if flag not in cpu_flags()]
    if missing:
        raise InputError(
            f"aotinductor is built for CPUs with AVX2 and this one lacks {', '.join(missing)}; leave it out"
        )


def save_aotinductor(
    model: ServedModel, signatures: tuple[Signature, ...], folder: Path, *, cpu: Cpu, metadata: Mapping[str, str]
) -> None:
    """Compile every signature into `folder/<signature>.pt2`; takes about a quarter of a minute each.

    Args:
        cpu: `avx2` for any x86-64 CPU since about 2015, `native` for CPUs like this one.

    Raises:
        CheckError: the compiler failed.
    """
    from export.formats.pt2_archive import export_program  # a second, for torch's compiler comes with it

    options: dict[str, Any] = {"aot_inductor.metadata": dict(metadata)}
    if cpu == "avx2":
        options |= {"cpp.simdlen": 256, "cpp.march": "x86-64-v3"}
    for signature in signatures:
        program = export_program(model, signature)
        path = folder / f"{signature.name}.pt2"
        try:
            with quiet("torch.export", "torch._inductor"):
                torch._inductor.aoti_compile_and_package(program, package_path=str(path), inductor_configs=options)
        except Exception as error:  # the compiler's errors have no base of their own
            raise CheckError(f"aotinductor cannot compile {signature.name}: {str(error).splitlines()[0]}") from error


def load_aotinductor(path: Path) -> Any:
    """Load a package as a callable of contiguous int64 tensors, in the order of the signature.

    A package is machine code: load none that you would not run as a program.

    Raises:
        InputError: the file is not such a package.
    """
    with quiet("torch.export", "torch._inductor"):
        return guards.load(path, guards.PACKAGE, torch._inductor.aoti_load_package)


def cpu_flags_for(cpu: Cpu) -> tuple[str, ...]:
    """Return the CPU flags that a package needs: those of AVX2, or every one of this machine that a compiler may
    use.
    """
    if cpu == "avx2":
        return AVX2_FLAGS
    vector = ("avx", "amx", "fma", "bmi", "f16c", "abm", "movbe", "gfni", "vaes", "vpclmulqdq", "sha_ni", "adx")
    return tuple(sorted(flag for flag in cpu_flags() if flag.startswith(vector)))
