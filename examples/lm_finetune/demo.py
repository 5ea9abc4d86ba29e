#!/usr/bin/env python3
"""Teaches SmolLM2-135M to answer from entries of Debian's package archive: in full, by LoRA, and from there by DPO.

    ./run demo chat

Each conversation asks for a package in one of several wordings, with two entries of the archive below. The answer has one
style, "NAME: what it is. Get it with: apt install NAME", and one refusal where none of the entries is of that package. The
packages that the model is judged by are in no conversation that it learns from. Writes build/demo/chat/: the
conversations, what was trained, the answers, report.json and index.html. The work is done by build/bin/lm_finetune; this
script only writes its input and puts the figures together.
"""

import glob
import html
import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "reference"))
import retrieval_descriptions as debian  # noqa: E402

PROGRAM = ROOT / "build" / "bin" / "lm_finetune"
MODEL = ROOT / ".deps" / "smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
OUT = ROOT / "build" / "demo" / "chat"
TRAINED, DEV, TESTED, OWN = 460, 16, 80, 80  # conversations to learn from, to watch, to judge by; questions for DPO
ENTRIES, MISSING = 2, 0.4  # entries of a question; share of the questions whose package is in none
WORDINGS = ["What is {}?", "What does the package {} do?", "Tell me about {}.", "What would I use {} for?",
            "Is there a package called {}?", "I came across {}. What is it?"]


def run(*arguments, **more):
    done = subprocess.run([PROGRAM, *map(str, arguments)], **more)
    if done.returncode != 0:
        sys.exit(done.returncode)
    return done.stdout


def packages(count):
    """(name, summary) of packages whose summary says something in few words."""
    files = sorted(glob.glob(debian.PATTERN))
    if not files:
        sys.exit(f"demo: no file {debian.PATTERN}: the descriptions come from apt on Debian 12; run: "
                 "apt-get -o Acquire::Languages=en update")
    kept = [(name, summary) for name, summary, _ in debian.descriptions(files[0], 20_000)
            if 3 <= len(summary.split()) <= 9 and len(name) <= 20 and "." not in summary]
    return kept[:count]


def right_answer(name, entries):
    summary = dict(entries).get(name)
    if summary is None:
        return f"The archive has no package called {name}."
    return f"{name}: {summary}. Get it with: apt install {name}"


def conversations(packages, count, draw):
    """Questions with their right answers; every package is asked for before one is asked for again."""
    rows = []
    for i in range(count):
        name, summary = packages[i % len(packages)]
        others = [package for package in draw.sample(packages, ENTRIES + 1) if package[0] != name][:ENTRIES]
        if draw.random() >= MISSING:
            others[draw.randrange(ENTRIES)] = (name, summary)
        question = draw.choice(WORDINGS).format(name) + "\n\nThe archive has:\n" + "\n".join(f"- {n}: {s}" for n, s in others)
        rows.append({"messages": [{"role": "user", "content": question},
                                  {"role": "assistant", "content": right_answer(name, others)}]})
    return rows


def write_lines(name, rows):
    path = OUT / name
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_data():
    draw = random.Random(0)
    known = packages(TRAINED + OWN + DEV + TESTED)
    parts, at = [], 0
    for name, count in (("train.jsonl", TRAINED), ("own.jsonl", OWN), ("dev.jsonl", DEV), ("test.jsonl", TESTED)):
        parts.append(write_lines(name, conversations(known[at:at + count], count, draw)))
        at += count
    return parts


def judged(answers):
    """Shares of the answers in the style, and of the refusals, that are right."""
    style, refusals = [], []
    for row in map(json.loads, answers.read_text(encoding="utf-8").splitlines()):
        if row["expected"].startswith("The archive has no"):
            refusals.append(row["answer"] == row["expected"])
        else:
            name = row["expected"].split(":")[0]
            style.append(bool(re.fullmatch(f"{re.escape(name)}: .+\\. Get it with: apt install {re.escape(name)}",
                                           row["answer"])))
    return sum(style) / len(style), sum(refusals) / len(refusals)


def judge(method, test, trained=None, adapter=None, model=MODEL):
    which = ["--model", model, *(["--adapter", adapter] if adapter else [])]
    answers = OUT / f"{method}-answers.jsonl"
    run("answer", *which, "--data", test, "--out", answers, "--answer-tokens", 48)
    scores = json.loads(run("score", *which, "--data", test, "--json", stdout=subprocess.PIPE))
    style, refusals = judged(answers)
    trained = trained or {"trained_parameters": 0, "seconds": 0.0, "peak_rss_bytes": 0, "saved_bytes": 0}
    return {"method": method, "style_share": style, "refusal_share": refusals, "perplexity": scores["perplexity"],
            **{name: trained[name] for name in ("trained_parameters", "seconds", "peak_rss_bytes", "saved_bytes")}}


def train(rows, out, *arguments):
    figures = OUT / f"{out}.json"
    run("train", "--model", MODEL, "--train", rows, "--out", OUT / out, "--json", figures, "--overwrite", *arguments)
    return json.loads(figures.read_text())


def preferences(own):
    """The right answer before what the model says as it comes, where it says anything else."""
    answers = OUT / "own-answers.jsonl"
    run("answer", "--model", MODEL, "--data", own, "--out", answers, "--answer-tokens", 32)
    rows = [{"prompt": row["prompt"], "chosen": [{"role": "assistant", "content": row["expected"]}],
             "rejected": [{"role": "assistant", "content": row["answer"]}]}
            for row in map(json.loads, answers.read_text(encoding="utf-8").splitlines())
            if row["answer"].strip() and row["answer"].strip() != row["expected"]]
    return write_lines("preferences.jsonl", rows)


def page(report):
    rows = "".join(
        f"<tr><td>{row['method']}<td>{row['style_share']:.0%}<td>{row['refusal_share']:.0%}<td>{row['perplexity']:.2f}"
        f"<td>{row['trained_parameters']:,}<td>{row['seconds']:.0f}<td>{row['peak_rss_bytes'] / 1e6:.0f}"
        f"<td>{row['saved_bytes'] / 1e6:.1f}" for row in report["methods"])
    examples = ""
    answers = {row["method"]: (OUT / f"{row['method']}-answers.jsonl").read_text(encoding="utf-8").splitlines()
               for row in report["methods"]}
    for i in range(6):
        asked = json.loads(answers["base"][i])
        examples += f"<h3>{html.escape(asked['prompt'][-1]['content'].splitlines()[0])}</h3><p>right: " \
                    f"{html.escape(asked['expected'])}</p><table>"
        for method, lines in answers.items():
            examples += f"<tr><td>{method}<td>{html.escape(json.loads(lines[i])['answer'])}"
        examples += "</table>"
    (OUT / "index.html").write_text(
        "<!doctype html><meta charset=utf-8><title>graft: a language model of one's own</title><style>body{font:16px/1.5 "
        "sans-serif;max-width:60em;margin:2em auto;padding:0 1em}table{border-collapse:collapse}td,th{padding:.2em .8em;"
        "text-align:left;border-bottom:1px solid #ccc;vertical-align:top}</style><h1>SmolLM2-135M answers from the package "
        f"archive</h1><p>{TRAINED} conversations to learn from; judged by {TESTED} about packages that it has never seen."
        "<table><tr><th>method<th>style kept<th>refusals right<th>perplexity<th>trained parameters<th>seconds<th>peak MB"
        f"<th>saved MB{rows}</table><h2>The first of them</h2>{examples}\n", encoding="utf-8")


def main():
    start = time.monotonic()
    if OUT.exists():
        shutil.rmtree(OUT)
    OUT.mkdir(parents=True)
    train_rows, own, dev, test = write_data()

    def say(text):
        print(f"\n{text}", flush=True)

    say("What it says as it comes")
    methods = [judge("base", test)]
    say("Every weight")
    full = train(train_rows, "full", "--method", "full", "--dev", dev, "--epochs", 1, "--batch-size", 4, "--lr", "2e-4")
    methods.append(judge("full", test, full, model=OUT / "full"))
    say("LoRA on all linear layers")
    lora = train(train_rows, "lora", "--dev", dev, "--epochs", 1, "--batch-size", 2, "--lr", "1e-3")
    methods.append(judge("lora", test, lora, adapter=OUT / "lora"))
    say("DPO, going on from the adapter: right answers before what the model said as it came")
    dpo = train(preferences(own), "dpo", "--adapter", OUT / "lora", "--epochs", 1, "--batch-size", 2, "--lr", "1e-4",
                "--sft-weight", 1)
    methods.append(judge("dpo", test, dpo, adapter=OUT / "dpo"))
    say("For llama.cpp's server")
    run("export", "--model", MODEL, "--adapter", OUT / "lora", "--gguf", OUT / "lora.gguf")

    report = {"trained_on": TRAINED, "tested_on": TESTED, "seconds": round(time.monotonic() - start, 1), "methods": methods}
    (OUT / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    page(report)
    print(f"\n{TESTED} questions about packages it has never seen:\n\n{'':6}{'style':>8}{'refusals':>10}{'perplexity':>12}"
          f"{'trained':>14}{'seconds':>9}{'peak MB':>9}{'saved MB':>10}")
    for row in methods:
        print(f"{row['method']:6}{row['style_share']:8.0%}{row['refusal_share']:10.0%}{row['perplexity']:12.2f}"
              f"{row['trained_parameters']:14,}{row['seconds']:9.0f}{row['peak_rss_bytes'] / 1e6:9.0f}"
              f"{row['saved_bytes'] / 1e6:10.1f}")
    print(f"\n{report['seconds']:.0f} s in all; {OUT.relative_to(ROOT)}/report.json, index.html\n"
          f"Talk with it: build/bin/lm_finetune chat --model {MODEL.relative_to(ROOT)} --adapter {OUT.relative_to(ROOT)}/lora")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
