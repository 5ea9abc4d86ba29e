#!/usr/bin/env python3
"""Trains four adapters at once over one MiniLM, then each alone, and prints both times.

    ./run demo adapters

Four tasks on reviews of films and of goods, with labels and learning rates of their own. The training is
build/bin/many_adapters; this script only writes the texts.
"""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
REVIEWS = ROOT / ".deps" / "reviews"
OUT = ROOT / "build" / "demo" / "adapters"
TRAIN, DEV = 1600, 600


def sentiment(rating):
    return None if rating == 0 else "positive" if rating > 0 else "negative"


def strength(rating):
    return "strong" if abs(rating) > 1.5 else "weak"


def three(rating):
    return "good" if rating > 1 else "bad" if rating < -1 else "mixed"


TASKS = {
    "film_mood": ("movie", sentiment, 1e-3),
    "film_strength": ("movie", strength, 5e-4),
    "goods_mood": ("amazon", sentiment, 1e-3),
    "goods_three": ("amazon", three, 2e-3),
}


def fnv1a(text):
    """FNV-1a, 64 bits: an order that has nothing to do with the file's."""
    digest = 0xCBF29CE484222325
    for byte in text.encode():
        digest = (digest ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return digest


def write(name, source, label):
    rows = []
    for line in (REVIEWS / f"{source}ReviewSnippets_GroundTruth.txt").read_bytes().decode("utf-8").splitlines():
        number, rating, text = line.split("\t")
        if (found := label(float(rating))) is not None:
            rows.append((fnv1a(name + number), f"{text}\t{found}"))
    rows = [row for _, row in sorted(rows)]
    for part, chosen in (("train", rows[:TRAIN]), ("dev", rows[TRAIN : TRAIN + DEV])):
        (OUT / f"{name}-{part}.tsv").write_text("\n".join(["text\tlabel", *chosen, ""]), encoding="utf-8", newline="")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    command = [ROOT / "build" / "bin" / "many_adapters", "--model", ROOT / ".deps" / "model", "--out", OUT / "out", "--overwrite",
               "--compare"]
    for name, (source, label, rate) in TASKS.items():
        write(name, source, label)
        command += ["--task", f"{name}={OUT / name}-train.tsv,{OUT / name}-dev.tsv,{rate}"]
    return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main())
