"""Files for the tests of io/safetensors.hpp, made and read by the reference library.

write DIR: writes small files of every element type that torch can hold.
read FILE: checks that FILE holds "w" = [[0, 1, 2], [3, 4, 5]] as float32, "n" = [7] as int64, and format = pt.
"""

import sys

import torch
from safetensors import safe_open
from safetensors.torch import save_file

TYPES = """bool uint8 int8 int16 uint16 float16 bfloat16 int32 uint32 float32 complex64 float64 int64 uint64 float8_e5m2
float8_e4m3fn float8_e8m0fnu float8_e4m3fnuz float8_e5m2fnuz float4_e2m1fn_x2""".split()


def write(directory):
    tensors = {f"t.{name}": torch.arange(8, dtype=torch.uint8).view(getattr(torch, name)) for name in TYPES if name != "bool"}
    tensors["t.bool"] = torch.tensor([True, False])
    save_file(tensors, f"{directory}/types.safetensors", metadata={"format": "pt"})
    save_file({"scalar": torch.tensor(1.5), "empty": torch.zeros(2, 0)}, f"{directory}/sizes.safetensors")
    names = ["b", "a", "a.b", "\u00e9", "\U0001f600", 'quote"', "back\\slash", "a/b"]
    save_file({n: torch.ones(3) for n in names}, f"{directory}/names.safetensors", metadata={"k\n": "\t\u00e9\x7f"})
    save_file({}, f"{directory}/none.safetensors")


def read(path):
    with safe_open(path, "pt") as f:
        assert f.metadata() == {"format": "pt"}, f.metadata()
        assert sorted(f.keys()) == ["n", "w"]
        assert torch.equal(f.get_tensor("w"), torch.arange(6, dtype=torch.float32).reshape(2, 3))
        assert torch.equal(f.get_tensor("n"), torch.tensor([7]))


{"write": write, "read": read}[sys.argv[1]](sys.argv[2])
