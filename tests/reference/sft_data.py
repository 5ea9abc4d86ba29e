"""What TRL's SFTTrainer makes of conversations: python sft_data.py DEPS OUT

OUT/tokenizer.json          SmolLM2's, with the marks of Llama 3 and Gemma added
OUT/<name>/data.jsonl       500 rows, as graft and TRL both read them
OUT/<name>/expected.json    [{"ids": [...], "labels": [...]}]: the trainer's own dataset
prompts     prompt and completion as lists of messages, in SmolLM2's format, the loss on the completion
texts       prompt and completion as texts, without a format, the loss on the completion
llama3, gemma   messages, in TRL's templates for training, the loss on what the assistant says
cut         as prompts, at most 40 tokens; rows that are left out are missing
"""

import json
import pathlib
import random
import sys

import datasets
import torch
import transformers
import trl
from tokenizers import pre_tokenizers

COUNT = 500
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


def smollm2(dependencies):
    """As in bpe_parity.py: transformers does not know the pre-tokenizer's name."""
    (path,) = (dependencies / "smollm2").glob("*.gguf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.add_special_tokens({"additional_special_tokens": MARKS})
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def rows_of(name, rng):
    rows = []
    for _ in range(COUNT):
        if name == "texts":
            rows.append({"prompt": text(rng) + ":", "completion": " " + text(rng)})
        elif name in ("prompts", "cut"):
            said = messages(rng, True, 1 + rng.randrange(3))
            rows.append({"prompt": said[:-1], "completion": said[-1:]})
        else:
            rows.append({"messages": messages(rng, True, 1 + rng.randrange(3))})
    return rows


def main():
    dependencies, out = map(pathlib.Path, sys.argv[1:])
    tokenizer = smollm2(dependencies)
    own_template = tokenizer.chat_template
    config = transformers.LlamaConfig(vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                      num_attention_heads=1)
    model = transformers.LlamaForCausalLM(config)
    folder = pathlib.Path(trl.__file__).parent / "chat_templates"
    for name in ("prompts", "cut", "texts", "llama3", "gemma"):
        rows = rows_of(name, random.Random(name))
        target = out / name
        target.mkdir(parents=True, exist_ok=True)
        (target / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        training = {"llama3": "llama3_training", "gemma": "gemma3_training"}.get(name)
        tokenizer.chat_template = (folder / f"{training}.jinja").read_text() if training else own_template
        tokenizer.bos_token = {"llama3": "<|begin_of_text|>", "gemma": "<bos>"}.get(name, "<|im_start|>")
        settings = trl.SFTConfig(output_dir=str(target / "trainer"), report_to=[], use_cpu=True, bf16=False,
                                 max_length=40 if name == "cut" else None, completion_only_loss=training is None,
                                 assistant_only_loss=training is not None)
        trainer = trl.SFTTrainer(model=model, args=settings, train_dataset=datasets.Dataset.from_list(rows),
                                 processing_class=tokenizer)
        made = [{"ids": row["input_ids"], "labels": row["labels"]} for row in trainer.train_dataset]
        (target / "expected.json").write_text(json.dumps(made))
    tokenizer.backend_tokenizer.save(str(out / "tokenizer.json"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    main()
