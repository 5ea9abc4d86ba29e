"""Adapters made and read by PEFT, for the tests of io/adapter_dir.hpp.

write DIR: one directory per kind of adapter, on a small random BERT.
read DIR: PEFT loads DIR, an adapter on the same BERT with r 2 whose every number is 0.5, and gives its config.
"""

import sys
import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import BertConfig, BertForSequenceClassification

KINDS = {
    "plain": dict(target_modules=["query", "value"], lora_alpha=16, lora_dropout=0.1, task_type="SEQ_CLS"),
    "rslora": dict(target_modules=["query"], use_rslora=True, r=4),
    "dora": dict(target_modules=["query"], use_dora=True, lora_alpha=0.5, init_lora_weights="gaussian"),
    "bias": dict(target_modules=["query"], bias="lora_only", lora_bias=True, lora_dropout=1e-5),
    "all_linear": dict(target_modules="all-linear", modules_to_save=["classifier"]),
    "regex": dict(target_modules=r".*\.[01]\..*\.(query|key)", exclude_modules=["1.attention.self.key"]),
    "patterns": dict(target_modules=["query", "word_embeddings"], rank_pattern={"0.attention.self.query": 3},
                     alpha_pattern={"word_embeddings": 1.5, "0.attention.self.query": 4}),
    "layers": dict(target_modules=["query"], layers_to_transform=[1], layers_pattern=["layer"]),
    "rows": dict(target_modules=["query"], trainable_token_indices={"word_embeddings": [1, 5]}),
}


def base():
    torch.manual_seed(0)
    return BertForSequenceClassification(BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=2,
                                                    num_attention_heads=2, intermediate_size=16))


def write(directory):
    for name, settings in KINDS.items():
        model = get_peft_model(base(), LoraConfig(**settings))
        model.save_pretrained(f"{directory}/{name}")


def read(directory):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # PEFT only warns of keys it misses or does not know
        model = PeftModel.from_pretrained(base(), directory)
    config = model.peft_config["default"]
    assert (config.r, config.lora_alpha, config.lora_dropout) == (2, 16, 0.25), config
    assert config.target_modules == {"query"} and "classifier" in config.modules_to_save, config
    stored = load_file(f"{directory}/adapter_model.safetensors")
    loaded = {n.replace(".default", "").replace("modules_to_save.", ""): p for n, p in model.named_parameters()}
    assert len(stored) == 6, stored.keys()
    for name in stored:
        assert torch.equal(loaded[name], torch.full_like(loaded[name], 0.5)), name


{"write": write, "read": read}[sys.argv[1]](sys.argv[2])
