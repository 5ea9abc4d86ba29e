#!/usr/bin/env python3
"""graft's training steps beside those of transformers and PEFT, on this machine, in one run.

    ./run bench peft [CASE...]      all cases, or those named; `./run bench peft list` prints them

Both sides start from the same weights and see the same ids. The losses of the first five steps are compared at dropout
0; then the steps alternate, one of graft's, one of the peer's, the other side stopped meanwhile. Printed: the median of the
pairs' ratios (peer's time / graft's) and the smallest and largest. The peer runs as installed, and at the best setting found
on this machine that computes as exactly: "medium" precision is left out where it rounds float32 to bfloat16 (AMX).
Writes build/bench/peft.json.
"""

import functools
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from turns import Program  # noqa: E402

OUT = ROOT / "build" / "bench"
GRAFT = ROOT / "build" / "bin" / "train_step"
FINETUNE = ROOT / "build" / "bin" / "bert_finetune"
PYTHON = ROOT / ".deps" / "peers" / "bin" / "python"
MINILM = ROOT / ".deps" / "model"
BASE = OUT / "bert-base"
THREADS, PAIRS, WARMUP, RANK = 2, 7, 2, 8

# name: method, targets, sequences, tokens of each, dropout, element type, and the ratios aimed at
CASES = {
    "lora-qv": ("lora", "query,value", 8, 128, 0.0, "float32", 2.2, 1.15),
    "lora-all": ("lora", "all-linear", 8, 128, 0.0, "float32", 2.2, 1.15),
    "lora-all-dropout": ("lora", "all-linear", 8, 128, 0.1, "float32", 2.8, 1.7),
    "lora-all-32": ("lora", "all-linear", 32, 128, 0.1, "float32", 2.5, 1.6),
    "lora-all-1x16": ("lora", "all-linear", 1, 16, 0.0, "float32", 2.5, 2.0),
    "lora-all-bf16": ("lora", "all-linear", 8, 128, 0.0, "bfloat16", 1.5, 1.3),
    "full-dropout": ("full", "all-linear", 8, 128, 0.1, "float32", 2.0, 1.3),
}
EPOCHS = {"epoch-lora": ("lora", 4.0, 2.5), "epoch-full": ("full", 3.5, 2.0)}

PEAKS = []  # of the processor, each time it was measured: others may have slowed one down, so the highest counts

MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**63 - 1), "MALLOC_TOP_PAD_": str(256 << 20)}


def processor():
    names = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return names[0] if names else platform.machine()


def openblas():
    """Debian's OpenBLAS to put before LibTorch's MKL, if it is installed, with the kernels of this processor."""
    found = sorted(pathlib.Path("/usr/lib").glob("*/openblas-openmp/libopenblas.so.0"))
    if not found:
        return {}
    avx512 = "avx512f" in pathlib.Path("/proc/cpuinfo").read_text()
    return {"LD_PRELOAD": str(found[0]), "OPENBLAS_CORETYPE": "SkylakeX" if avx512 else "Haswell"}


def run(command, environment=None):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True,
                          env={**os.environ, **(environment or {})})
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout.strip().splitlines()[-1])


def peer(arguments, setting):
    return [PYTHON, HERE / "peer.py", *arguments, "--attention", setting["attention"], "--precision", setting["precision"]]


def as_installed():
    return {"attention": "sdpa", "precision": "highest", "environment": {}}


def best_setting(arguments, dtype):
    """The fastest of the peer's settings, by the better of two steps each."""
    tried = []
    for environment in ({}, openblas()):
        for precision in ("highest", "medium") if dtype == "float32" and not rounds_to_bfloat16() else ("highest",):
            for attention in ("sdpa", "eager"):
                setting = {"attention": attention, "precision": precision, "environment": {**MALLOC, **environment}}
                figures = run([*peer(arguments, setting), "--steps", "2", "--warmup", "1"], setting["environment"])
                tried.append((figures["min_ms"], setting))
    return min(tried, key=lambda pair: pair[0])[1]


@functools.cache
def rounds_to_bfloat16():
    """Whether float32 precision "medium" is not float32's here: the relative error of a product says so."""
    code = ("import torch; torch.manual_seed(0); torch.set_float32_matmul_precision('medium'); "
            "a, b = torch.randn(512, 768), torch.randn(768, 512); exact = a.double() @ b.double(); "
            "print(((a @ b - exact).norm() / exact.norm()).item())")
    error = float(subprocess.run([PYTHON, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout)
    print(f'the peer\'s precision "medium" has a relative error of {error:.1e}: '
          f'{"left out" if error > 1e-5 else "tried too"}', flush=True)
    return error > 1e-5


def make_base():
    """BERT-base with random weights and a head of two classes, as a Hugging Face directory."""
    if (BASE / "config.json").exists():
        return
    code = ("import sys, torch, transformers as t; torch.manual_seed(0); t.utils.logging.disable_progress_bar(); "
            "t.BertForSequenceClassification(t.BertConfig(num_labels=2)).save_pretrained(sys.argv[1])")
    subprocess.run([PYTHON, "-c", code, BASE], check=True)


def start_of(arguments, name):
    """The directory of a fresh adapter made by PEFT, for both sides to start from; none in full fine-tuning."""
    if "full" in arguments:
        return []
    directory = OUT / f"start-{name}"
    if not (directory / "adapter_config.json").exists():
        subprocess.run([PYTHON, HERE / "peer.py", *map(str, arguments), "--start", directory], check=True)
    return ["--adapter", directory]


def shape_of(case, dropout):
    method, targets, batch, seq, _, dtype, *_ = CASES[case]
    return ["--model", BASE, "--method", method, "--targets", targets, "--batch", batch, "--seq", seq, "--dropout",
            dropout, "--dtype", dtype, "--rank", RANK, "--threads", THREADS]


def same_losses(case):
    """The largest relative difference of the first five losses without dropout."""
    arguments = list(map(str, shape_of(case, 0.0)))
    arguments += map(str, start_of(arguments, case + "-plain"))
    ours = run([GRAFT, *arguments, "--steps", "4", "--warmup", "1", "--json"])["losses"]
    theirs = run([*peer(arguments, as_installed()), "--steps", "4", "--warmup", "1"])["losses"]
    return max(abs(a - b) / abs(b) for a, b in zip(ours, theirs))


def alternate(case, setting):
    """PAIRS steps of each side in turn: ratios, and what both sides say at their end."""
    arguments = list(map(str, shape_of(case, CASES[case][4])))
    arguments += map(str, start_of(arguments, case))
    ours = Program([GRAFT, *arguments, "--steps", PAIRS, "--warmup", WARMUP, "--json", "--peak", "--paced"])
    theirs = Program([*peer(arguments, setting), "--steps", PAIRS, "--warmup", WARMUP, "--paced"], setting["environment"])
    pairs = [(ours.ask()["ms"], theirs.ask()["ms"]) for _ in range(WARMUP + PAIRS)][WARMUP:]
    ratios = [b / a for a, b in pairs]
    peer_end = theirs.end()
    return ratios, ours.end(), peer_end  # graft measures the peak last, alone


def flop(case):
    """Multiplications and additions of a step of the whole model, as the peer makes them.

    graft leaves some 7 % out: rows of the last layer that the head does not read, the first layer's gradient of x.
    """
    method, _, batch, seq, *_ = CASES[case]
    tokens, hidden, inner, layers = batch * seq, 768, 3072, 12
    products = (6 if method == "full" else 4) * tokens * layers * (4 * hidden * hidden + 2 * hidden * inner)
    return products + 12 * tokens * seq * hidden * layers


def row(case, against, ratios, ours, theirs, aim):
    PEAKS.append(ours["peak_gflops"])
    peak = max(PEAKS)
    return {"case": case, "against": against, "ratio": statistics.median(ratios), "low": min(ratios),
            "high": max(ratios), "aim": aim, "graft_ms": ours["median_ms"], "peer_ms": theirs["median_ms"],
            "graft_rss_bytes": ours["peak_rss_bytes"], "peer_rss_bytes": theirs["peak_rss_bytes"],
            "peak_gflops": peak, "share_of_peak": flop(case) / 1e6 / ours["median_ms"] / peak}


def measure(case):
    difference = same_losses(case)
    print(f"{case}: losses of five steps differ by at most {difference:.1e}", flush=True)
    probe = list(map(str, shape_of(case, CASES[case][4])))
    probe += map(str, start_of(probe, case))
    rows = []
    for against, setting, aim in (("as installed", as_installed(), CASES[case][6]),
                                  ("at its best", best_setting(probe, CASES[case][5]), CASES[case][7])):
        ratios, ours, theirs = alternate(case, setting)
        rows.append({**row(case, against, ratios, ours, theirs, aim), "loss_difference": difference, "setting": setting})
        print(line(rows[-1]), flush=True)
    return rows


def line(r):
    return (f"  {r['against']:<12}  {r['ratio']:.2f} ({r['low']:.2f} to {r['high']:.2f}), aim {r['aim']}:  "
            f"graft {r['graft_ms']:.0f} ms, {r['graft_rss_bytes'] / 1e6:.0f} MB;  peer {r['peer_ms']:.0f} ms, "
            f"{r['peer_rss_bytes'] / 1e6:.0f} MB;  {100 * r['share_of_peak']:.0f} % of {r['peak_gflops']:.0f} GFLOP/s")


def measure_epoch(case):
    """One epoch of the movie reviews with MiniLM, each side once."""
    method, *aims = EPOCHS[case]
    train = ROOT / "build" / "demo" / "train.tsv"
    if not train.exists():
        sys.exit("build/demo/train.tsv is missing; run ./run demo first")
    report = OUT / f"{case}.json"
    subprocess.run([FINETUNE, "--model", MINILM, "--train", train, "--dev", train.with_name("dev.tsv"), "--method", method,
                    "--epochs", "1", "--max-length", "64", "--threads", str(THREADS), "--json", report, "--overwrite"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ours = json.loads(report.read_text())["seconds_per_epoch"]
    rows = []
    for against, setting, aim in (("as installed", as_installed(), aims[0]),
                                  ("at its best", {**as_installed(), "environment": {**MALLOC, **openblas()}}, aims[1])):
        theirs = run(peer(["--model", MINILM, "--method", method, "--targets", "query,value", "--dropout", "0.1",
                           "--reviews", train, "--threads", str(THREADS)], setting), setting["environment"])
        rows.append({"case": case, "against": against, "ratio": theirs["seconds_per_epoch"] / ours, "aim": aim,
                     "graft_seconds": ours, "peer_seconds": theirs["seconds_per_epoch"], "setting": setting})
        print(f"{case}, {against}: {rows[-1]['ratio']:.2f}, aim {aim}:  graft {ours:.0f} s, "
              f"peer {theirs['seconds_per_epoch']:.0f} s", flush=True)
    return rows


def measure_start(case="start"):
    """Process start to the end of the first step, MiniLM with LoRA."""
    arguments = ["--model", MINILM, "--targets", "query,value", "--batch", "8", "--seq", "32", "--threads", str(THREADS),
                 "--steps", "1", "--warmup", "0"]
    ratios = []
    for _ in range(5):
        seconds = []
        for command in ([GRAFT, *arguments, "--json"], peer(arguments, as_installed())):
            begin = time.perf_counter()
            run(command)
            seconds.append(time.perf_counter() - begin)
        ratios.append(seconds[1] / seconds[0])
    print(f"start to the end of the first step: {statistics.median(ratios):.2f}, aim 4:  graft {seconds[0]:.2f} s, "
          f"peer {seconds[1]:.2f} s", flush=True)
    return [{"case": case, "against": "as installed", "ratio": statistics.median(ratios), "aim": 4.0,
             "graft_seconds": seconds[0], "peer_seconds": seconds[1]}]


def main(names):
    known = [*CASES, *EPOCHS, "start"]
    if names == ["list"]:
        return print("\n".join(known))
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"there is no case {', '.join(unknown)}; the cases are {', '.join(known)}")
    OUT.mkdir(parents=True, exist_ok=True)
    make_base()
    print(f"{processor()}, {THREADS} threads, load {os.getloadavg()[0]:.1f}", flush=True)
    rows = []
    for name in names or known:
        rows += measure(name) if name in CASES else measure_epoch(name) if name in EPOCHS else measure_start()
        (OUT / "peft.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
