"""What TRL's SFTTrainer and DPOTrainer make of conversations: python trl_data.py DEPS OUT

OUT/<name>/tokenizer.json   SmolLM2's, with the marks of Llama 3 and Gemma added
OUT/<name>/data.jsonl       500 rows, as graft and TRL both read them
OUT/<name>/expected.json    [{"ids": [...], "labels": [...]}]: the trainer's own dataset
OUT/<name>/model, losses.json   a random model, and the trainer's loss of it for each of the first batches of BATCH rows
demo        what ./run demo chat learns from: conversations about Debian's packages; TRL reads their last message as completion
prompts     prompt and completion as lists of messages, in SmolLM2's format, the loss on the completion
texts       prompt and completion as texts, without a format, the loss on the completion
llama3, gemma   messages, in TRL's templates for training, the loss on what the assistant says
cut         as prompts, at most 40 tokens; rows that are left out are missing
preferences prompts with a chosen and a rejected answer: expected.json has [{"prompt": ids, "chosen": ids, "rejected": ids}]
"""

import copy
import glob
import json
import pathlib
import random
import sys

import datasets
import torch
import transformers
import trl
from tokenizers import Regex, pre_tokenizers

from bpe_parity import LLAMA3, smollm2

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "examples" / "lm_finetune"))

COUNT, BATCH, BATCHES = 500, 4, 8
MARKS = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<bos>", "<start_of_turn>", "<end_of_turn>"]
WORDS = ["apt", "installs", "a package", "naïve", "don't", "你好", "👩\u200d🏽", "3.14", "(a, b)", "\n\n", "\n", "  ", "\t", "\u00a0", "<b>", "é"]


def text(rng):
    return rng.choice(["What", "Tell", "the", "No,"]) + "".join(rng.choice([" ", "", "\n"]) + rng.choice(WORDS)
                                                                  for _ in range(rng.randrange(8))) + rng.choice(["", "?", "\n"])


def messages(rng, system, turns):
    said = [{"role": "system", "content": text(rng)}] * (system and rng.randrange(3) == 0)
    for _ in range(turns):
        said += [{"role": "user", "content": text(rng)}, {"role": "assistant", "content": text(rng)}]
    return said


def prepare(tokenizer, name, splitter, template):
    """The tokenizer as the format `name` has it: what begins a text, how it is split, how a conversation is written."""
    tokenizer.bos_token = {"llama3": "<|begin_of_text|>", "gemma": "<bos>"}.get(name, "<|im_start|>")
    tokenizer.chat_template = template
    tokenizer.backend_tokenizer.pre_tokenizer = splitter if name != "llama3" else pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def rows_of(name, rng):
    if name == "demo":
        import demo  # found by the line above alone

        real = glob.glob(demo.debian.PATTERN)  # of Debian 12 alone
        packages = demo.packages(COUNT) if real else [(f"package-{n}", text(rng)) for n in range(COUNT)]
        return demo.conversations(packages, COUNT, rng)
    rows = []
    for _ in range(COUNT):
        if name == "texts":
            rows.append({"prompt": text(rng) + ":", "completion": " " + text(rng)})
        elif name in ("prompts", "cut"):
            said = messages(rng, True, 1 + rng.randrange(3))
            rows.append({"prompt": said[:-1], "completion": said[-1:]})
        elif name == "preferences":
            said = messages(rng, True, 1 + rng.randrange(2))
            rows.append({"prompt": said[:-1], "chosen": said[-1:],
                         "rejected": [{"role": "assistant", "content": rng.choice(["", "\n\n"]) + "No, " + text(rng)}]})
        else:
            rows.append({"messages": messages(rng, True, 1 + rng.randrange(3))})
    return rows


def losses_of(trainer):
    """Of the model as it was made, without a step."""
    made = []
    for at in range(BATCHES):
        rows = [trainer.train_dataset[n] for n in range(BATCH * at, BATCH * (at + 1))]
        with torch.no_grad():
            made.append(trainer.compute_loss(trainer.model.eval(), trainer.data_collator(rows)).item())
    return made


def main():
    dependencies, out = map(pathlib.Path, sys.argv[1:])
    folder = pathlib.Path(trl.__file__).parent / "chat_templates"
    tokenizer = smollm2(dependencies)
    tokenizer.add_special_tokens({"additional_special_tokens": MARKS})
    tokenizer.pad_token = tokenizer.eos_token
    own_template, own_splitter = tokenizer.chat_template, tokenizer.backend_tokenizer.pre_tokenizer
    for name in ("prompts", "cut", "texts", "llama3", "gemma", "demo", "preferences"):
        target = out / name
        target.mkdir(parents=True, exist_ok=True)
        rows = rows_of(name, random.Random(name))
        (target / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        training = {"llama3": "llama3_training", "gemma": "gemma3_training"}.get(name)
        prepare(tokenizer, name, own_splitter, (folder / f"{training}.jinja").read_text() if training else own_template)
        tokenizer.backend_tokenizer.save(str(target / "tokenizer.json"))
        torch.manual_seed(1)
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
            initializer_range=0.5))
        common = {"output_dir": str(target / "trainer"), "report_to": [], "use_cpu": True, "bf16": False,
                  "max_length": 40 if name == "cut" else None}
        read = [{"prompt": row["messages"][:-1], "completion": row["messages"][-1:]} for row in rows] if name == "demo" else rows
        data = {"model": model, "train_dataset": datasets.Dataset.from_list(read), "processing_class": tokenizer}
        if name == "preferences":
            trainer = trl.DPOTrainer(args=trl.DPOConfig(**common), ref_model=copy.deepcopy(model), **data)
            made = [{part: row[part + "_ids"] for part in ("prompt", "chosen", "rejected")} for row in trainer.train_dataset]
        else:
            settings = trl.SFTConfig(**common, completion_only_loss=training is None, assistant_only_loss=training is not None)
            trainer = trl.SFTTrainer(args=settings, **data)
            made = [{"ids": row["input_ids"], "labels": row["labels"]} for row in trainer.train_dataset]
            model.save_pretrained(target / "model")
            (target / "losses.json").write_text(json.dumps(losses_of(trainer)))
        (target / "expected.json").write_text(json.dumps(made))


if __name__ == "__main__":
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    main()
