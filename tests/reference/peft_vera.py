#!/usr/bin/env python3
"""PEFT's VeRA on linear layers of two shapes, in float64, as peft_layers.py has the other kinds.

    peft_vera.py make DIR    writes DIR/KIND/base.safetensors, DIR/KIND/peft/ and DIR/KIND/expected.safetensors
    peft_vera.py check DIR   puts each DIR/KIND/graft/ on the base and writes DIR/KIND/checked.safetensors
"""

import pathlib
import sys

import peft_layers
import torch
from peft import VeraConfig

KINDS = {
    "saved": dict(target_modules=["up", "down"]),
    "key_alone": dict(target_modules=["up", "down"], save_projection=False, projection_prng_key=7),
    "one_layer": dict(target_modules=r".*(down)", save_projection=False, d_initial=0.5, vera_dropout=0.1),
    "bias": dict(target_modules=["up", "down"], bias="vera_only", projection_prng_key=3),
}


class Layers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.words = torch.nn.Embedding(12, 8)
        self.up = torch.nn.Linear(8, 20)
        self.norm = torch.nn.LayerNorm(20)
        self.down = torch.nn.Linear(20, 8)
        self.classifier = torch.nn.Linear(8, 3)

    def forward(self, ids):
        return self.classifier(self.down(self.norm(torch.tanh(self.up(self.words(ids))))))


def config_of(_, settings):
    return VeraConfig(**(dict(r=6, modules_to_save=["classifier"]) | settings))


def in_float64(make):
    """PEFT makes and draws VeRA's tensors in float32, whatever the model is."""
    return lambda *arguments: make(*arguments).double().eval()


class Loaded:
    from_pretrained = staticmethod(in_float64(peft_layers.PeftModel.from_pretrained))


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("make", "check"):
        sys.exit(__doc__)
    peft_layers.Layers, peft_layers.config_of, peft_layers.PeftModel = Layers, config_of, Loaded
    peft_layers.get_peft_model = in_float64(peft_layers.get_peft_model)
    for kind, settings in KINDS.items():
        getattr(peft_layers, sys.argv[1])(pathlib.Path(sys.argv[2]) / kind, settings)
