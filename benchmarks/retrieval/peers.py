"""faiss-cpu, torch or hnswlib as compare.py asks them: a line of standard input, a line of JSON.

    peers.py faiss|faiss-best|torch|hnswlib DIRECTORY WIDTH THREADS

The lines are those of the program `retrieval`, without the storage.
"""

import json
import pathlib
import statistics
import sys
import time

import numpy

NAME, DIRECTORY, WIDTH, THREADS = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])


def read(name):
    return numpy.fromfile(DIRECTORY / name, dtype=numpy.float32).reshape(-1, WIDTH)


def milliseconds(work, runs=1):
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - begin))
    return {"ms": statistics.median(times)}


def exact(queries, search):
    """`search` gives the ids of the ten nearest of each row."""
    turn = 0

    def one():
        nonlocal turn
        turn = (turn + 1) % len(queries)
        search(queries[turn:turn + 1])

    return {"one": lambda: milliseconds(one, 21), "batch": lambda: milliseconds(lambda: search(queries)),
            "ids": lambda: {"ids": search(queries).tolist()}}


def faiss(vectors, queries):
    import faiss
    faiss.omp_set_num_threads(THREADS)
    if NAME == "faiss-best":
        faiss.cvar.distance_compute_blas_threshold = 20
    index = faiss.IndexFlatIP(WIDTH)
    index.add(vectors)
    return exact(queries, lambda rows: index.search(rows, 10)[1])


def torch(vectors, queries):
    import torch
    torch.set_num_threads(THREADS)
    matrix = torch.from_numpy(vectors)
    return exact(queries, lambda rows: torch.topk(torch.from_numpy(rows) @ matrix.T, 10)[1].numpy())


def hnswlib(vectors, queries):
    import hnswlib
    index = hnswlib.Index(space="ip", dim=WIDTH)
    index.init_index(max_elements=len(vectors), M=16, ef_construction=200)

    def build():
        index.set_num_threads(THREADS)
        return milliseconds(lambda: index.add_items(vectors))

    def search(depth):
        index.set_num_threads(1)
        index.set_ef(int(depth))
        return index.knn_query(queries, k=10)[0]

    return {"build": build, "graph": lambda depth: {"ms": milliseconds(lambda: search(depth))["ms"] / len(queries)},
            "graph_ids": lambda depth: {"ids": search(depth).tolist()}}


def main():
    make = {"faiss": faiss, "faiss-best": faiss, "torch": torch, "hnswlib": hnswlib}[NAME]
    does = make(read("vectors.f32"), read("queries.f32"))
    for line in sys.stdin:
        command, *argument = line.split()
        print(json.dumps(does[command](*argument)), flush=True)


if __name__ == "__main__":
    main()
