"""The same training steps as lm_step makes, by transformers, PEFT and TRL's losses: same options, same lines out.

    peer.py --model FILE.gguf --method lora --batch 4 --tokens 512 --steps 5 [--paced]
    peer.py --model DIR --method lora --rank 8 --start DIR      writes the fresh adapter to DIR and ends
    peer.py --model FILE.gguf --method full --start DIR         writes the model, in float32

Sequences of a batch are padded to the longest, as a data collator does. Under --autocast products run in bfloat16.
"""

import argparse
import contextlib
import json
import pathlib
import resource
import statistics
import sys
import time
import warnings

options = argparse.ArgumentParser()
options.add_argument("--model", required=True)
options.add_argument("--adapter")
options.add_argument("--start")
options.add_argument("--method", default="lora", choices=["lora", "full", "dpo"])
options.add_argument("--rank", type=int, default=8)
options.add_argument("--batch", type=int, default=4)
options.add_argument("--tokens", type=int, default=512)
options.add_argument("--uneven", action="store_true")
options.add_argument("--dropout", type=float, default=0.0)
options.add_argument("--checkpointing", action="store_true")
options.add_argument("--autocast", action="store_true")
options.add_argument("--lr", type=float, default=1e-4)
options.add_argument("--steps", type=int, default=5)
options.add_argument("--warmup", type=int, default=1)
options.add_argument("--threads", type=int, default=0)
options.add_argument("--attention", default="sdpa", choices=["sdpa", "eager"])
options.add_argument("--precision", default="highest", choices=["highest", "medium"])
options.add_argument("--paced", action="store_true")
options = options.parse_args()

warnings.simplefilter("ignore")
import torch
import transformers
from peft import LoraConfig, PeftModel, TaskType, get_peft_model

transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()
CLIP, DECAY, BETA = 1.0, 0.01, 0.1


def load():
    path = pathlib.Path(options.model)
    folder, file = (path, {}) if path.is_dir() else (path.parent, {"gguf_file": path.name})
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32,
                                                              attn_implementation=options.attention, **file)
    torch.manual_seed(0)
    if options.method != "full" and options.adapter:
        model = PeftModel.from_pretrained(model, options.adapter, is_trainable=True)
    elif options.method != "full":
        model = get_peft_model(model, LoraConfig(task_type=TaskType.CAUSAL_LM, r=options.rank, lora_alpha=16,
                                                 lora_dropout=options.dropout, target_modules="all-linear"))
    if options.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def made_up(vocabulary, number):
    """ids and mask [B, T], labels [B, T] with -100 where nothing is learned."""
    count = 2 * options.batch if options.method == "dpo" else options.batch
    ids = torch.zeros(count, options.tokens, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    t = 104729 * number
    for row in range(count):
        place = row % options.batch
        length = max(options.tokens * (1 + 5 * place % 8) // 8 if options.uneven else options.tokens, 8)
        ids[row, :length] = torch.tensor([1000 + 7919 * i % (vocabulary - 1000) for i in range(t, t + length)])
        mask[row, :length] = 1
        first = length // 4 if options.method == "dpo" else 0
        labels[row, first:length] = ids[row, first:length]
        t += length
    longest = int(mask.sum(1).max())
    return ids[:, :longest], mask[:, :longest], labels[:, :longest]


def sums(model, ids, mask, labels):
    """Log-probabilities of the labelled tokens, summed by row."""
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
    wanted = labels[:, 1:]
    values = torch.log_softmax(logits, -1).gather(2, wanted.clamp_min(0).unsqueeze(2)).squeeze(2)
    return (values * (wanted != -100)).sum(1)


def loss_of(model, ids, mask, labels):
    if options.method != "dpo":
        return model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss
    with torch.no_grad(), model.disable_adapter():
        reference = sums(model, ids, mask, labels)
    gains = sums(model, ids, mask, labels) - reference
    chosen, rejected = gains.chunk(2)
    return -torch.nn.functional.logsigmoid(BETA * (chosen - rejected)).mean()


def peak():
    return {"peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def main():
    model = load()
    if options.start and options.method == "full":  # as a model that was never packed
        config = type(model.config)(**{**model.config.to_dict(), "quantization_config": None})
        plain = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        plain.load_state_dict(model.state_dict())
        model = plain
    if options.start:
        model.save_pretrained(options.start)
        return
    batches = [made_up(model.config.vocab_size, number) for number in (0, 1)]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [{"params": [p for p in trained if p.dim() >= 2], "weight_decay": DECAY},
              {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=options.lr, fused=True)
    losses, times = [], []
    for number in range(options.warmup + options.steps):
        if options.paced and not sys.stdin.readline():
            break
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16) if options.autocast else contextlib.nullcontext():
            loss = loss_of(model, *batches[number % 2])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, CLIP)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        ms = 1e3 * (time.perf_counter() - start)
        if number >= options.warmup:
            times.append(ms)
        print(json.dumps({"step": number + 1, "ms": ms, "loss": losses[-1]} | peak()), flush=True)
    if times:
        print(json.dumps({"median_ms": statistics.median(times), "min_ms": min(times), "losses": losses,
                          "trainable_parameters": sum(p.numel() for p in trained)} | peak()), flush=True)


if options.threads:
    torch.set_num_threads(options.threads)
torch.set_float32_matmul_precision(options.precision)
main()
