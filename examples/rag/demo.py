#!/usr/bin/env python3
"""Indexes 5,000 descriptions of Debian packages, asks a few questions, and measures the search.

    ./run demo search [QUESTION...]

Prints hits and a table, and writes build/demo/search/: descriptions.jsonl, queries.jsonl, qrels.tsv and the store. The
work is done by build/bin/rag; this script only writes its input and puts the figures together. Each package is asked for
by its one-line summary; the text is its long description.
"""

import glob
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "reference"))
import retrieval_descriptions as debian  # noqa: E402

PROGRAM = ROOT / "build" / "bin" / "rag"
MODEL = ROOT / ".deps" / "model"
OUT = ROOT / "build" / "demo" / "search"
STORE = OUT / "descriptions.db"
PACKAGES = "/var/lib/apt/lists/*debian*_dists_bookworm_main_binary-*_Packages*"
QUESTIONS = [
    ["how do I resize pictures from the shell"],
    ["how do I resize pictures from the shell", "--where", 'section = "graphics"'],
    ["a game in which you dig for diamonds"],
    ["find out which program is using the network"],
]
# SQLite FTS5 (porter), sentence-transformers with exact search, and both by reciprocal rank, on the same 5,000.
REFERENCE = {"bm25": 0.840, "dense": 0.820, "hybrid": 0.858}


def sections():
    """Package -> section, as apt's list of packages has it; empty without that list."""
    found = {}
    for path in sorted(glob.glob(PACKAGES))[:1]:
        name = ""
        for line in debian.read(path).split("\n"):
            if line.startswith("Package: "):
                name = line[len("Package: "):]
            elif line.startswith("Section: "):
                found[name] = line[len("Section: "):]
    return found


def write_data():
    files = sorted(glob.glob(debian.PATTERN))
    if not files:
        sys.exit(f"demo: no file {debian.PATTERN}: the descriptions come from apt on Debian 12; run: "
                 "apt-get -o Acquire::Languages=en update")
    section_of = sections()
    with (open(OUT / "descriptions.jsonl", "w", encoding="utf-8") as documents,
          open(OUT / "queries.jsonl", "w", encoding="utf-8") as queries,
          open(OUT / "qrels.tsv", "w", encoding="utf-8") as relevant):
        for name, summary, text in debian.descriptions(files[0]):
            document = {"id": name, "text": text}
            if name in section_of:
                document["metadata"] = {"section": section_of[name]}
            documents.write(json.dumps(document, ensure_ascii=False) + "\n")
            queries.write(json.dumps({"id": name, "text": summary}, ensure_ascii=False) + "\n")
            relevant.write(f"{name}\t{name}\t1\n")


def rag(*arguments, **more):
    done = subprocess.run([PROGRAM, *arguments], **more)
    if done.returncode != 0:
        sys.exit(done.returncode)
    return done


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    write_data()
    rag("index", OUT / "descriptions.jsonl", "--store", STORE, "--model", MODEL)
    for question, *filters in [[text] for text in sys.argv[1:]] or QUESTIONS:
        print(f"\n> {question}" + "".join(f"  ({f})" for f in filters[1:]), flush=True)
        rag("search", question, "--store", STORE, "--top", "3", *filters)

    print("\nEach of the 5,000 summaries as a query, its own package as the one right answer:", flush=True)
    done = rag("eval", "--store", STORE, "--queries", OUT / "queries.jsonl", "--relevant", OUT / "qrels.tsv", "--json",
               stdout=subprocess.PIPE)
    print(f"{'':8} recall@1  recall@10  MRR@10  nDCG@10  reference")
    for row in json.loads(done.stdout):
        print(f"{row['mode']:8} {row['recall_at_1']:8.3f}  {row['recall']:9.3f}  {row['mrr']:6.3f}  {row['ndcg']:7.3f}"
              f"  {REFERENCE[row['mode']]:9.3f}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
