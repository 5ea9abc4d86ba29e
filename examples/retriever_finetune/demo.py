#!/usr/bin/env python3
"""Trains a retriever on descriptions of Debian packages in each way there is, and compares them.

    ./run demo retriever

10,000 packages are trained on: the one-line summary is the question, the long description its answer. 5,000 others, none
of which was seen, are searched by theirs. Prints a table and writes build/demo/retriever/: the data, stores, what was
trained, and report.json. The work is done by build/bin/rag and build/bin/retriever_finetune; this script only writes
their input and puts the figures together.
"""

import json
import pathlib
import subprocess
import sys
import time
import glob

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "reference"))
import retrieval_descriptions as debian  # noqa: E402

BIN = ROOT / "build" / "bin"
MODEL = ROOT / ".deps" / "model"
OUT = ROOT / "build" / "demo" / "retriever"
TESTED, TRAINED = 5_000, 10_000


def run(program, *arguments, **more):
    done = subprocess.run([BIN / program, *map(str, arguments)], **more)
    if done.returncode != 0:
        sys.exit(done.returncode)
    return done.stdout


def write_lines(path, rows):
    with open(path, "w", encoding="utf-8") as out:
        for row in rows:
            out.write((row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n")


def write_data():
    files = sorted(glob.glob(debian.PATTERN))
    if not files:
        sys.exit(f"demo: no file {debian.PATTERN}: the descriptions come from apt on Debian 12; run: "
                 "apt-get -o Acquire::Languages=en update")
    rows = debian.descriptions(files[0], TESTED + TRAINED)
    test, train = rows[:TESTED], rows[TESTED:]
    write_lines(OUT / "test.jsonl", [{"id": name, "text": text} for name, _, text in test])
    write_lines(OUT / "queries.jsonl", [{"id": name, "text": summary} for name, summary, _ in test])
    write_lines(OUT / "qrels.tsv", [f"{name}\t{name}\t1" for name, _, _ in test])
    write_lines(OUT / "train.jsonl", [{"id": name, "text": text} for name, _, text in train])
    write_lines(OUT / "pairs.jsonl", [{"query": summary, "positive": text} for _, summary, text in train])


def index(documents, store, model):
    run("rag", "index", OUT / documents, "--store", OUT / store, "--model", model, "--prune")


def evaluate(store, join=None, *more):
    """The last row of each mode: with the adapter, where one is given."""
    weights = [] if join is None else ["--vector-weight", join["vector"], "--word-weight", join["word"],
                                       "--rank-constant", join["rank_constant"]]
    rows = json.loads(run("rag", "eval", "--store", OUT / store, "--queries", OUT / "queries.jsonl", "--relevant",
                          OUT / "qrels.tsv", "--mode", "dense", "--mode", "hybrid", "--json", *weights, *more,
                          stdout=subprocess.PIPE))
    return {row["mode"]: row for row in rows}


def train(*arguments):
    return json.loads(run("retriever_finetune", "--pairs", OUT / "pairs.jsonl", "--overwrite", "--json", *arguments,
                          stdout=subprocess.PIPE))


def entry(method, quality, trained=None):
    trained = trained or {"trained_parameters": 0, "seconds": 0, "saved_bytes": 0}
    out = {"method": method}
    for mode, row in quality.items():
        out |= {f"{mode}_ndcg_at_10": row["ndcg"], f"{mode}_low": row["ndcg_low"], f"{mode}_high": row["ndcg_high"],
                f"{mode}_recall_at_1": row["recall_at_1"], f"{mode}_recall_at_10": row["recall"]}
    return out | {name: trained[name] for name in ("trained_parameters", "seconds", "saved_bytes")}


def main():
    start = time.monotonic()
    OUT.mkdir(parents=True, exist_ok=True)
    write_data()
    methods = []

    def say(text):
        print(f"\n{text}", flush=True)

    say("Indexing the documents as the model comes")
    index("train.jsonl", "train.db", MODEL)
    index("test.jsonl", "test.db", MODEL)
    methods.append(entry("base", evaluate("test.db", {"vector": 1, "word": 1, "rank_constant": 60})))

    for method, name in (("map", "map.safetensors"), ("lora", "query-adapter")):
        say(f"Training the questions' side: {method}")
        trained = train("--store", OUT / "train.db", "--method", method, "--out", OUT / name)
        run("rag", "allow", OUT / name, "--store", OUT / "test.db")
        methods.append(entry(f"{method}, questions", evaluate("test.db", trained["join"]["with"], "--query-adapter",
                                                              OUT / name), trained))

    say("Training both sides, every weight")
    trained = train("--side", "both", "--method", "full", "--model", MODEL, "--out", OUT / "model")
    say("Indexing the documents with the trained model, and learning how to join its search with that by words")
    index("train.jsonl", "trained-train.db", OUT / "model")
    index("test.jsonl", "trained-test.db", OUT / "model")
    join = train("--store", OUT / "trained-train.db", "--model", OUT / "model", "--out", OUT / "trained-map.safetensors")
    methods.append(entry("full, both sides", evaluate("trained-test.db", join["join"]["without"]), trained))

    report = {"trained_on": TRAINED, "tested_on": TESTED, "seconds": round(time.monotonic() - start, 1),
              "methods": methods}
    (OUT / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"\nEach of {TESTED:,} summaries as a question, its own description as the one right answer; nDCG@10 by vector"
          f" alone and joined with words:\n\n{'':20} {'dense':>7} {'joined':>7} {'trained':>12} {'seconds':>8}"
          f" {'bytes':>12}")
    for row in methods:
        print(f"{row['method']:20} {row['dense_ndcg_at_10']:7.4f} {row['hybrid_ndcg_at_10']:7.4f}"
              f" {row['trained_parameters']:12,} {row['seconds']:8.1f} {row['saved_bytes']:12,}")
    print(f"\n{report['seconds']:.0f} s in all; {OUT.relative_to(ROOT)}/report.json")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
