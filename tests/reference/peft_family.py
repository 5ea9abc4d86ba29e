#!/usr/bin/env python3
"""PiSSA, OLoRA, LoRA-FA and LoRA+ as PEFT has them, on one small net.

    peft_family.py make DIR    writes DIR/base.safetensors and inputs DIR/x.safetensors; for START in pissa, olora
                               DIR/START/peft (converted to ordinary LoRA) and DIR/START/expected.safetensors: A and B at
                               the start and as trained, outputs, gradients; DIR/lorafa.safetensors: A, and B before and
                               after three steps; DIR/loraplus.txt: a line "lr decay name" for each parameter
    peft_family.py check DIR   puts DIR/START/graft on the base and writes DIR/START/checked.safetensors: its outputs
"""

import pathlib
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.optimizers import create_lorafa_optimizer, create_loraplus_optimizer
from safetensors.torch import load_file, save_file


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.words = torch.nn.Embedding(12, 8)
        self.up = torch.nn.Linear(8, 20)
        self.norm = torch.nn.LayerNorm(20)
        self.down = torch.nn.Linear(20, 8)
        self.classifier = torch.nn.Linear(8, 3)

    def forward(self, ids):
        return self.classifier(self.down(self.norm(torch.tanh(self.up(self.words(ids))))))


def base(directory, dtype=torch.float32):
    net = Net().to(dtype)
    net.load_state_dict(load_file(directory / "base.safetensors"))
    return net


def factors(tuned, gradients=False):
    found = {}
    for layer in ("up", "down"):
        for part in ("lora_A", "lora_B"):
            weight = getattr(getattr(tuned.base_model.model, layer), part)["default"].weight
            found[f"{layer}.{part}"] = (weight.grad if gradients else weight).detach().clone().contiguous()
    return found


def make_start(directory, start, ids):
    (directory / start).mkdir()
    tuned = get_peft_model(base(directory), LoraConfig(r=3, lora_alpha=5, init_lora_weights=start,
                                                       target_modules=["up", "down"]))
    expected = {"start." + k: v for k, v in factors(tuned).items()}
    config = tuned.peft_config["default"]
    config.init_lora_weights = True
    tuned.save_pretrained(directory / start / "initial")
    config.init_lora_weights = start
    torch.manual_seed(5)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if parameter.requires_grad:
                parameter += 0.2 * torch.randn_like(parameter)
    out = tuned(ids)
    out.square().sum().backward()
    expected |= {"value." + k: v for k, v in factors(tuned).items()}
    expected |= {"grad." + k: v for k, v in factors(tuned, gradients=True).items()}
    expected["output"] = out.detach()
    tuned.save_pretrained(directory / start / "peft",
                          path_initial_model_for_weight_conversion=str(directory / start / "initial"))
    save_file({k: v.contiguous() for k, v in expected.items()}, directory / start / "expected.safetensors")


def make_lorafa(directory, ids):
    torch.manual_seed(6)
    tuned = get_peft_model(base(directory, torch.float64), LoraConfig(r=3, lora_alpha=5, target_modules=["up", "down"]),
                           autocast_adapter_dtype=False).double()
    optimizer = create_lorafa_optimizer(tuned, r=3, lora_alpha=5, lr=1e-2)
    optimizer.param_groups[0]["eps"] = 1e-30
    written = {"start." + k: v for k, v in factors(tuned).items()}
    for _ in range(3):
        optimizer.zero_grad()
        tuned(ids).square().sum().backward()
        optimizer.step()
    written |= {"value." + k: v for k, v in factors(tuned).items()}
    save_file(written, directory / "lorafa.safetensors")


def make_loraplus(directory):
    tuned = get_peft_model(base(directory), LoraConfig(r=3, target_modules=["words", "up", "down"],
                                                       modules_to_save=["classifier"], bias="all"))
    optimizer = create_loraplus_optimizer(tuned, torch.optim.AdamW, lr=1e-4, loraplus_lr_ratio=16,
                                          loraplus_weight_decay=0.1)
    names = {id(p): n for n, p in tuned.named_parameters()}
    lines = []
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)].removeprefix("base_model.model.").replace(".base_layer", "")
            name = name.replace(".modules_to_save.default", "")
            if ".original_module" in name:
                continue
            for part in ("lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B"):
                short = part.replace("embedding_", "")
                for end in (".default.weight", ".default"):
                    if name.endswith(f".{part}{end}"):
                        name = name.removesuffix(f".{part}{end}") + f".adapters.default.{short}"
            lines.append(f"{group['lr']:.6g} {group['weight_decay']:.6g} {name}")
    (directory / "loraplus.txt").write_text("\n".join(sorted(lines)) + "\n")


def make(directory):
    torch.manual_seed(0)
    save_file(Net().state_dict(), directory / "base.safetensors")
    ids = torch.randint(0, 12, (9,))
    save_file({"ids": ids}, directory / "x.safetensors")
    for start in ("pissa", "olora"):
        make_start(directory, start, ids)
    make_lorafa(directory, ids)
    make_loraplus(directory)


def check(directory):
    ids = load_file(directory / "x.safetensors")["ids"]
    for start in ("pissa", "olora"):
        tuned = PeftModel.from_pretrained(base(directory), directory / start / "graft").eval()
        save_file({"output": tuned(ids).detach()}, directory / start / "checked.safetensors")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("make", "check"):
        sys.exit(__doc__)
    (make if sys.argv[1] == "make" else check)(pathlib.Path(sys.argv[2]))
