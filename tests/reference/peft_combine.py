"""What PEFT's add_weighted_adapter makes of two adapters: python peft_combine.py DIR

DIR/x, DIR/y                adapters of rank 3, DIR/z of rank 2, in float64
DIR/METHOD                  of x and y, with the weights 0.75 and -0.5 and the density 0.5; "cat_z" and "svd_z" of x and z
DIR/drawn.safetensors       parts a and b, and what dare_linear and dare_ties make of them after torch.manual_seed(5)
"""

import pathlib
import sys

import torch
from peft import LoraConfig, get_peft_model
from peft.utils import merge_utils
from safetensors.torch import save_file

from peft_layers import Layers

SOME = ["linear", "cat", "svd", "ties", "ties_svd", "magnitude_prune", "magnitude_prune_svd"]
WEIGHTS = [0.75, -0.5]


def main(out):
    torch.manual_seed(0)
    targets = ["words", "query", "image"]
    model = get_peft_model(Layers().double(), LoraConfig(r=3, lora_alpha=5, target_modules=targets), adapter_name="x")
    model.add_adapter("y", LoraConfig(r=3, lora_alpha=7, target_modules=targets, use_rslora=True))
    model.add_adapter("z", LoraConfig(r=2, lora_alpha=1, target_modules=["query"]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn_like(parameter))
    made = ["x", "y", "z"]
    for method in SOME:
        model.add_weighted_adapter(["x", "y"], WEIGHTS, method, combination_type=method, density=0.5)
        made.append(method)
    model.add_weighted_adapter(["x", "y"], WEIGHTS, "ties_frequency", combination_type="ties", density=0.5,
                               majority_sign_method="frequency")
    model.add_weighted_adapter(["x", "z"], WEIGHTS, "cat_z", combination_type="cat")
    model.add_weighted_adapter(["x", "z"], WEIGHTS, "svd_z", combination_type="svd")
    for name in made + ["ties_frequency", "cat_z", "svd_z"]:
        model.save_pretrained(out, selected_adapters=[name])

    a, b, weights = torch.randn(6, 5).double(), torch.randn(6, 5).double(), torch.tensor(WEIGHTS)
    drawn = {"a": a, "b": b}
    for method in ("dare_linear", "dare_ties"):
        torch.manual_seed(5)
        drawn[method] = getattr(merge_utils, method)([a, b], weights, 0.5)
    save_file(drawn, out / "drawn.safetensors")


main(pathlib.Path(sys.argv[1]))
