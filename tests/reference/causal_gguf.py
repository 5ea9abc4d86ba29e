"""Compares graft's work with a language model in a GGUF file with transformers', which decodes its blocks to float32.

python causal_gguf.py FILE GIVEN: GIVEN is a safetensors file with prompt.<n> (ids), continuation.<n> (graft's likeliest
ids, one after another) and, for some n, logits.<n> [T, V] of the prompt. Fails where transformers would have chosen
another id, or where its logits differ by more than 1e-4 of the largest.
"""
import os
import sys

import torch
import transformers
from safetensors.torch import load_file


def main(file, given):
    directory, name = os.path.split(file)
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, gguf_file=name, dtype=torch.float32).eval()
    tensors = load_file(given)
    faults = []
    worst, smallest, prompts = 0.0, float("inf"), 0
    for n in range(sum(name.startswith("prompt.") for name in tensors)):
        prompt, continuation = tensors[f"prompt.{n}"].long(), tensors[f"continuation.{n}"].long()
        with torch.no_grad():
            logits = model(torch.cat([prompt, continuation])[None]).logits[0]
        # Every step at once: a choice depends on the choices before it alone.
        steps = logits[len(prompt) - 1:-1]
        top = steps.topk(2)
        for step in range(len(continuation)):
            gap = float(top.values[step, 0] - top.values[step, 1])
            smallest = min(smallest, gap)
            if top.indices[step, 0] != continuation[step]:
                faults.append(f"prompt {n}, token {step}: graft chose {int(continuation[step])}, transformers "
                              f"{int(top.indices[step, 0])}, {gap:.3g} above its second")
                break
        if f"logits.{n}" in tensors:
            theirs = logits[:len(prompt)]
            error = float((tensors[f"logits.{n}"] - theirs).abs().max() / theirs.abs().max())
            worst = max(worst, error)
            if error > 1e-4:
                faults.append(f"prompt {n}: logits differ by {error:.3g}")
        prompts += 1
    print(f"{name}: {prompts} prompts, largest error of logits {worst:.3g}, smallest lead of a choice {smallest:.3g}")
    assert prompts and not faults, "\n".join(faults)


if __name__ == "__main__":
    main(*sys.argv[1:])
