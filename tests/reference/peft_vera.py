#!/usr/bin/env python3
"""PEFT's VeRA on linear layers of two shapes, in float64, as peft_layers.py has the other kinds.

    peft_vera.py make DIR    writes DIR/KIND/base.safetensors, DIR/KIND/peft/ and DIR/KIND/expected.safetensors
    peft_vera.py check DIR   puts each DIR/KIND/graft/ on the base and writes DIR/KIND/checked.safetensors
"""

import pathlib
import sys

import peft_family
import peft_layers
from peft import VeraConfig

KINDS = {
    "saved": dict(target_modules=["up", "down"]),
    "key_alone": dict(target_modules=["up", "down"], save_projection=False, projection_prng_key=7),
    "one_layer": dict(target_modules=r".*(down)", save_projection=False, d_initial=0.5, vera_dropout=0.1),
    "bias": dict(target_modules=["up", "down"], bias="vera_only", projection_prng_key=3),
}


def config_of(_, settings):
    return VeraConfig(**(dict(r=6, modules_to_save=["classifier"]) | settings))


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("make", "check"):
        sys.exit(__doc__)
    for kind, settings in KINDS.items():
        directory = pathlib.Path(sys.argv[2]) / kind
        if sys.argv[1] == "make":
            peft_layers.make(directory, settings, peft_family.Net, config_of)
        else:
            peft_layers.check(directory, peft_family.Net)
