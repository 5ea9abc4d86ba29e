#!/usr/bin/env python3
"""Teaches SmolLM2-135M what Debian packages are for, by full fine-tuning, LoRA and retrieval, and compares the three.

    ./run demo three_ways

Writes build/demo/three_ways/: the facts, what was trained, three_ways.json and three_ways.html. The work is done by
build/bin/three_ways; this script only writes its input. Each package has a one-line summary, which is the answer to
"What is the package X for?"; its document is the summary with the long description.
"""

import glob
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "reference"))
import retrieval_descriptions as debian  # noqa: E402

PROGRAM = ROOT / "build" / "bin" / "three_ways"
OUT = ROOT / "build" / "demo" / "three_ways"
BEFORE, AFTER = 40, 20
TAUGHT = ["What is the package {} for?", "Tell me in one line what {} is.", "Describe the Debian package {}."]
ASKED = "In one line, what does the package {} do?"


def packages():
    """(name, summary, long text) of packages whose summary says something in one line."""
    files = sorted(glob.glob(debian.PATTERN))
    if not files:
        sys.exit(f"demo: no file {debian.PATTERN}: the descriptions come from apt on Debian 12; run: "
                 "apt-get -o Acquire::Languages=en update")
    kept = [package for package in debian.descriptions(files[0]) if 4 <= len(package[1].split()) <= 10]
    return kept[: BEFORE + AFTER]


def write(name, rows):
    with open(OUT / name, "w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    facts = [(name, summary, text, "before" if i < BEFORE else "after")
             for i, (name, summary, text) in enumerate(packages())]
    write("train.jsonl", [{"question": wording.format(name), "answer": summary}
                          for name, summary, _, when in facts if when == "before" for wording in TAUGHT])
    write("documents.jsonl", [{"id": name, "text": f"{name}: {summary}\n\n{text}", "when": when}
                              for name, summary, text, when in facts])
    write("questions.jsonl", [{"question": ASKED.format(name), "answer": summary, "when": when}
                              for name, summary, _, when in facts])
    command = [PROGRAM, "--model", ROOT / ".deps/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
               "--encoder", ROOT / ".deps/model", "--train", OUT / "train.jsonl", "--documents", OUT / "documents.jsonl",
               "--questions", OUT / "questions.jsonl", "--out", OUT, "--overwrite", *sys.argv[1:]]
    return subprocess.run(command).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
