#!/usr/bin/env python3
"""Kinds of adapters on models whose output layer shares the embedding's weight, and on one where it does not.

    peft_matrix.py make DIR    for each model and kind writes DIR/MODEL/base, DIR/MODEL/KIND/peft (an adapter with random
                               values) and DIR/MODEL/KIND/expected.safetensors: ids, and logits by PEFT
    peft_matrix.py check DIR   puts each DIR/MODEL/KIND/graft on its base and writes DIR/MODEL/KIND/checked.safetensors
"""

import pathlib
import sys
import warnings

import torch
import transformers
from peft import IA3Config, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

SMALL = dict(vocab_size=40, num_hidden_layers=2, hidden_size=16)
LLAMA = SMALL | dict(intermediate_size=24, num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=32)


def models():
    gpt2 = transformers.GPT2Config(vocab_size=40, n_layer=2, n_embd=16, n_head=2, n_positions=32, bos_token_id=1,
                                   eos_token_id=2, attn_pdrop=0, embd_pdrop=0, resid_pdrop=0)
    bert = transformers.BertConfig(**SMALL, intermediate_size=24, num_attention_heads=2, max_position_embeddings=32)
    # Name: the model, linear layers (a square one among them), one of a feed-forward half, the embedding.
    return {
        "llama": (transformers.LlamaForCausalLM, transformers.LlamaConfig(**LLAMA, tie_word_embeddings=True),
                  ["q_proj", "down_proj"], "down_proj", "embed_tokens"),
        "llama_untied": (transformers.LlamaForCausalLM, transformers.LlamaConfig(**LLAMA, tie_word_embeddings=False),
                         ["q_proj", "down_proj"], "down_proj", "embed_tokens"),
        "gpt2": (transformers.GPT2LMHeadModel, gpt2, ["c_attn", "attn.c_proj"], "attn.c_proj", "wte"),
        "bert": (transformers.BertForMaskedLM, bert, ["query", "output.dense"], "output.dense", "word_embeddings"),
    }


def kinds(linear, inner, words):
    rows = {words: [5, 7, 30]}
    return {
        "lora": LoraConfig(r=2, lora_alpha=5, target_modules=linear),
        "dora": LoraConfig(r=2, lora_alpha=5, target_modules=linear, use_dora=True),
        "ia3": IA3Config(target_modules=linear, feedforward_modules=[inner]),
        "words": LoraConfig(r=2, lora_alpha=5, target_modules=[*linear, words]),
        "rows": LoraConfig(r=2, lora_alpha=5, target_modules=linear, trainable_token_indices=rows),
        "whole_words": LoraConfig(r=2, lora_alpha=5, target_modules=linear, modules_to_save=[words]),
    }


def load(kind, directory):
    return kind.from_pretrained(directory, torch_dtype=torch.float64, attn_implementation="eager").double().eval()


def make(root):
    for name, (kind, config, *targets) in models().items():
        torch.manual_seed(0)
        model = kind(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.2)
            if name == "bert":
                model.cls.predictions.bias.zero_()  # PEFT 0.21 leaves it out where rows of tokens are trained
        model.double().save_pretrained(root / name / "base")
        ids = torch.randint(3, 40, (2, 6))
        ids[0, :3] = torch.tensor([5, 7, 30])
        for adapter, settings in kinds(*targets).items():
            tuned = get_peft_model(load(kind, root / name / "base"), settings).double().eval()
            torch.manual_seed(1)
            with torch.no_grad():
                for parameter in tuned.parameters():
                    if parameter.requires_grad:
                        parameter.add_(torch.randn_like(parameter) * 0.3)
            place = root / name / adapter
            tuned.save_pretrained(place / "peft")
            save_file({"ids": ids, "logits": tuned(ids).logits.detach().contiguous()}, place / "expected.safetensors")


def check(root):
    for name, (kind, _, *targets) in models().items():
        for adapter in kinds(*targets):
            place = root / name / adapter
            if not (place / "graft").exists():
                continue
            tuned = PeftModel.from_pretrained(load(kind, root / name / "base"), place / "graft").double().eval()
            ids = load_file(place / "expected.safetensors")["ids"]
            save_file({"logits": tuned(ids).logits.detach().contiguous()}, place / "checked.safetensors")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("make", "check"):
        sys.exit(__doc__)
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    (make if sys.argv[1] == "make" else check)(pathlib.Path(sys.argv[2]))
