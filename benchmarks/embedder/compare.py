#!/usr/bin/env python3
"""Texts a second of graft's embedder and of sentence-transformers, all-MiniLM-L6-v2 in float32 on the CPU.

    .deps/peers/bin/python benchmarks/embedder/compare.py [--threads N] [--rounds N] [--program build/bin/rag]

2,000 movie reviews and, on Debian 12, 500 long package descriptions. The vectors are compared first. Then both sides take
turns; of the rounds the median counts. The peer runs as installed, and with products in oneDNN
(torch.set_float32_matmul_precision("medium")) unless the processor then rounds float32 to bfloat16, as with AMX.
"""

import argparse
import glob
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "reference"))
MODEL = ROOT / ".deps" / "model"


def texts():
    """Name -> texts, a line each."""
    import retrieval_descriptions as debian

    rows = (ROOT / ".deps/reviews/movieReviewSnippets_GroundTruth.txt").read_bytes().decode().split("\r\n")
    reviews = [row.split("\t")[2] for row in rows if row]
    found = {"reviews": reviews[:: len(reviews) // 2000][:2000]}
    if files := sorted(glob.glob(debian.PATTERN)):
        found["descriptions"] = [" ".join(text.split()) for _, _, text in debian.descriptions(files[0], 500)]
    return found


def graft(program, threads, lines, *more):
    """Seconds of the last of two passes; the first makes ready."""
    done = subprocess.run([program, "embed", "--model", MODEL, "--threads", str(threads), "--repeat", "2", *more],
                          input="\n".join(lines) + "\n", capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return float(re.findall(r"tokens, ([0-9.]+) s", done.stderr)[-1])


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--program", default=str(ROOT / "build" / "bin" / "rag"))
    options = options.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    os.environ["HF_HUB_OFFLINE"] = "1"

    import safetensors.torch
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(options.threads)
    peer = SentenceTransformer(str(MODEL), device="cpu")

    def vectors(precision, lines):
        torch.set_float32_matmul_precision(precision)
        return peer.encode(lines, convert_to_tensor=True)

    def sentence_transformers(precision, lines):
        torch.set_float32_matmul_precision(precision)
        start = time.perf_counter()
        peer.encode(lines)
        return time.perf_counter() - start

    for name, lines in texts().items():
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "vectors.safetensors"
            graft(options.program, options.threads, lines, "--out", out)
            exact = vectors("highest", lines)
            difference = (safetensors.torch.load_file(out)["vectors"] - exact).abs().max()
        assert difference < 1e-6, difference
        runs = {"graft": lambda: graft(options.program, options.threads, lines),
                "sentence-transformers": lambda: sentence_transformers("highest", lines)}
        rounding = (vectors("medium", lines) - exact).abs().max()
        if rounding < 1e-5:
            runs["sentence-transformers, medium"] = lambda: sentence_transformers("medium", lines)
        else:
            print(f"medium precision is left out: its vectors are off by {rounding:.1e}")
        seconds = {side: [] for side in runs}
        for _ in range(options.rounds):
            for side, run in runs.items():
                seconds[side].append(run())
        tokens = sum(len(ids) for ids in peer.tokenizer(lines, truncation=True, max_length=256).input_ids)
        print(f"{len(lines)} {name}, {tokens} tokens, {options.threads} threads; largest difference {difference:.1e}")
        ours = statistics.median(seconds["graft"])
        for side, times in seconds.items():
            median = statistics.median(times)
            print(f"  {side:30} {len(lines) / median:7.0f} texts/s  {tokens / median:8.0f} tokens/s  graft is "
                  f"{median / ours:.2f} times as fast  ({' '.join(f'{t:.2f}' for t in times)} s)")


if __name__ == "__main__":
    main()
