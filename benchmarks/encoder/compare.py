#!/usr/bin/env python3
"""Pairs a second and peak memory in training MiniLM, both sides and every weight, beside sentence-transformers.

    .deps/peers/bin/python benchmarks/encoder/compare.py [--threads N] [--rounds N] [--steps N]

Pairs are package descriptions with their summaries, rows 5,001 and on of the order that docs/retrieval.md gives; batches
of 64, texts of at most 128 tokens, MultipleNegativesRankingLoss, AdamW, gradients clipped to 1. First both train the same
steps without dropout, and their losses must be equal. Then they take turns with dropout, and of the rounds the median
counts. The peer runs as installed, and with products in oneDNN (torch.set_float32_matmul_precision("medium")) unless the
losses then differ. Writes build/bench/encoder.json.
"""

import argparse
import glob
import json
import os
import pathlib
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests" / "reference"), str(ROOT / "benchmarks")]
import retrieval_descriptions as debian  # noqa: E402
import turns  # noqa: E402

MODEL = ROOT / ".deps" / "model"
BATCH, MAX_TOKENS = 64, 128


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--steps", type=int, default=3)
    options = options.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    files = sorted(glob.glob(debian.PATTERN))
    if not files:
        sys.exit(f"no file {debian.PATTERN}; run: apt-get -o Acquire::Languages=en update")
    out = ROOT / "build" / "bench"
    out.mkdir(parents=True, exist_ok=True)
    pairs = out / "encoder_pairs.jsonl"
    asked = set()  # graft takes no second answer to a question for a wrong one; the peer would
    with open(pairs, "w", encoding="utf-8") as lines:
        for _, summary, text in debian.descriptions(files[0], 7000)[5000:]:
            if summary.lower() not in asked:
                lines.write(json.dumps({"query": summary, "positive": text}) + "\n")
            asked.add(summary.lower())

    def peer(precision):
        return turns.Program([sys.executable, ROOT / "benchmarks" / "encoder" / "peer.py", MODEL, pairs, BATCH, MAX_TOKENS,
                              precision])

    sides = {"graft": turns.Program([ROOT / "build" / "bin" / "encoder_step", "--model", MODEL, "--pairs", pairs, "--batch",
                                     BATCH, "--max-tokens", MAX_TOKENS, "--threads", options.threads]),
             "sentence-transformers": peer("highest"), "sentence-transformers, medium": peer("medium")}
    losses = {side: program.ask("exact 3")["losses"] for side, program in sides.items()}
    for side, values in losses.items():
        print(f"{side:30} losses {' '.join(f'{value:.6f}' for value in values)}", flush=True)
    for side, values in list(losses.items()):
        difference = max(abs(a / b - 1) for a, b in zip(values, losses["sentence-transformers"]))
        if side.endswith("medium") and difference > 1e-3:
            print(f"medium precision is left out: its losses are off by {difference:.1e}")
            sides.pop(side).end()
        elif side == "graft" and difference > 1e-3:
            sys.exit(f"graft's losses are off by {difference:.1e}")

    seconds, peak = {side: [] for side in sides}, {}
    for _ in range(options.rounds):
        for side, program in sides.items():
            answer = program.ask(f"timed {options.steps}")
            seconds[side].append(answer["seconds"] / options.steps)
            peak[side] = answer["peak_rss_bytes"]
    ours = statistics.median(seconds["graft"])
    report = {"batch": BATCH, "max_tokens": MAX_TOKENS, "threads": options.threads, "losses": losses, "sides": {}}
    for side, times in seconds.items():
        median = statistics.median(times)
        report["sides"][side] = {"pairs_per_second": BATCH / median, "peak_rss_bytes": peak[side],
                                 "graft_is_times_as_fast": median / ours, "graft_has_of_memory": peak["graft"] / peak[side]}
        print(f"{side:30} {BATCH / median:7.1f} pairs/s  {peak[side] / 2**20:6.0f} MB  graft is {median / ours:.2f} times as"
              f" fast and has {peak['graft'] / peak[side]:.2f} of the memory"
              f"  ({' '.join(f'{t:.2f}' for t in times)} s a step)")
    (out / "encoder.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
