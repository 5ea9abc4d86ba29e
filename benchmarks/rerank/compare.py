#!/usr/bin/env python3
"""Pairs a second of graft's cross-encoder and of sentence-transformers' CrossEncoder, in the shape of MiniLM, float32.

    .deps/peers/bin/python benchmarks/rerank/compare.py [--threads N] [--rounds N] [--program build/bin/rerank]

A question with 50 passages of 80 tokens, and with 50 as they come, of 80 on average. The scores are compared first. Then
both sides take turns; of the rounds the median counts. The peer runs as installed, and with products in oneDNN
(torch.set_float32_matmul_precision("medium")) unless the processor then rounds float32 to bfloat16, as with AMX. Writes
build/bench/rerank.json.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
import turns  # noqa: E402

PASSAGES, TOKENS = 50, 80
QUESTION = "is it worth to see this film in the cinema?"


def passages(tokenizer):
    """Name -> passages: all of 80 tokens, and of 20 to 140."""
    rows = (ROOT / ".deps/reviews/movieReviewSnippets_GroundTruth.txt").read_bytes().decode().split("\r\n")
    words = tokenizer(" ".join(row.split("\t")[2] for row in rows if row)[:400_000], add_special_tokens=False).input_ids

    def cut(at, length):
        """A text of so many tokens: decoding and encoding may add or lose some."""
        for size in range(length, length + 40):
            text = tokenizer.decode(words[at : at + size])
            ids = tokenizer(text, add_special_tokens=False).input_ids
            if len(ids) >= length:
                text = tokenizer.decode(ids[:length])
                if len(tokenizer(text, add_special_tokens=False).input_ids) == length:
                    return text
        return text

    lengths = [20 + 120 * i // (PASSAGES - 1) for i in range(PASSAGES)]
    lengths = [lengths[i * 17 % PASSAGES] for i in range(PASSAGES)]
    return {"of 80 tokens": [cut(1000 * i, TOKENS) for i in range(PASSAGES)],
            "of 20 to 140 tokens": [cut(1000 * i, length) for i, length in enumerate(lengths)]}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--program", default=str(ROOT / "build" / "bin" / "rerank"))
    options = options.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    os.environ["HF_HUB_OFFLINE"] = "1"

    import torch
    from sentence_transformers.cross_encoder import CrossEncoder

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        CrossEncoder(str(ROOT / ".deps" / "model"), num_labels=1, device="cpu").save(folder)
        peer = CrossEncoder(folder, device="cpu")
        graft = turns.Program([options.program, folder, str(options.threads)])
        report = {"threads": options.threads, "rounds": options.rounds, "cases": []}
        for name, texts in passages(peer.tokenizer).items():
            report["cases"].append(compare(name, texts, peer, graft, options.rounds, torch))
        graft.end()
    out = ROOT / "build" / "bench" / "rerank.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=2) + "\n")
    print(f"written: {out.relative_to(ROOT)}")


def compare(name, texts, peer, graft, rounds, torch):
    pairs = [(QUESTION, text) for text in texts]
    line = json.dumps({"question": QUESTION, "passages": texts})

    def scores(precision):
        torch.set_float32_matmul_precision(precision)
        return torch.tensor(peer.predict(pairs)).double()

    def sentence_transformers(precision):
        torch.set_float32_matmul_precision(precision)
        start = time.perf_counter()
        peer.predict(pairs)
        return time.perf_counter() - start

    exact = scores("highest")
    difference = (torch.tensor(graft.ask(line)["scores"]).double() - exact).abs().max().item()
    assert difference < 1e-6, difference
    runs = {"graft": lambda: graft.ask(line)["seconds"],
            "sentence-transformers": lambda: sentence_transformers("highest")}
    rounding = (scores("medium") - exact).abs().max().item()
    if rounding < 1e-5:
        runs["sentence-transformers, medium"] = lambda: sentence_transformers("medium")
    else:
        print(f"medium precision is left out: its scores are off by {rounding:.1e}")
    seconds = {side: [] for side in runs}
    for _ in range(rounds):
        for side, run in runs.items():
            seconds[side].append(run())
    print(f"{len(texts)} passages {name}; largest difference {difference:.1e}")
    medians = {side: statistics.median(times) for side, times in seconds.items()}
    for side, median in medians.items():
        times = " ".join(f"{1000 * t:.0f}" for t in seconds[side])
        print(f"  {side:30} {len(texts) / median:7.0f} pairs/s  graft is {median / medians['graft']:.2f} times as fast  "
              f"({times} ms)", flush=True)
    return {"name": name, "passages": len(texts), "largest_difference": difference, "seconds": seconds,
            "pairs_per_second": {side: len(texts) / median for side, median in medians.items()},
            "times_as_fast": {side: median / medians["graft"] for side, median in medians.items()}}


if __name__ == "__main__":
    main()
