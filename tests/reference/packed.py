"""Packed sequences, as graft holds them, through models that want padding."""

import torch


def pack(sequences):
    """Lists of ids -> {"ids": [T], "offsets": [N + 1]}."""
    lengths = torch.tensor([0] + [len(s) for s in sequences])
    return {"ids": torch.tensor([i for s in sequences for i in s]), "offsets": lengths.cumsum(0)}


def padded(batch, padding):
    """A packed batch -> the arguments of a transformers model."""
    offsets = batch["offsets"].tolist()
    spans = list(zip(offsets, offsets[1:]))
    longest = max(end - begin for begin, end in spans)
    ids = torch.full((len(spans), longest), padding)
    arguments = {"input_ids": ids, "attention_mask": torch.zeros_like(ids), "token_type_ids": torch.zeros_like(ids)}
    for row, (begin, end) in enumerate(spans):
        ids[row, : end - begin] = batch["ids"][begin:end]
        arguments["attention_mask"][row, : end - begin] = 1
        if "type_ids" in batch:
            arguments["token_type_ids"][row, : end - begin] = batch["type_ids"][begin:end]
    return arguments


def unpadded(tensor, batch):
    """[N, longest, ...] -> [T, ...]."""
    lengths = batch["offsets"].diff().tolist()
    return torch.cat([tensor[row, :length] for row, length in enumerate(lengths)])
