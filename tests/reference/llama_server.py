#!/usr/bin/env python3
"""Runs llama.cpp's server on the loopback until the standard input is closed: llama_server.py MODEL.gguf PORT CONTEXT [THREADS]"""

import sys

import xllamacpp

model, port, context = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
params = xllamacpp.CommonParams()
params.model.path = model
params.n_ctx = context
params.n_parallel = 1
params.hostnames = ["127.0.0.1"]
params.port = port
params.cpuparams.n_threads = int(sys.argv[4]) if len(sys.argv) > 4 else 2
server = xllamacpp.Server(params)
print("ready", flush=True)
sys.stdin.read()
