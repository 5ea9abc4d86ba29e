#!/usr/bin/env python3
"""graft's reading of a prompt and writing of tokens beside those of llama.cpp's server, on this machine, in one run.

    ./run bench generate [--model FILE.gguf] [--prompt N] [--tokens N] [--rounds N] [--threads N]

Both sides get the same ids and choose the likeliest token; no round finds anything of the one before it in a cache. They
take turns, of the rounds the median counts. graft runs with the file's weights decoded to float32 and to bfloat16; the
server computes with 8-bit activations on the blocks of the file. Beside the times: which share of the float32 peak the
prompt reaches, and which share of the memory's speed the weights of a token need, both measured in the same run.
Prints a table and a line of JSON, which is also written to build/bench/generate.json.
"""

import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "benchmarks" / "peft")]
from compare import processor  # noqa: E402
from turns import Program, Stopped  # noqa: E402

OUT = ROOT / "build" / "bench"
SERVER = ROOT / "tests" / "reference" / "llama_server.py"
SMOLLM2 = ROOT / ".deps" / "smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"


class Server(Stopped):
    """llama.cpp's server on a free port of the loopback."""

    def __init__(self, options):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        super().__init__(subprocess.Popen(
            [sys.executable, str(SERVER), str(options.model), str(self.port), str(options.prompt + options.tokens + 64),
             str(options.threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
        if self.process.stdout.readline().strip() != "ready":
            sys.exit("llama.cpp's server did not start")
        self.body = {"n_predict": options.tokens, "temperature": 0, "cache_prompt": False, "ignore_eos": True}
        end = time.monotonic() + 60
        while True:
            try:
                self.vocabulary = self.send("/v1/models")["data"][0]["meta"]["n_vocab"]
                break
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > end:
                    sys.exit("llama.cpp's server does not answer")
                time.sleep(0.2)
        self.body["prompt"] = [1000 + 7919 * t % (self.vocabulary - 1000) for t in range(options.prompt)]
        self.stop()

    def send(self, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body and json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as reply:
            return json.load(reply)

    def ask(self):
        return self.turn(self.complete)

    def complete(self):
        """The server's own times, and the whole request's by our clock."""
        begin = time.perf_counter()
        said = self.send("/completion", self.body)["timings"]
        whole = 1e3 * (time.perf_counter() - begin)
        return {"prompt_ms": said["prompt_ms"], "token_ms": said["predicted_per_token_ms"], "whole_ms": whole}

    def end(self):
        self.go()
        self.process.stdin.close()
        self.process.terminate()
        self.process.wait()


def medians(rounds):
    return {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", type=pathlib.Path, default=SMOLLM2)
    options.add_argument("--prompt", type=int, default=512)
    options.add_argument("--tokens", type=int, default=64)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--program", default=str(ROOT / "build" / "bin" / "generate_text"))
    options = options.parse_args()

    def graft(weights):
        return Program([options.program, "--model", options.model, "--weights", weights, "--prompt", options.prompt,
                        "--tokens", options.tokens, "--rounds", options.rounds, "--threads", options.threads, "--json",
                        "--peak", "--paced"])

    sides = {"graft, float32": graft("float32"), "graft, bfloat16": graft("bfloat16"), "llama.cpp": Server(options)}
    sides["llama.cpp"].ask()
    rounds = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, side in sides.items():
            rounds[name].append(side.ask())
    times = {name: medians(steps) for name, steps in rounds.items()}
    ends = {name: side.end() for name, side in reversed(sides.items())}
    peak = max(end["peak_gflops"] for end in ends.values() if end)
    speed = max(end["read_gigabytes_per_second"] for end in ends.values() if end)
    held = {name: end["weights"]["bytes"] if end else options.model.stat().st_size for name, end in ends.items()}
    weights = ends["graft, float32"]["weights"]
    # The head is asked for the last token of a prompt alone.
    prompt_flop = 2 * (weights["numbers"] - weights["head_numbers"]) * options.prompt + 2 * weights["head_numbers"]

    print(f"{processor()}, {options.threads} threads, load {os.getloadavg()[0]:.1f}: {peak:.0f} GFLOP/s in float32, "
          f"{speed:.1f} GB/s read")
    print(f"{options.model.name}, {options.prompt} tokens read, {options.tokens} written, median of {options.rounds}\n")
    print(f"{'':18}{'prompt, tokens/s':>18}{'of the peak':>13}{'written, tokens/s':>20}{'weights held':>15}{'of the read speed':>20}")
    rows = []
    for name, t in times.items():
        row = {"side": name, **t, "prompt_tokens_per_second": 1e3 * options.prompt / t["prompt_ms"],
               "tokens_per_second": 1e3 / t["token_ms"], "weight_bytes": held[name],
               "share_of_peak": prompt_flop / 1e6 / t["prompt_ms"] / peak,
               "share_of_read_speed": held[name] / 1e6 / t["token_ms"] / speed}
        rows.append(row)
        print(f"{name:18}{row['prompt_tokens_per_second']:18.0f}{row['share_of_peak']:13.0%}{row['tokens_per_second']:20.1f}"
              f"{held[name] / 1e6:12.0f} MB{row['share_of_read_speed']:20.0%}")
    same = sum(a == b for a, b in zip(ends["graft, float32"]["ids"], ends["graft, bfloat16"]["ids"]))
    print(f"\n{same} of {options.tokens} tokens are the same with weights in float32 and in bfloat16")
    if "whole_ms" in times["llama.cpp"]:
        print(f"a request to llama.cpp took {times['llama.cpp']['whole_ms']:.0f} ms in all by this program's clock")
    line = json.dumps({"peak_gflops": peak, "read_gigabytes_per_second": speed, "sides": rows})
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "generate.json").write_text(line + "\n")
    print(line)


if __name__ == "__main__":
    main()
