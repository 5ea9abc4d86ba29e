#!/usr/bin/env python3
"""One net of every layer type that graft adapts, with PEFT's adapters of many kinds on it, in float64.

    peft_layers.py make DIR    writes for each kind DIR/KIND/base.safetensors, DIR/KIND/peft/ (an adapter directory of
                               PEFT's) and DIR/KIND/expected.safetensors: ids, logits of base, adapter and merged model,
                               gradients
    peft_layers.py check DIR   puts each DIR/KIND/graft/ (an adapter directory of graft's) on the base and writes
                               DIR/KIND/checked.safetensors: its logits
"""

import pathlib
import sys
import warnings

import torch
from peft import IA3Config, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

ALL = ["words", "line", "query", "image"]
KINDS = {
    "plain": dict(target_modules=ALL),
    "rslora": dict(target_modules=ALL, use_rslora=True),
    "all_linear": dict(target_modules="all-linear"),
    "patterns": dict(target_modules=r"words|l[a-i]ne|(qu|im).+(?!x)", exclude_modules=r".*(ne|zzz)$",
                     rank_pattern={r"qu(e|x)ry": 2, r"im.*|(a+)+": 4}, alpha_pattern={"^words": 7, r"i\w+|nothing": 2}),
    "dora": dict(target_modules=ALL, use_dora=True),
    "dora_patterns": dict(target_modules=ALL, use_dora=True, use_rslora=True, rank_pattern={"query|image": 2}),
    "lora_bias": dict(target_modules=["line", "query", "image"], lora_bias=True),
    "bias_all": dict(target_modules=["words", "query"], bias="all"),
    "bias_lora_only": dict(target_modules=ALL, bias="lora_only"),
    "saved_modules": dict(target_modules=["query"], modules_to_save=["classifier", "norm"]),
    "saved_embedding": dict(target_modules=["query"], modules_to_save=["words", "classifier"], bias="all"),
    "token_rows": dict(target_modules=["query", "line"], trainable_token_indices={"words": [7, 2, 9]}),
    "input_rows": dict(target_modules=["query"], trainable_token_indices=[1, 5]),
    "ia3": dict(target_modules=["query", "image"], feedforward_modules=[]),
    "ia3_feed_forward": dict(target_modules=["query", "image"], feedforward_modules=["query", "image"]),
    "ia3_pattern": dict(target_modules=r"qu.*|image", feedforward_modules=r".*ry"),
}


class Layers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.words = torch.nn.Embedding(11, 6, padding_idx=0)
        self.line = torch.nn.Conv1d(6, 8, 3, padding=1)
        self.query = torch.nn.Linear(8, 10)
        self.norm = torch.nn.LayerNorm(10)
        self.image = torch.nn.Conv2d(1, 4, (3, 2), stride=(2, 1), padding=(1, 0))
        self.classifier = torch.nn.Linear(10, 3)

    def get_input_embeddings(self):
        return self.words

    def forward(self, ids):
        x = self.line(self.words(ids).transpose(1, 2)).transpose(1, 2)
        x = torch.tanh(self.norm(self.query(x)))
        picture = self.image(x.unsqueeze(1)).mean((1, 2, 3))
        return self.classifier(x.mean(1)) + picture.unsqueeze(1)


def plain_name(name):
    """The name on disk of a parameter of a PEFT model."""
    name = name.replace(".modules_to_save.default", "").replace(".default", "")
    return name.replace("lora_magnitude_vector.weight", "lora_magnitude_vector")


def config_of(kind, settings):
    if kind.startswith("ia3"):
        return IA3Config(**(dict(modules_to_save=["classifier"]) | settings))
    return LoraConfig(**(dict(r=3, lora_alpha=5, modules_to_save=["classifier"]) | settings))


def in_float64(tuned):
    """PEFT draws some tensors (VeRA's) in float32, whatever the model is."""
    return tuned.double().eval()


def make(directory, settings, net=Layers, config_of=config_of):
    directory.mkdir()
    torch.manual_seed(0)
    model = net().double()
    save_file(model.state_dict(), directory / "base.safetensors")
    ids = torch.randint(0, 11, (4, 7))
    expected = {"ids": ids, "base": model(ids).detach()}
    tuned = in_float64(get_peft_model(model, config_of(directory.name, settings)))
    trained = {name: p for name, p in tuned.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for name, parameter in trained.items():
            positive = "lora_magnitude_vector" in name or "ia3_l" in name
            parameter.copy_(torch.rand_like(parameter) + 0.5 if positive else torch.randn_like(parameter) * 0.3)
    logits = tuned(ids)
    direction = torch.randn_like(logits)
    (logits * direction).sum().backward()
    expected |= {"logits": logits.detach(), "direction": direction}
    expected |= {"grad." + plain_name(n): p.grad.contiguous() for n, p in trained.items() if p.grad is not None}
    tuned.save_pretrained(directory / "peft")
    tuned.merge_adapter()
    expected["merged"] = tuned(ids).detach()
    save_file(expected, directory / "expected.safetensors")


def check(directory, net=Layers):
    model = net().double()
    model.load_state_dict(load_file(directory / "base.safetensors"))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*missing adapter keys.*")
        tuned = in_float64(PeftModel.from_pretrained(model, directory / "graft"))
    ids = load_file(directory / "expected.safetensors")["ids"]
    save_file({"logits": tuned(ids).detach()}, directory / "checked.safetensors")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("make", "check"):
        sys.exit(__doc__)
    for kind, settings in KINDS.items():
        directory = pathlib.Path(sys.argv[2]) / kind
        make(directory, settings) if sys.argv[1] == "make" else check(directory)
