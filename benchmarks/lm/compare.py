#!/usr/bin/env python3
"""Training steps of a language model beside transformers and PEFT, on this machine, in one run.

    .deps/peers/bin/python benchmarks/lm/compare.py [CASE...]      all cases, or those named; `list` prints them

SmolLM2-135M from the same GGUF in float32, the same adapter at the start, the same ids. The losses of five steps are
compared; then the steps alternate, one of graft's, one of the peer's, the other side stopped meanwhile. The peer runs as
installed; at the best setting found on this machine that computes as exactly; and under bfloat16 autocast, whose losses are
not compared. Printed: the median of the pairs' ratios (peer's time / graft's), the smallest and largest, and both peaks of
memory. Sequences of uneven lengths are padded by the peer to the longest of a batch. Writes build/bench/lm.json.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "peft")]
import compare as settings  # noqa: E402  of the peer: peft's
from turns import Program  # noqa: E402

OUT = ROOT / "build" / "bench"
GRAFT = ROOT / "build" / "bin" / "lm_step"
PYTHON = ROOT / ".deps" / "peers" / "bin" / "python"
THREADS, PAIRS, WARMUP, RANK = 2, 4, 1, 8

# name: method, sequences (dpo: pairs), tokens of each, further options of both
CASES = {
    "lora-4x512": ("lora", 4, 512, []),
    "lora-1x128": ("lora", 1, 128, []),
    "full-4x128": ("full", 4, 128, []),
    "dpo-4x256": ("dpo", 4, 256, []),
    "lora-uneven-8x512": ("lora", 8, 512, ["--uneven"]),
}
LONG = ["--method", "lora", "--batch", "1", "--tokens", "4096", "--checkpointing", "--steps", "1", "--warmup", "1"]


def model():
    files = sorted((ROOT / ".deps" / "smollm2").glob("*.gguf"))
    if not files:
        sys.exit("there is no .deps/smollm2; run: python3 cmake/fetch.py smollm2")
    return files[0]


def run(command, environment=None):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True,
                          env={**os.environ, **(environment or {})})
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout.strip().splitlines()[-1])


def peer(arguments, setting):
    return [PYTHON, HERE / "peer.py", *arguments, "--attention", setting["attention"], "--precision", setting["precision"],
            *setting.get("more", [])]


def made(name, arguments):
    """What the peer writes once into build/bench/NAME: the model of the GGUF in float32, the adapter that all start from."""
    folder = OUT / name
    if not list(folder.glob("*.safetensors")):
        subprocess.run([str(part) for part in [PYTHON, HERE / "peer.py", *arguments, "--start", folder]], check=True)
    return folder


def arguments_of(case):
    """Of graft, which reads the GGUF, and of the peer, which would take long to."""
    method, batch, tokens, more = CASES[case]
    both = ["--method", method, "--batch", batch, "--tokens", tokens, "--rank", RANK, "--threads", THREADS, *more]
    peers = ["--model", made("float32-lm", ["--model", model(), "--method", "full"]), *both]
    start = [] if method == "full" else ["--adapter", made("start-lm", peers)]
    return ["--model", model(), *both, *start], [*peers, *start]


def best_setting(arguments):
    """The fastest of the peer's settings that compute in float32, by one step each."""
    tried = []
    for environment in ({}, settings.openblas()):
        for precision in ("highest",) if settings.rounds_to_bfloat16() else ("highest", "medium"):
            for attention in ("sdpa", "eager"):
                setting = {"attention": attention, "precision": precision,
                           "environment": {**settings.MALLOC, **environment}}
                figures = run([*peer(arguments, setting), "--steps", "1", "--warmup", "1"], setting["environment"])
                tried.append((figures["min_ms"], setting))
    return min(tried, key=lambda pair: pair[0])[1]


def alternate(arguments, peers, setting):
    """PAIRS steps of each side in turn: ratios, and what both sides say at their end."""
    steps = ["--steps", PAIRS, "--warmup", WARMUP, "--paced"]
    ours = Program([GRAFT, *arguments, "--keep-freed", *steps])
    theirs = Program([*peer(peers, setting), *steps], setting["environment"])
    pairs = [(ours.ask()["ms"], theirs.ask()["ms"]) for _ in range(WARMUP + PAIRS)][WARMUP:]
    return [b / a for a, b in pairs], ours.end(), theirs.end()


def measure(case):
    arguments, peers = arguments_of(case)
    plain = {**settings.as_installed()}
    rows = []
    for against, setting in (("as installed", plain), ("at its best", best_setting(peers)),
                             ("bfloat16 autocast", {**plain, "more": ["--autocast"]})):
        ratios, ours, theirs = alternate(arguments, peers, setting)
        difference = max(abs(a - b) / abs(b) for a, b in zip(ours["losses"], theirs["losses"]))
        if difference > 1e-3 and against != "bfloat16 autocast":
            sys.exit(f"{case}: losses differ by {difference:.1e} from the peer's, {against}")
        rows.append({"case": case, "against": against, "ratio": statistics.median(ratios), "low": min(ratios),
                     "high": max(ratios), "graft_ms": ours["median_ms"], "peer_ms": theirs["median_ms"],
                     "graft_rss_bytes": ours["peak_rss_bytes"], "peer_rss_bytes": theirs["peak_rss_bytes"],
                     "share_of_memory": ours["peak_rss_bytes"] / theirs["peak_rss_bytes"],
                     "planned_bytes": ours["planned_bytes"], "loss_difference": difference, "setting": setting})
        r = rows[-1]
        print(f"{case:18} {against:18} {r['ratio']:.2f} ({r['low']:.2f} to {r['high']:.2f}):  graft {r['graft_ms']:.0f} ms, "
              f"{r['graft_rss_bytes'] / 1e6:.0f} MB;  peer {r['peer_ms']:.0f} ms, {r['peer_rss_bytes'] / 1e6:.0f} MB;  "
              f"memory {r['share_of_memory']:.2f}, losses off by {difference:.1e}", flush=True)
    return rows


def measure_long():
    """One sequence of 4,096 tokens with checkpointed layers: what it takes, and what was said."""
    figures = run([GRAFT, "--model", model(), *LONG, "--threads", THREADS])
    print(f"long: 4,096 tokens in {figures['peak_rss_bytes'] / 1e6:.0f} MB, said {figures['planned_bytes'] / 1e6:.0f} MB, "
          f"{figures['median_ms'] / 1e3:.1f} s a step", flush=True)
    return [{"case": "long", "graft_ms": figures["median_ms"], "graft_rss_bytes": figures["peak_rss_bytes"],
             "planned_bytes": figures["planned_bytes"]}]


def main(names):
    known = [*CASES, "long"]
    if names == ["list"]:
        return print("\n".join(known))
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"there is no case {', '.join(unknown)}; the cases are {', '.join(known)}")
    OUT.mkdir(parents=True, exist_ok=True)
    print(f"{settings.processor()}, {THREADS} threads, load {os.getloadavg()[0]:.1f}", flush=True)
    rows = []
    for name in names or known:
        rows += measure_long() if name == "long" else measure(name)
        (OUT / "lm.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
