#!/usr/bin/env python3
"""graft's search beside faiss-cpu, torch and hnswlib over the same vectors, on this machine, in one run.

    ./run bench retrieval [--vectors N] [--width N] [--rounds N] [--threads N]

Vectors of length 1 around 2,000 centres. The sides take turns, who has none is stopped; of each ratio the median of the
rounds counts. faiss-cpu runs as installed and at its best setting for batches. Each graph is searched at the smallest
ef that finds 0.95 of the ten nearest. Then, from a file: 5,000 documents with ready vectors are added to a fresh store
(descriptions of Debian's packages where apt has them, else made-up words), and a store of all vectors is opened by a
fresh process that answers one query, with the file in memory and not. Prints each figure with the bar it is held
against, and a line of JSON, which is also written to build/bench/retrieval.json.
"""

import argparse
import glob
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / folder) for folder in ("benchmarks", "benchmarks/peft", "tests/reference")]
from compare import processor  # noqa: E402
from turns import Program  # noqa: E402

OUT = ROOT / "build" / "bench"
PEERS = pathlib.Path(__file__).with_name("peers.py")
QUERIES, NEAREST, DOCUMENTS = 256, 10, 5000
DEPTHS = (10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64, 96, 128, 192, 256)


def run(*command):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout)


def make_vectors(directory, options):
    import numpy
    draw = numpy.random.default_rng(1)
    centres = draw.standard_normal((2000, options.width))
    for file, count in (("vectors.f32", options.vectors), ("queries.f32", QUERIES)):
        rows = centres[draw.integers(0, len(centres), count)] + options.noise * draw.standard_normal((count, options.width))
        (rows / numpy.linalg.norm(rows, axis=1, keepdims=True)).astype(numpy.float32).tofile(directory / file)


def texts(count):
    """`count` texts in one line each, and what they are."""
    import retrieval_descriptions as debian
    if files := sorted(glob.glob(debian.PATTERN)):
        found, what = [" ".join(text.split()) for _, _, text in debian.descriptions(files[0], DOCUMENTS)], "descriptions"
    else:
        draw = random.Random(1)
        words = ["".join(draw.choices("etaoinshrdlu", k=draw.randint(2, 10))) for _ in range(20000)]
        common = [1 / (rank + 3) for rank in range(len(words))]
        found, what = [" ".join(draw.choices(words, common, k=60)) for _ in range(DOCUMENTS)], "made-up texts"
    return [f"{found[i % len(found)]} {i}" for i in range(count)], what


class Figures:
    """What was measured, each beside its bar."""

    def __init__(self):
        self.rows = []

    def add(self, what, value, unit="", least=None, most=None, detail=""):
        met = (least is None or value >= least) and (most is None or value <= most)
        bar = f"at least {least}" if least is not None else f"at most {most}" if most is not None else ""
        self.rows.append({"what": what, "value": value, "unit": unit, "least": least, "most": most, "met": met})
        print(f"{what:66}{value:9.3f} {unit:5}{bar:15}{'' if met else 'MISSED':8}{detail}", flush=True)


def recall(found, wanted):
    return sum(len(set(a) & set(b)) for a, b in zip(found, wanted)) / (NEAREST * len(wanted))


def rounds(count, tasks):
    """Name -> milliseconds of each round; `tasks`: name -> (side, line). The first round makes ready."""
    times = {name: [] for name in tasks}
    for _ in range(count + 1):
        for name, (side, line) in tasks.items():
            times[name].append(side.ask(line)["ms"])
    return {name: of[1:] for name, of in times.items()}


def ratio(over, under):
    return statistics.median(a / b for a, b in zip(over, under))


def spread(times):
    return f"{statistics.median(times):.2f} ms ({min(times):.2f} to {max(times):.2f})"


def measure_exact(options, sides, figures):
    graft, faiss, best, torch = (sides[name] for name in ("graft", "faiss", "faiss, best", "torch"))
    wanted = faiss.ask("ids")["ids"]
    one = rounds(options.rounds, {"float32": (graft, "one float32"), "faiss": (faiss, "one"), "read": (graft, "read"),
                                  "float16": (graft, "one float16"), "torch": (torch, "one")})
    for name, times in one.items():
        print(f"  one query, {name}: {spread(times)}")
    size = options.vectors * options.width * 4
    figures.add("one query: faiss-cpu / graft", ratio(one["faiss"], one["float32"]), least=1)
    figures.add("one query: share of the memory's read speed", ratio(one["read"], one["float32"]), least=0.8,
                detail=f"of {size / 1e6 / statistics.median(one['read']):.1f} GB/s")
    figures.add("one query: float32 / float16", ratio(one["float32"], one["float16"]), least=1.6)
    batch = rounds(options.rounds, {"float32": (graft, "batch float32"), "faiss": (faiss, "batch"),
                                    "faiss, best": (best, "batch"), "torch": (torch, "batch"),
                                    "float16": (graft, "batch float16")})
    for name, times in batch.items():
        print(f"  {QUERIES} queries, {name}: {spread(times)}")
    figures.add(f"{QUERIES} queries: faiss-cpu as installed / graft", ratio(batch["faiss"], batch["float32"]), least=5)
    quickest = min(("faiss, best", "torch"), key=lambda name: statistics.median(batch[name]))
    figures.add(f"{QUERIES} queries: {quickest} / graft", ratio(batch[quickest], batch["float32"]), least=0.8)
    figures.add("recall@10 of float32", recall(graft.ask("ids float32")["ids"], wanted), least=0.9999)
    figures.add("recall@10 of float16", recall(graft.ask("ids float16")["ids"], wanted), least=0.999)
    return wanted


def measure_graph(options, sides, wanted, figures):
    tasks, found = {}, {}
    for name in ("graft", "hnswlib"):
        seconds = sides[name].ask("build")["ms"] / 1e3
        for depth in DEPTHS:
            found[name] = recall(sides[name].ask(f"graph_ids {depth}")["ids"], wanted)
            if found[name] >= 0.95:
                break
        print(f"  graph, {name}: built in {seconds:.0f} s; recall@10 {found[name]:.4f} at ef {depth}")
        tasks[name] = (sides[name], f"graph {depth}")
    times = rounds(options.rounds, tasks)
    for name in times:
        print(f"  graph, {name}: {1e3 * statistics.median(times[name]):.0f} us a query")
    figures.add("graph at recall@10 of 0.95: graft / hnswlib", ratio(times["graft"], times["hnswlib"]), most=1.2)


def measure_store(options, directory, figures):
    program, width = options.program, options.width
    lines, what = texts(max(options.vectors, DOCUMENTS))

    def add(name, count):
        (directory / "texts.txt").write_text("\n".join(lines[:count]) + "\n")
        for old in directory.glob(name + "*"):
            old.unlink()
        return run(program, "add", directory / name, directory, width)["ms"] / 1e3

    seconds = [add("small.db", DOCUMENTS) for _ in range(3)]
    figures.add(f"{DOCUMENTS} documents ({what}) added with ready vectors", statistics.median(seconds), "s", most=3,
                detail=f"({min(seconds):.2f} to {max(seconds):.2f})")
    store = directory / "large.db"
    print(f"  {options.vectors} documents added in {add('large.db', options.vectors):.0f} s", flush=True)
    run(program, "graph", store, width)
    for index in ("exact", "graph"):
        for cached in (True, False):
            seconds = []
            for _ in range(5):
                for file in directory.glob("large.db*") if not cached else ():
                    with open(file, "rb") as opened:
                        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                begin = time.perf_counter()
                said = run(program, "open", store, width, index)
                seconds.append(time.perf_counter() - begin)
                if said["vectors"] != options.vectors or said["hits"] != NEAREST or (index == "graph") != ("read from" in said["index"]):
                    sys.exit(f"the store was not opened as it should be: {said}")
            figures.add(f"start, open {options.vectors} vectors, first answer: {index}, file "
                        f"{'in memory' if cached else 'on the disk'}", statistics.median(seconds), "s", most=1,
                        detail=f"({min(seconds):.2f} to {max(seconds):.2f})")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--vectors", type=int, default=100_000)
    options.add_argument("--width", type=int, default=384)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--noise", type=float, default=0.7, help="of each number, beside centres of 1")
    options.add_argument("--only", choices=("exact", "graph", "store"), help="one part alone")
    options.add_argument("--program", default=str(ROOT / "build" / "bin" / "retrieval"))
    options = options.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    print(f"{processor()}, {options.threads} threads, load {os.getloadavg()[0]:.1f}; {options.vectors} x {options.width}, "
          f"medians of {options.rounds} rounds", flush=True)
    figures = Figures()
    directory = pathlib.Path(tempfile.mkdtemp(dir=OUT, prefix="retrieval-"))
    try:
        make_vectors(directory, options)
        shape = [directory, options.width, options.threads]
        if options.only != "store":
            core = "SkylakeX" if "avx512f" in pathlib.Path("/proc/cpuinfo").read_text() else "Haswell"
            peer = lambda name, environment=None: Program([sys.executable, PEERS, name, *shape], environment)
            sides = {"graft": Program([options.program, *shape]), "faiss": peer("faiss")}
            if options.only != "graph":
                sides |= {"faiss, best": peer("faiss-best", {"OPENBLAS_CORETYPE": core}), "torch": peer("torch")}
                wanted = measure_exact(options, sides, figures)
            else:
                wanted = sides["faiss"].ask("ids")["ids"]
            if options.only != "exact":
                sides["hnswlib"] = peer("hnswlib")
                measure_graph(options, sides, wanted, figures)
            for side in sides.values():
                side.end()
        if options.only in (None, "store"):
            measure_store(options, directory, figures)
    finally:
        shutil.rmtree(directory)
    line = json.dumps({"processor": processor(), "vectors": options.vectors, "width": options.width,
                       "threads": options.threads, "figures": figures.rows})
    (OUT / "retrieval.json").write_text(line + "\n")
    print(line)


if __name__ == "__main__":
    main()
