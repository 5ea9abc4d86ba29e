"""graft's vector search beside faiss-cpu, torch and hnswlib, in one run over the same vectors.

    compare.py build/bin/retrieval [--vectors 100000] [--width 384] [--threads 2] [--graph]

Needs numpy, faiss-cpu, torch and, for --graph, hnswlib. Vectors: unit length, around 2,000 centres.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

options = argparse.ArgumentParser()
options.add_argument("program")
options.add_argument("--vectors", type=int, default=100_000)
options.add_argument("--width", type=int, default=384)
options.add_argument("--threads", type=int, default=2)
options.add_argument("--graph", action="store_true")
options.add_argument("--peer", help=argparse.SUPPRESS)
options.add_argument("--directory", help=argparse.SUPPRESS)
options = options.parse_args()


def best(runs, work):
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        result = work()
        times.append((time.perf_counter() - start) * 1e3)
    return min(times), result


def load(directory):
    import numpy
    read = lambda name: numpy.fromfile(directory / name, dtype=numpy.float32).reshape(-1, options.width)
    return read("vectors.f32"), read("queries.f32")


def faiss_peer(vectors, queries):
    import faiss
    faiss.omp_set_num_threads(options.threads)
    if options.peer == "faiss-best":
        faiss.cvar.distance_compute_blas_threshold = 20
    index = faiss.IndexFlatIP(options.width)
    index.add(vectors)
    one, _ = best(30, lambda: index.search(queries[:1], 10))
    batch, (_, ids) = best(5, lambda: index.search(queries[:256], 10))
    return {"one": one, "batch": batch, "ids": ids.tolist()}


def torch_peer(vectors, queries):
    import torch
    torch.set_num_threads(options.threads)
    matrix, questions = torch.from_numpy(vectors), torch.from_numpy(queries)
    search = lambda q: torch.topk(q @ matrix.T, 10)
    one, _ = best(30, lambda: search(questions[:1]))
    batch, (_, ids) = best(5, lambda: search(questions[:256]))
    return {"one": one, "batch": batch, "ids": ids.tolist()}


def hnswlib_peer(vectors, queries):
    import hnswlib
    index = hnswlib.Index(space="ip", dim=options.width)
    index.init_index(max_elements=len(vectors), M=16, ef_construction=200)
    index.set_num_threads(options.threads)
    build, _ = best(1, lambda: index.add_items(vectors))
    index.set_num_threads(1)
    out = {"build": build}
    for ef in (16, 32, 64):
        index.set_ef(ef)
        batch, (ids, _) = best(3, lambda: index.knn_query(queries[:256], k=10))
        out[str(ef)] = {"one": batch / 256, "ids": ids.tolist()}
    return out


def main():
    import numpy
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        random = numpy.random.default_rng(1)
        centres = random.standard_normal((2000, options.width))
        for file, count in (("vectors.f32", options.vectors), ("queries.f32", 256)):
            rows = centres[random.integers(0, 2000, count)] + 0.7 * random.standard_normal((count, options.width))
            (rows / numpy.linalg.norm(rows, axis=1, keepdims=True)).astype(numpy.float32).tofile(directory / file)

        def peer(which, **environment):
            command = [sys.executable, __file__, options.program, "--peer", which, "--directory", name,
                       "--width", str(options.width), "--threads", str(options.threads)]
            return json.loads(subprocess.run(command, env={**os.environ, **environment}, check=True,
                                             capture_output=True).stdout)

        command = [options.program, name, str(options.width), str(options.threads)] + ["graph"] * options.graph
        graft = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        core = "SkylakeX" if "avx512f" in pathlib.Path("/proc/cpuinfo").read_text() else "Zen"
        peers = {"faiss-cpu as installed": peer("faiss"),
                 "faiss-cpu at its best": peer("faiss-best", OPENBLAS_CORETYPE=core),
                 "torch mm + topk": peer("torch")}
        wanted = [set(ids) for ids in peers["faiss-cpu as installed"]["ids"]]
        recall = lambda ids: sum(len(set(found) & right) for found, right in zip(ids, wanted)) / (10 * len(wanted))
        size = options.vectors * options.width * 4
        print(f"memory bandwidth {graft['bandwidth'] / 1e9:.1f} GB/s; {options.vectors} x {options.width}, "
              f"{options.threads} threads; ms")
        rows = [("graft float32", graft["float32"], size), ("graft float16", graft["float16"], size / 2)]
        for what, row, bytes_read in rows + [(what, row, size) for what, row in peers.items()]:
            print(f"{what:24} one {row['one']:8.2f} ({bytes_read / row['one'] / 1e6:5.1f} GB/s)   "
                  f"batch of 256 {row['batch']:8.1f}   recall@10 {recall(row['ids']):.4f}")
        if options.graph:
            other = peer("hnswlib")
            print(f"build, ms: graft {graft['graph_build']:.0f}, hnswlib {other['build']:.0f}")
            for ef in ("16", "32", "64"):
                print(f"ef {ef}: graft {graft['graph'][ef]['one']:.3f} ms, recall {recall(graft['graph'][ef]['ids']):.4f}; "
                      f"hnswlib {other[ef]['one']:.3f} ms, recall {recall(other[ef]['ids']):.4f}")


if options.peer:
    data = load(pathlib.Path(options.directory))
    kinds = {"faiss": faiss_peer, "faiss-best": faiss_peer, "torch": torch_peer, "hnswlib": hnswlib_peer}
    print(json.dumps(kinds[options.peer](*data)))
else:
    main()
