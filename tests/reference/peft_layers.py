#!/usr/bin/env python3
"""One net of every layer type that graft adapts, with PEFT's adapter on it, in float64.

    peft_layers.py make DIR    writes DIR/base.safetensors, DIR/peft/ (an adapter directory of PEFT's) and
                               DIR/expected.safetensors: ids, logits of base, adapter and merged model, gradients
    peft_layers.py check DIR   puts DIR/graft/ (an adapter directory of graft's) on the base and writes
                               DIR/checked.safetensors: its logits
"""

import pathlib
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file


class Layers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.words = torch.nn.Embedding(11, 6, padding_idx=0)
        self.line = torch.nn.Conv1d(6, 8, 3, padding=1)
        self.query = torch.nn.Linear(8, 10)
        self.image = torch.nn.Conv2d(1, 4, (3, 2), stride=(2, 1), padding=(1, 0))
        self.classifier = torch.nn.Linear(10, 3)

    def forward(self, ids):
        x = self.line(self.words(ids).transpose(1, 2)).transpose(1, 2)
        x = torch.tanh(self.query(x))
        picture = self.image(x.unsqueeze(1)).mean((1, 2, 3))
        return self.classifier(x.mean(1)) + picture.unsqueeze(1)


def plain_name(name):
    """The name on disk of a parameter of a PEFT model."""
    return name.replace(".modules_to_save.default", "").replace(".default", "")


def make(directory):
    torch.manual_seed(0)
    model = Layers().double()
    save_file(model.state_dict(), directory / "base.safetensors")
    ids = torch.randint(0, 11, (4, 7))
    expected = {"ids": ids, "base": model(ids).detach()}
    config = LoraConfig(r=3, lora_alpha=5, target_modules=["words", "line", "query", "image"],
                        modules_to_save=["classifier"])
    tuned = get_peft_model(model, config)
    trained = {name: p for name, p in tuned.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for parameter in trained.values():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    logits = tuned(ids)
    direction = torch.randn_like(logits)
    (logits * direction).sum().backward()
    expected |= {"logits": logits.detach(), "direction": direction}
    expected |= {"grad." + plain_name(name): p.grad.contiguous() for name, p in trained.items()}
    tuned.save_pretrained(directory / "peft")
    tuned.merge_adapter()
    expected["merged"] = tuned(ids).detach()
    save_file(expected, directory / "expected.safetensors")


def check(directory):
    model = Layers().double()
    model.load_state_dict(load_file(directory / "base.safetensors"))
    tuned = PeftModel.from_pretrained(model, directory / "graft").eval()
    ids = load_file(directory / "expected.safetensors")["ids"]
    save_file({"logits": tuned(ids).detach()}, directory / "checked.safetensors")


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"] and len(sys.argv) == 3:
        make(pathlib.Path(sys.argv[2]))
    elif sys.argv[1:2] == ["check"] and len(sys.argv) == 3:
        check(pathlib.Path(sys.argv[2]))
    else:
        sys.exit(__doc__)
