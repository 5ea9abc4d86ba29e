"""GGUF files and what Python's gguf makes of them.

python gguf_files.py random OUT        OUT/random.gguf: metadata of every type, and a tensor of random blocks of every
                                       storage type that graft reads; OUT/random.f32: their numbers, in the file's order
python gguf_files.py model OUT FILE    OUT/model.txt: of some tensors of each type in FILE the name, type, sizes (x between
                                       them), and a check sum of the numbers
"""

import collections
import pathlib
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

BLOCK_SCALES = {  # storage type -> bytes of a block, positions of its half-precision numbers
    Type.Q4_0: (18, [0]), Type.Q4_1: (20, [0, 2]), Type.Q5_0: (22, [0]), Type.Q5_1: (24, [0, 2]), Type.Q8_0: (34, [0]),
    Type.Q4_K: (144, [0, 2]), Type.Q5_K: (176, [0, 2]), Type.Q6_K: (210, [208]),
}


def finite_halves(rng, shape):
    """All bit patterns but those of infinity and NaN: large, small, subnormal, both zeros."""
    bits = rng.integers(0, 1 << 16, shape, dtype=np.uint16)
    bits[(bits & 0x7C00) == 0x7C00] &= 0x83FF
    return bits


def random_file(out):
    rng = np.random.default_rng(5)
    writer = gguf.GGUFWriter(out / "random.gguf", "test")
    writer.add_uint8("kinds.u8", 200), writer.add_int8("kinds.i8", -100)
    writer.add_uint16("kinds.u16", 60000), writer.add_int16("kinds.i16", -30000)
    writer.add_uint32("kinds.u32", 4000000000), writer.add_int32("kinds.i32", -2000000000)
    writer.add_uint64("kinds.u64", 2**64 - 1), writer.add_int64("kinds.i64", -2**63)
    writer.add_float32("kinds.f32", 0.5), writer.add_float64("kinds.f64", 1e300)
    writer.add_bool("kinds.bool", True), writer.add_string("kinds.string", "straße")
    writer.add_array("kinds.strings", ["", "a", "▁b"])
    writer.add_array("kinds.integers", [1, -2, 3]), writer.add_array("kinds.numbers", [0.5, -1.5])
    tensors = {}
    for kind, (size, scales) in BLOCK_SCALES.items():
        rows, blocks = 3, 40
        data = rng.integers(0, 256, (rows, blocks, size), dtype=np.uint8)
        for at in scales:
            data[:, :, at:at + 2] = finite_halves(rng, (rows, blocks, 1)).view(np.uint8)
        tensors[kind] = data.reshape(rows, blocks * size)
    tensors[Type.F16] = finite_halves(rng, (7, 33)).view(np.float16)
    tensors[Type.BF16] = finite_halves(rng, (7, 33)).view(np.uint8)
    tensors[Type.F32] = rng.standard_normal((2, 3, 5), dtype=np.float32)
    for kind, data in tensors.items():
        writer.add_tensor(kind.name, data, raw_dtype=None if data.dtype.kind == "f" else kind)
    writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()
    with open(out / "random.f32", "wb") as file:
        for kind, data in tensors.items():
            gguf.dequantize(data, kind).astype(np.float32).tofile(file)


def check_sum(numbers):
    """The sum of (2 i + 1) x bits of number i, modulo 2^64."""
    bits = np.ascontiguousarray(numbers, dtype=np.float32).view(np.uint32).ravel()
    total = 0
    for begin in range(0, bits.size, 1 << 22):
        part = bits[begin:begin + (1 << 22)].astype(np.uint64)
        factors = np.arange(begin, begin + part.size, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        total += int((part * factors).sum(dtype=np.uint64))
    return total % 2**64


def model(path, out):
    """The first eight tensors of each type, but none that takes seconds."""
    seen = collections.Counter()
    with open(out, "w") as file:
        for tensor in gguf.GGUFReader(path).tensors:
            if seen[tensor.tensor_type] == 8 or tensor.n_elements > 50_000_000:
                continue
            seen[tensor.tensor_type] += 1
            numbers = gguf.dequantize(tensor.data, tensor.tensor_type)
            sizes = "x".join(map(str, reversed(tensor.shape.tolist())))
            print(tensor.name, tensor.tensor_type.name, sizes, check_sum(numbers), file=file)


def main():
    out = pathlib.Path(sys.argv[2])
    if sys.argv[1] == "random":
        random_file(out)
    else:
        model(sys.argv[3], out / "model.txt")


if __name__ == "__main__":
    main()
