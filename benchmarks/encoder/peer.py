"""Training steps of sentence-transformers, in turns with encoder_step: peer.py MODEL PAIRS BATCH MAX_TOKENS PRECISION

Answers lines "exact N" and "timed N" as encoder_step does.
"""
import json
import os
import resource
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

MODEL, PAIRS, BATCH, MAX_TOKENS, PRECISION = sys.argv[1:]
BATCH = int(BATCH)


def main():
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    torch.set_float32_matmul_precision(PRECISION)
    model = SentenceTransformer(MODEL, device="cpu")
    model.max_seq_length = int(MAX_TOKENS)
    loss_of = MultipleNegativesRankingLoss(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.0)
    with open(PAIRS, encoding="utf-8") as lines:
        pairs = [json.loads(line) for line in lines]
    at = 0
    for line in sys.stdin:
        kind, steps = line.split()
        model.train(kind == "timed")
        losses, start = [], time.perf_counter()
        for _ in range(int(steps)):
            rows = pairs[at : at + BATCH]
            at = at + BATCH if at + 2 * BATCH <= len(pairs) else 0
            features = [model.preprocess([row[side] for row in rows]) for side in ("query", "positive")]
            loss = loss_of(features, None)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        print(json.dumps({"losses": losses, "seconds": time.perf_counter() - start,
                          "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}), flush=True)


main()
