"""Logits and what transformers' processors make of them: python sampling.py OUT.

OUT is a safetensors file with logits [R, V], text [R, L] (int32), and, by the names of sampling_test.cpp, filtered
logits and chances [R, V], all float32.
"""
import sys

import torch
import transformers
from safetensors.torch import save_file


def main(out):
    torch.manual_seed(0)
    logits = 4 * torch.randn(6, 200)
    text = torch.randint(0, 200, (6, 30))
    penalty = transformers.RepetitionPenaltyLogitsProcessor(1.3)
    temperature = transformers.TemperatureLogitsWarper(0.7)
    top_k, top_p, min_p = (transformers.TopKLogitsWarper(12), transformers.TopPLogitsWarper(0.8),
                           transformers.MinPLogitsWarper(0.05))
    tensors = {"logits": logits, "text": text.int(), "penalty": penalty(text, logits.clone()),
               "top_k": top_k(text, logits), "top_p": top_p(text, logits), "min_p": min_p(text, logits)}
    chain = logits.clone()
    for processor in (penalty, temperature, top_k, top_p, min_p):
        chain = processor(text, chain)
    tensors["chances"] = chain.softmax(-1)
    tensors["chances_of_all"] = temperature(text, logits).softmax(-1)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
