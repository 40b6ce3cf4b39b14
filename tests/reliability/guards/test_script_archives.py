"""TorchScript that would end the process that reads it, or take what memory there is, is refused unread."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import pytest
import torch

from bst import InputError
from export.formats.torchscript_archive import load_torchscript
from export.guards.archives import CODE_BYTES, INDENT, METHODS, STATEMENT
from export.guards.script_pickles import require_stored
from tests.reliability.guards.strangers import rewrite_archive

COUNT = 3000
STATED, MORE = b"M" + struct.pack("<H", COUNT), b"J" + struct.pack("<i", 200_000_000)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A module of one tensor of 3,000 numbers and a method that adds 1."""

    class Adding(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(COUNT))

        def forward(self, x: int) -> int:
            return x + 1

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(Adding().eval()), tmp_path / "model.pt")
    return tmp_path / "model.pt"


def after_protocol(operations: bytes) -> tuple[bytes, bytes]:
    return b"\x80\x02", b"\x80\x02" + operations


PICKLES = {
    "a storage that is larger than its numbers": (
        STATED + b"tQ",
        MORE + b"tQ",
        "storage 0 is 800,000,000 bytes by the pickle, and 12,000 are there",
    ),
    "a tensor that is larger than its storage": (
        b"(" + STATED + b"t(",
        b"(" + MORE + b"t(",
        r"sizes \[200000000\] is larger than its storage of 3,000",
    ),
    "a tensor that begins beyond its storage": (b"K\0(", MORE + b"(", r"sizes \[3000\] is larger than its storage"),
    "a tensor that repeats one number": (
        b"(" + STATED + b"t(K\x01t",
        b"(" + MORE + b"t(K\0t",
        "larger than its storage",
    ),
    "sizes below 0": (b"(K\x01t", b"(J" + struct.pack("<i", -1) + b"t", "a tensor has odd sizes"),
    "a storage of no tensor": (b"FloatStorage", b"WideStorage", "it names no storage"),
    "a text of gigabytes": (*after_protocol(b"X\xf0\xff\xff\x7f"), "expected 2147483632 bytes"),
    "a text of exabytes": (*after_protocol(b"\x8d" + b"\xff" * 7 + b"\x0f"), "expected 1152921504606846975 bytes"),
    "a far place in the memo": (*after_protocol(b"Nr\0\0\0\x20"), "its memo has no place 536,870,912"),
    "a place in the memo that is not there": (*after_protocol(b"h\xff"), "its memo has no place 255"),
    "tuples without end": (*after_protocol(b")" + b"\x85" * 2_000_000), "it is nested deeper than 100"),
    "lists in one another by the memo": (*after_protocol(b"]q\0h\0"), "it names what may still change"),
    "more values than one": (*after_protocol(b"N"), "it leaves more than one value"),
    "a mark of nothing": (*after_protocol(b"t"), "it takes more than there is"),
    "a tuple of what lies below its mark": (*after_protocol(b"NN(\x86"), "it takes more than there is"),
    "what TorchScript does not write": (*after_protocol(b"N0"), "it holds POP, which TorchScript does not write"),
    "a call of something else": (
        b"_rebuild_tensor_v2",
        b"_rebuild_qtensor",
        r"it calls 'torch\._utils _rebuild_qtensor'",
    ),
}


@pytest.mark.parametrize("what", PICKLES)
def test_a_pickle_that_says_more_than_there_is_is_refused(script: Path, what: str) -> None:
    old, new, told = PICKLES[what]
    change(script, "data.pkl", old, new)
    with pytest.raises(InputError, match=rf"data\.pkl: .*{told}"):
        load_torchscript(script)


def test_a_type_as_text_is_short() -> None:
    typed = b"ctorch.jit._pickle\nrestore_type_tag\n}X%b%b\x86R."
    for text in ("Dict[str, int]", "List[" * 9 + "int" + "]" * 9):
        require_stored(b"\x80\x02" + typed % (struct.pack("<I", len(text)), text.encode()), {})
    with pytest.raises(ValueError, match="it states an odd type"):
        require_stored(b"\x80\x02" + typed % (struct.pack("<I", 100_003), b"[" * 100_000 + b"int"), {})


CODES = {
    "brackets": "return " + "(" * 9000 + "x" + ")" * 9000,
    "brackets over many lines": "return " + "(\n" * 9000 + "x" + ")\n" * 9000,
    "brackets beside those in texts": 'ops.prim.warn(")")\n    ' * 5 + "return " + '(")",' * 9000 + "x" + ")" * 9000,
    "signs": "return " + "-" * 9000 + "x",
    "sums": "return " + "+".join("x" * 20_000),
    "negations": "return " + "not " * 9000 + "x",
    "types": "y : " + "List[" * 9000 + "int" + "]" * 9000 + " = x\n    return x",
    "blocks": "".join(" " * (4 + depth) + "if True:\n" for depth in range(3000)).lstrip() + " " * 3004 + "return x",
    "statements": "x = torch.add(x, 1)\n    " * 20_000 + "return x",
}


@pytest.mark.parametrize("what", CODES)
def test_code_that_is_nested_without_end_is_refused(script: Path, what: str) -> None:
    change(script, "code/__torch__/", b"return torch.add(x, 1)", CODES[what].encode())
    with pytest.raises(InputError, match=r"statements of up to .* as no model has"):
        load_torchscript(script)


def test_methods_that_call_one_another_without_end_are_refused(script: Path) -> None:
    calls = "".join(
        f"return (self).f{place}(x, )\n  def f{place}(self: __torch__.Adding,\n    x: int) -> int:\n    "
        for place in range(METHODS)
    )
    change(script, "code/__torch__/", b"return torch.add(x, 1)", f"{calls}return x".encode())
    with pytest.raises(InputError, match=f"{METHODS + 1} methods"):
        load_torchscript(script)


ODD = {
    "quotes of another kind": ("ops.prim.warn('(')\n    return x", 'holds "\'", which none'),
    "three quotes": ('ops.prim.warn("""(""")\n    return x', 'holds \'"""\', which none'),
    "a quote that is not closed": ('return x"', "holds '\"', which none"),
    "chains of conditions": (
        "if True:\n      pass\n    elif True:\n      pass\n    return x",
        "holds 'elif', which none",
    ),
    "more brackets closed than opened": ("return x)", "brackets that do not match"),
    "more brackets opened than closed": ("return (x", "brackets that do not match"),
}


@pytest.mark.parametrize("what", ODD)
def test_code_that_hides_how_deep_it_is_is_refused(script: Path, what: str) -> None:
    code, told = ODD[what]
    change(script, "code/__torch__/", b"return torch.add(x, 1)", code.encode())
    with pytest.raises(InputError, match=told):
        load_torchscript(script)


def test_what_bst_writes_is_far_from_every_bound(bundle_path: Path) -> None:
    reader = torch._C.PyTorchFileReader(str(bundle_path / "torchscript" / "model.pt"))
    codes = [reader.get_record(name).decode() for name in reader.get_all_records() if name.endswith(".py")]
    lines = "".join(codes).splitlines()
    assert len("".join(codes)) < CODE_BYTES / 4
    assert "".join(codes).count("def ") < METHODS / 4
    assert max(map(len, lines)) < STATEMENT / 4
    assert max(len(line) - len(line.lstrip()) for line in lines) < INDENT / 4


def change(path: Path, member: str, old: bytes, new: bytes) -> None:
    """Put `new` in the place of the first `old` in the one member that begins so."""
    changed = []

    def put(name: str, data: bytes) -> tuple[str, bytes]:
        if not name.startswith(member) or name.endswith("debug_pkl"):
            return name, data
        assert old in data
        changed.append(name)
        return name, data.replace(old, new, 1)

    rewrite_archive(path, put)
    assert len(changed) == 1
