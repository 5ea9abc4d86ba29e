"""Losses on vectors as sentence-transformers computes them: python vector_losses.py DEPS OUT

OUT/losses.safetensors: float64. "vectors.a" and so on are what the losses are of, "NAME.value" what each comes to, and
"NAME.a" its gradient by each of them.
"""
import pathlib
import sys

import safetensors.torch
import torch
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.sentence_transformer.losses.matryoshka import shrink
from sentence_transformers.util import dot_score

OUT = pathlib.Path(sys.argv[2])
ROWS, WIDTH = 7, 12


class Encoder(torch.nn.Module):
    """Stands where a loss asks for a model; the vectors are given."""


class SquaredError(torch.nn.MSELoss):
    """In the type of what was predicted: CosineSimilarityLoss makes float32 of what is wanted."""

    def forward(self, predicted, wanted):
        return super().forward(predicted, wanted.to(predicted.dtype))


def main():
    torch.manual_seed(1)
    vectors = {name: torch.randn(ROWS, WIDTH, dtype=torch.double) for name in "abcd"}
    wanted = torch.tensor([0.125, 0.875, 0.5, 0.5, 0.0, 1.0, 0.75], dtype=torch.double)
    margins = torch.randn(ROWS, dtype=torch.double)
    model = Encoder()
    of = {
        "in_batch": (losses.MultipleNegativesRankingLoss(model), "ab", None),
        "in_batch_dot": (losses.MultipleNegativesRankingLoss(model, scale=0.3, similarity_fct=dot_score), "ab", None),
        "in_batch_negatives": (losses.MultipleNegativesRankingLoss(model, scale=7.0), "abcd", None),
        "in_batch_symmetric": (losses.MultipleNegativesRankingLoss(
            model, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"), "abc", None),
        "cosent": (losses.CoSENTLoss(model), "ab", wanted),
        "cosine": (losses.CosineSimilarityLoss(model, loss_fct=SquaredError()), "ab", wanted),
        "triplet": (losses.TripletLoss(model), "abc", None),
        "triplet_near": (losses.TripletLoss(model, triplet_margin=0.5), "abc", None),
        "margin_mse": (losses.MarginMSELoss(model), "abc", margins),
    }
    out = {f"vectors.{name}": vector for name, vector in vectors.items()} | {"wanted": wanted, "margins": margins}

    def keep(name, names, compute):
        inputs = [vectors[n].clone().requires_grad_() for n in names]
        value = compute(inputs)
        value.backward()
        out[f"{name}.value"] = value.detach().reshape(1)
        for n, tensor in zip(names, inputs):
            out[f"{name}.{n}"] = tensor.grad

    for name, (loss, names, labels) in of.items():
        keep(name, names, lambda inputs: loss.compute_loss_from_embeddings(inputs, labels))
    # What MatryoshkaLoss sums, with the vectors in place of a model's.
    loss = losses.MultipleNegativesRankingLoss(model)
    keep("matryoshka", "ab", lambda inputs: sum(
        weight * loss.compute_loss_from_embeddings([shrink(tensor, width) for tensor in inputs], None)
        for width, weight in ((12, 1.0), (8, 0.5), (3, 0.25))))
    safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in out.items()}, OUT / "losses.safetensors")


main()
