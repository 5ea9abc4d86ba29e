"""model_dir.py A B: transformers loads both directories to the same model, and the same tokenizer."""

import sys

import torch
from transformers import AutoModel, AutoTokenizer

first, second = (AutoModel.from_pretrained(path, dtype=torch.float32) for path in sys.argv[1:])
states = first.state_dict(), second.state_dict()
assert states[0].keys() == states[1].keys()
for name, tensor in states[0].items():
    assert torch.equal(tensor, states[1][name]), name
ids = [AutoTokenizer.from_pretrained(path)("a fine film")["input_ids"] for path in sys.argv[1:]]
assert ids[0] == ids[1]
