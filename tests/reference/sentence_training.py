"""Encoders of sentence-transformers with their gradients, and how it opens what graft saves.

python sentence_training.py make DEPS OUT
  OUT/NAME            small models
  OUT/NAME.safetensors  "loss" of MultipleNegativesRankingLoss on the pairs of OUT/texts.json under the model's prompts,
                        in evaluation mode and float32, and its gradient by each weight
python sentence_training.py open DEPS OUT NAME...
  OUT/NAME.vectors.safetensors  "vectors" of the questions under no prompt, by the directory OUT/NAME; where there is a
                                directory OUT/NAME.adapter, with that adapter
"""
import json
import os
import pathlib
import sys

os.environ["HF_HUB_OFFLINE"] = "1"  # everything is here

import safetensors.torch
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
MODE, DEPS, OUT = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
PROMPTS = {"query": "question: ", "document": "the text of a document: "}


def reviews(count):
    text = (DEPS / "reviews" / "movieReviewSnippets_GroundTruth.txt").read_bytes().decode()
    rows = [line.split("\t")[2] for line in text.split("\r\n") if line]
    return rows[:: len(rows) // count][:count]


def encoder(name, pooler, **more):
    torch.manual_seed(len(name))
    config = transformers.BertConfig(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=48,
                                     max_position_embeddings=64, initializer_range=0.3, vocab_size=30522, **more)
    path = OUT / "encoders" / name
    transformers.BertModel(config, add_pooling_layer=pooler).eval().save_pretrained(path)
    transformers.AutoTokenizer.from_pretrained(DEPS / "model").save_pretrained(path)
    return Transformer(str(path))


def make():
    texts = {"questions": reviews(12), "answers": [text[: len(text) // 2 + 9] for text in reviews(36)[1::3]]}
    (OUT / "texts.json").write_text(json.dumps(texts))
    models = {
        "plain": ([encoder("plain", True), Pooling(24, "mean"), Normalize()], {}),
        "layers": ([encoder("layers", False), Pooling(24, ["cls", "mean"]), Dense(48, 16, use_residual=True),
                    LayerNorm(16), Normalize()], PROMPTS),
    }
    for name, (modules, prompts) in models.items():
        made = SentenceTransformer(modules=modules, prompts=prompts, device="cpu").eval()
        made.save(str(OUT / name))
        made = SentenceTransformer(str(OUT / name), device="cpu").eval()
        features = [made.preprocess(texts["questions"], prompt=prompts.get("query")),
                    made.preprocess(texts["answers"], prompt=prompts.get("document"))]
        loss = MultipleNegativesRankingLoss(made)(features, None)
        loss.backward()
        out = {"loss": loss.detach().reshape(1)}
        for place, module in enumerate(made):
            for key, value in module.named_parameters():
                if value.grad is not None:
                    out[f"{place}.{key.removeprefix('model.').removeprefix('auto_model.')}"] = value.grad.contiguous()
        safetensors.torch.save_file(out, OUT / f"{name}.safetensors")


def open_saved(names):
    questions = json.loads((OUT / "texts.json").read_text())["questions"]
    for name in names:
        model = SentenceTransformer(str(OUT / name), device="cpu").eval()
        adapter = OUT / f"{name}.adapter"
        if adapter.exists():
            model.load_adapter(str(adapter))
        vectors = model.encode(questions, prompt="", convert_to_tensor=True)
        safetensors.torch.save_file({"vectors": vectors.contiguous()}, OUT / f"{name}.vectors.safetensors")


make() if MODE == "make" else open_saved(sys.argv[4:])
