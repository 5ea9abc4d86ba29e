#!/usr/bin/env python3
"""What it costs to compile with graft: processor seconds and peak memory of one compilation, as ratios to five lines of
LibTorch in the same run and with the same flags, linked (compiled) and as headers alone. Neither ccache nor precompiled
headers are used.

    compare.py [--compilers g++,clang++] [--rounds N] [--only NAME[,NAME...]]   prints a table, writes build/bench/compile.json
"""

import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build"
sys.path.insert(0, str(ROOT / "tests" / "docs"))
import code_blocks  # noqa: E402

LIBTORCH = """#include <iostream>
#include <torch/torch.h>

int main() {
  torch::nn::Linear layer(4, 2);
  std::cout << layer(torch::ones({1, 4})).sum() << '\\n';
}
"""
EMPTY = """#include "graft/graft.hpp"

int main() {}
"""
LORA = """#include <iostream>

#include "graft/adapters/lora.hpp"

int main() {
  graft::Lora<torch::nn::Linear> layer(torch::nn::LinearOptions(4, 2), graft::LoraOptions{.rank = 2});
  std::cout << layer(torch::ones({1, 4})).sum() << '\\n';
}
"""
# Program -> most that it may cost, as a ratio of processor time: linked, as headers alone.
BARS = {"graft.hpp": (1.2, 3.0), "readme": (1.5, 4.0), "lora": (1.15, 2.0), "bert_finetune": (2.0, None)}


def readme():
    for document, _, code in code_blocks.blocks(ROOT):
        if document.name == "README.md" and code_blocks.has_main(code):
            return code
    sys.exit("README.md has no program")


def programs(folder):
    """Program -> source files; of several the dearest counts."""
    made = {"libtorch": LIBTORCH, "graft.hpp": EMPTY, "readme": readme(), "lora": LORA}
    for name, code in made.items():
        (folder / f"{name}.cpp").write_text(code)
    found = {name: [folder / f"{name}.cpp"] for name in made}
    found["bert_finetune"] = sorted((ROOT / "examples" / "bert_finetune").glob("*.cpp"))
    return found


def include_flags():
    """The folders of headers from elsewhere, as the build found them."""
    cache = (BUILD / "CMakeCache.txt").read_text()
    torch = pathlib.Path(re.search(r"^GRAFT_LIBTORCH_ROOT:PATH=(.*)$", cache, re.MULTILINE).group(1))
    own = ["-I", ROOT / "include", "-I", ROOT / "examples"]
    return [*own, "-isystem", torch / "include", "-isystem", torch / "include/torch/csrc/api/include"]


def compile_once(compiler, source, flags, out):
    """Processor seconds and peak bytes of one compilation, its children included."""
    command = [str(part) for part in [compiler, "-std=c++20", "-O2", *flags, "-c", source, "-o", out]]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "CCACHE_DISABLE": "1"})
    errors = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)}\n{errors[:2000]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def measure(compiler, rounds, only):
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        flags = include_flags()
        jobs = []  # (program, mode, source)
        for program, sources in programs(folder).items():
            if only and program not in only and program != "libtorch":
                continue
            for mode in ["linked"] if program in ("libtorch", "bert_finetune") else ["linked", "headers"]:
                jobs += [(program, mode, source) for source in sources]
        for turn in range(rounds):
            for program, mode, source in jobs:
                own = [*flags, *(["-DGRAFT_COMPILED"] if mode == "linked" else [])]
                seconds, peak = compile_once(compiler, source, own, folder / "out.o")
                row = rows.setdefault((program, mode, source.name), {"seconds": [], "bytes": []})
                row["seconds"].append(seconds)
                row["bytes"].append(peak)
                size = (folder / "out.o").stat().st_size
                row["object_bytes"] = size
                print(f"{compiler}: {program} {mode} {source.name}: {seconds:.1f} s, {peak / 1e9:.2f} GB", file=sys.stderr)
    units = {key: {"seconds": statistics.median(row["seconds"]), "bytes": max(row["bytes"]),
                   "object_bytes": row["object_bytes"]} for key, row in rows.items()}
    dearest = {}
    for (program, mode, source), row in units.items():
        best = dearest.get((program, mode))
        if best is None or row["seconds"] > best["seconds"]:
            dearest[(program, mode)] = {**row, "source": source}
    return dearest


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--compilers", default="g++,clang++")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="programs: " + ", ".join(BARS))
    options = parser.parse_args()
    only = set(filter(None, options.only.split(",")))
    report = {"machine": platform.processor() or platform.machine(), "compilers": {}}
    print(f"{'program':<16}{'mode':<10}{'seconds':>9}{'ratio':>8}{'bar':>7}{'GB':>7}{'ratio':>8}   {'object':>9}")
    for compiler in options.compilers.split(","):
        if not shutil.which(compiler):
            print(f"{compiler} is not there: left out")
            continue
        version = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout.splitlines()[0]
        rows = measure(compiler, options.rounds, only)
        base = rows[("libtorch", "linked")]
        print(version)
        entries = []
        for (program, mode), row in rows.items():
            bar = BARS[program][0 if mode == "linked" else 1] if program in BARS else None
            entry = {"program": program, "mode": mode, **row, "time_ratio": row["seconds"] / base["seconds"],
                     "memory_ratio": row["bytes"] / base["bytes"], "bar": bar}
            entries.append(entry)
            print(f"{program:<16}{'' if program == 'libtorch' else mode:<10}{row['seconds']:>9.1f}{entry['time_ratio']:>8.2f}"
                  f"{bar or '':>7}{row['bytes'] / 1e9:>7.2f}{entry['memory_ratio']:>8.2f}   {row['object_bytes'] / 1e3:>6.0f} kB")
        report["compilers"][version] = entries
    (BUILD / "bench").mkdir(parents=True, exist_ok=True)
    (BUILD / "bench" / "compile.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
