"""The same training steps as train_step makes, by transformers and PEFT: same options, same lines out.

    peer.py --model DIR --method lora --targets query,value --batch 8 --seq 128 --steps 10 [--paced]
    peer.py --model DIR --method lora --rank 8 --start DIR      writes the fresh adapter and head to DIR and ends
    peer.py --model DIR --method lora --reviews train.tsv       one epoch of texts, padded to the longest of each batch
"""

import argparse
import json
import random
import resource
import statistics
import sys
import time

options = argparse.ArgumentParser()
options.add_argument("--model", required=True)
options.add_argument("--adapter")
options.add_argument("--start")
options.add_argument("--reviews")
options.add_argument("--method", default="lora", choices=["lora", "full"])
options.add_argument("--targets", default="all-linear")
options.add_argument("--rank", type=int, default=8)
options.add_argument("--batch", type=int, default=8)
options.add_argument("--seq", type=int, default=128)
options.add_argument("--dropout", type=float, default=0.0)
options.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
options.add_argument("--lr", type=float, default=1e-4)
options.add_argument("--steps", type=int, default=10)
options.add_argument("--warmup", type=int, default=2)
options.add_argument("--threads", type=int, default=0)
options.add_argument("--attention", default="sdpa", choices=["sdpa", "eager"])
options.add_argument("--precision", default="highest", choices=["highest", "medium"])
options.add_argument("--paced", action="store_true")
options = options.parse_args()

import warnings

warnings.simplefilter("ignore")
import torch
import transformers
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer

transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()
CLIP, DECAY = 1.0, 0.01


def load():
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        options.model, num_labels=2, attn_implementation=options.attention, dtype=torch.float32,
        hidden_dropout_prob=options.dropout, attention_probs_dropout_prob=options.dropout)
    if options.method == "lora" and options.adapter:
        model = PeftModel.from_pretrained(model, options.adapter, is_trainable=True)
    elif options.method == "lora":
        targets = options.targets if options.targets == "all-linear" else options.targets.split(",")
        model = get_peft_model(model, LoraConfig(task_type=TaskType.SEQ_CLS, r=options.rank, lora_alpha=16,
                                                 lora_dropout=options.dropout, target_modules=targets))
    return model.train()


def optimizer_of(model):
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [{"params": [p for p in trained if p.dim() >= 2], "weight_decay": DECAY},
              {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=options.lr, fused=True), trained


def step(model, optimizer, trained, inputs, labels):
    with torch.autocast("cpu", torch.bfloat16, enabled=options.dtype == "bfloat16"):
        loss = torch.nn.functional.cross_entropy(model(**inputs).logits.float(), labels)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, CLIP)
    optimizer.step()
    optimizer.zero_grad()
    return loss


def made_up(vocabulary, number):
    first = 104729 * number
    count = options.batch * options.seq
    ids = torch.tensor([1000 + 7919 * t % (vocabulary - 1000) for t in range(first, first + count)])
    return {"input_ids": ids.view(options.batch, options.seq)}, (torch.arange(options.batch) + number) % 2


def report(figures):
    print(json.dumps(figures | {"peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}), flush=True)


def steps(model):
    batches = [made_up(model.config.vocab_size, number) for number in (0, 1)]
    optimizer, trained = optimizer_of(model)
    losses, times = [], []
    for number in range(options.warmup + options.steps):
        if options.paced and not sys.stdin.readline():
            break
        start = time.perf_counter()
        losses.append(step(model, optimizer, trained, *batches[number % 2]).item())
        ms = 1e3 * (time.perf_counter() - start)
        if number >= options.warmup:
            times.append(ms)
        if options.paced:
            print(json.dumps({"ms": ms, "loss": losses[-1]}), flush=True)
    if times:
        report({"median_ms": statistics.median(times), "min_ms": min(times), "losses": losses,
                "trainable_parameters": sum(parameter.numel() for parameter in trained)})


def epoch(model):
    """All texts once, shuffled, 32 a step, at most 64 tokens."""
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    with open(options.reviews, encoding="utf-8", newline="\n") as file:
        rows = [line.rstrip("\n").split("\t") for line in list(file)[1:]]
    random.Random(0).shuffle(rows)
    optimizer, trained = optimizer_of(model)
    start, tokens = time.perf_counter(), 0
    for first in range(0, len(rows), 32):
        chosen = rows[first:first + 32]
        inputs = tokenizer([text for text, _ in chosen], truncation=True, max_length=64, padding=True, return_tensors="pt")
        tokens += int(inputs["attention_mask"].sum())
        step(model, optimizer, trained, inputs, torch.tensor([int(label == "positive") for _, label in chosen]))
    report({"seconds_per_epoch": time.perf_counter() - start, "tokens": tokens})


if options.threads:
    torch.set_num_threads(options.threads)
torch.set_float32_matmul_precision(options.precision)
model = load()
if options.start:
    model.save_pretrained(options.start)
elif options.reviews:
    epoch(model)
else:
    steps(model)
