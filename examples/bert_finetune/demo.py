#!/usr/bin/env python3
"""Fine-tunes MiniLM on the movie reviews in full and with LoRA, compares the two, and classifies the texts given.

    ./run demo [TEXT...]

Prints a table and writes build/demo/report.json. The two runs are build/bin/bert_finetune; this script only cuts the
reviews into splits and puts the reports together.
"""

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MODEL = ROOT / ".deps" / "model"
REVIEWS = ROOT / ".deps" / "reviews" / "movieReviewSnippets_GroundTruth.txt"
OUT = ROOT / "build" / "demo"
PROGRAM = ROOT / "build" / "bin" / "bert_finetune"
METHODS = {
    "full": ["--lr", "1e-4"],
    "lora": ["--lr", "1e-3", "--rank", "8", "--alpha", "16", "--dropout", "0.1", "--targets", "query,value"],
}
DEFAULT_TEXT = "A film of rare warmth, and funny too."


def fnv1a(text):
    """FNV-1a, 64 bits."""
    digest = 0xCBF29CE484222325
    for byte in text.encode():
        digest = (digest ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return digest


def write_splits():
    """train.tsv, dev.tsv and test.tsv in OUT. Label: mean rating above 0; ratings of exactly 0 are dropped."""
    rows = {"train": [], "dev": [], "test": []}
    for line in REVIEWS.read_bytes().decode("utf-8").split("\r\n"):
        if not line:
            continue
        number, rating, text = line.split("\t")
        if float(rating) == 0:
            continue
        split = {0: "test", 1: "dev"}.get(fnv1a(number) % 10, "train")
        rows[split].append(f"{text}\t{'positive' if float(rating) > 0 else 'negative'}")
    for name, lines in rows.items():
        (OUT / f"{name}.tsv").write_text("\n".join(["text\tlabel", *lines, ""]), encoding="utf-8", newline="")
    print(", ".join(f"{len(lines):,} {name}" for name, lines in rows.items()), "reviews")


def finetune(method, options):
    """One run of the program; its report."""
    report = OUT / f"{method}.json"
    command = [PROGRAM, "--model", MODEL, "--method", method, "--out", OUT / method, "--json", report, "--overwrite", "--epochs", "2",
               "--batch-size", "32", "--max-length", "64", "--text-column", "text", "--label-column", "label", *options]
    for split in ("train", "dev", "test"):
        command += [f"--{split}", OUT / f"{split}.tsv"]
    print(f"\n{method}:", flush=True)
    if (code := subprocess.run(command).returncode) != 0:
        sys.exit(code)
    return json.loads(report.read_text())


def table(methods):
    columns = ["method", "trained", "of", "test accuracy", "s/epoch", "tokens/s", "peak memory", "saved"]
    rows = [[m["method"], f"{m['trainable_parameters']:,}", f"{m['total_parameters']:,}", f"{m['test_accuracy']:.3f}",
             f"{m['seconds_per_epoch']:.0f}", f"{m['tokens_per_second']:,.0f}", f"{m['peak_rss_bytes'] / 1e6:,.0f} MB",
             f"{m['saved_bytes'] / 1e6:,.1f} MB"] for m in methods]
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    lines = [columns, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(f"{cell:>{width}}" for cell, width in zip(line, widths)) + " |" for line in lines)


def classify(method, texts):
    where = {"full": ["--model", OUT / "full"], "lora": ["--model", MODEL, "--adapter", OUT / "lora"]}[method]
    done = subprocess.run([PROGRAM, "predict", *where, "--max-length", "64", "--json"], input="\n".join(texts) + "\n",
                          stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(done.returncode)
    for text, line in zip(texts, done.stdout.splitlines()):
        answer = json.loads(line)
        print(f"{method:>5}: {answer['label']} {max(answer['probabilities']):.3f}  {text}")


def main():
    texts = [" ".join(text.split()) for text in sys.argv[1:]] or [DEFAULT_TEXT]
    OUT.mkdir(parents=True, exist_ok=True)
    write_splits()
    methods = [finetune(method, options) for method, options in METHODS.items()]
    report = OUT / "report.json"
    temporary = report.with_suffix(".tmp")
    temporary.write_text(json.dumps({"methods": methods}, indent=2) + "\n")
    os.replace(temporary, report)
    print("\n" + table(methods) + f"\n\nwritten: {report.relative_to(ROOT)}\n", flush=True)
    for method in METHODS:
        classify(method, texts)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
