"""Loads directories that graft saved and compares with what graft computed: python bert_reload.py CLASS DIR EXPECTED ...

EXPECTED is a safetensors file with ids, type_ids, offsets and graft's float64 outputs (see bert_models.py). Fails where
transformers misses a tensor, meets one it does not know, or differs by more than 1e-12 of the largest value.
"""

import sys

import safetensors.torch
import transformers

import bert_models


def main(class_name, directory, expected):
    # The dtype of the file, then float64 as graft's side.
    model, info = getattr(transformers, class_name).from_pretrained(directory, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[kind], f"{directory}: {kind}: {info[kind]}"
    values = safetensors.torch.load_file(expected)
    for name, theirs in bert_models.compute(model, values).items():
        error = (values[name] - theirs).abs().max() / theirs.abs().max()
        assert error <= 1e-12, f"{directory}: {name} differs by {error:.3g}"
    assert transformers.AutoConfig.from_pretrained(directory).architectures == [class_name]


if __name__ == "__main__":
    for i in range(1, len(sys.argv), 3):
        main(*sys.argv[i:i + 3])
