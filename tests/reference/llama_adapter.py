"""Greedy tokens of llama.cpp's own server with a GGUF adapter: llama_adapter.py MODEL.gguf ADAPTER.gguf REQUEST.json OUT.json

REQUEST.json: {"prompts": [[id, ...], ...], "tokens": n}.
OUT.json: {"with": [[id, ...], ...], "without": ..., "adapters": what the server lists}.
"""
import json
import socket
import sys
import time
import urllib.error
import urllib.request

import xllamacpp


def ask(port, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.load(answer)


def wait_until_loaded(port):
    for _ in range(1200):
        try:
            return ask(port, "/health")
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    sys.exit("llama.cpp's server did not start")


def main(model, adapter, request, out):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_ctx = 2048
    params.n_parallel = 1
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.cpuparams.n_threads = 2
    params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(adapter, 1.0)]
    server = xllamacpp.Server(params)  # runs until the process ends
    wait_until_loaded(port)
    with open(request) as file:
        wanted = json.load(file)

    def greedy(prompt, scale):
        answer = ask(port, "/completion", {"prompt": prompt, "n_predict": wanted["tokens"], "temperature": 0,
                                           "top_k": 1, "repeat_penalty": 1.0, "ignore_eos": False, "cache_prompt": False,
                                           "return_tokens": True, "lora": [{"id": 0, "scale": scale}]})
        return answer["tokens"]

    result = {"adapters": ask(port, "/lora-adapters"),
              "with": [greedy(prompt, 1.0) for prompt in wanted["prompts"]],
              "without": [greedy(prompt, 0.0) for prompt in wanted["prompts"]]}
    with open(out, "w") as file:
        json.dump(result, file)
    del server


if __name__ == "__main__":
    main(*sys.argv[1:])
