"""What sentence-transformers makes of texts: python embedder.py DEPS OUT

OUT/texts.json                  {"reviews": [...], "long": [...]}: the long ones have 256 tokens and more
OUT/minilm.safetensors          vectors of both, by all-MiniLM-L6-v2
OUT/NAME, OUT/NAME.safetensors  small models of every kind, and what they make of the first 40 reviews:
  plain, query, document        vectors under no prompt and under those of encode_query and encode_document
"""
import glob
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
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling

import retrieval_descriptions

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
DEPS, OUT = map(pathlib.Path, sys.argv[1:])
MODES = Pooling.POOLING_MODES
PROMPTS = {"query": "a question: ", "document": "the text of a document: "}


def reviews(count):
    """`count` reviews spread over the file, which is sorted by class."""
    text = (DEPS / "reviews" / "movieReviewSnippets_GroundTruth.txt").read_bytes().decode()
    rows = [line.split("\t")[2] for line in text.split("\r\n") if line]
    return rows[:: len(rows) // count][:count]


def long_texts(tokenizer):
    """The longest package descriptions where apt has them, and reviews strung together."""
    texts = []
    if files := sorted(glob.glob(retrieval_descriptions.PATTERN)):
        descriptions = [text for _, _, text in retrieval_descriptions.descriptions(files[0])]
        texts = sorted(descriptions, key=len, reverse=True)[:100]
    some = reviews(1200)
    texts += [" ".join(some[i : i + 40]) for i in range(0, len(some), 40)]
    texts = [text for text in texts if len(tokenizer(text).input_ids) > 256]
    assert len(texts) > 20
    return texts


def encoder(name, **more):
    """A small BERT with MiniLM's tokenizer, as a directory."""
    torch.manual_seed(len(name))
    config = transformers.BertConfig(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=48,
                                     max_position_embeddings=64, initializer_range=0.3, vocab_size=30522, **more)
    path = OUT / "encoders" / name
    transformers.BertModel(config, add_pooling_layer=False).eval().save_pretrained(path)
    transformers.AutoTokenizer.from_pretrained(DEPS / "model").save_pretrained(path)
    return str(path)


def mpnet():
    """A small MPNet with its own special tokens and MiniLM's words, as a directory."""
    torch.manual_seed(0)
    words = transformers.AutoTokenizer.from_pretrained(DEPS / "model").get_vocab()
    words = ["<s>", "<pad>", "</s>", "<unk>"] + sorted(words, key=words.get) + ["<mask>"]
    config = transformers.MPNetConfig(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=48,
                                      max_position_embeddings=66, initializer_range=0.3, vocab_size=len(words))
    path = OUT / "encoders" / "mpnet"
    transformers.MPNetModel(config, add_pooling_layer=False).eval().save_pretrained(path)
    transformers.MPNetTokenizer(vocab={word: i for i, word in enumerate(words)}).save_pretrained(path)
    return str(path)


def write(name, texts, model):
    """What the model makes of the texts."""
    vectors = {"plain": model.encode(texts, prompt="", convert_to_tensor=True),
               "query": model.encode_query(texts, convert_to_tensor=True),
               "document": model.encode_document(texts, convert_to_tensor=True)}
    safetensors.torch.save_file({key: value.contiguous() for key, value in vectors.items()}, OUT / f"{name}.safetensors")


def model(name, texts, modules, **more):
    """A model as this version of sentence-transformers saves it."""
    made = SentenceTransformer(modules=modules, device="cpu", **more)
    for parameter in made.parameters():  # fresh layers of one and zero would hide a swap
        parameter.data += 0.05 * torch.randn_like(parameter)
    made.save(str(OUT / name))
    write(name, texts, SentenceTransformer(str(OUT / name), device="cpu"))


def old_layout(texts):
    """As sentence-transformers 2 wrote it, the encoder in a folder of its own."""
    path = OUT / "old"
    folder = path / "0_Transformer"
    made = transformers.AutoModel.from_pretrained(encoder("old"))
    made.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(DEPS / "model").save_pretrained(folder)
    kinds = ["Transformer", "Pooling", "Dense", "Normalize"]
    files = {"modules.json": [{"idx": i, "name": str(i), "path": f"{i}_{kind}", "type": f"sentence_transformers.models.{kind}"}
                              for i, kind in enumerate(kinds)],
             "0_Transformer/sentence_bert_config.json": {"max_seq_length": 20, "do_lower_case": True},
             "1_Pooling/config.json": {"word_embedding_dimension": 24, "pooling_mode_cls_token": True,
                                       "pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True,
                                       "pooling_mode_mean_sqrt_len_tokens": False},
             "2_Dense/config.json": {"in_features": 48, "out_features": 10, "bias": True,
                                     "activation_function": "torch.nn.modules.activation.Tanh"}}
    for name, content in files.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(json.dumps(content))
    torch.manual_seed(0)
    safetensors.torch.save_file({"linear.weight": 0.3 * torch.randn(10, 48), "linear.bias": torch.randn(10)},
                                path / "2_Dense" / "model.safetensors")
    write("old", texts, SentenceTransformer(str(path), device="cpu"))


def main():
    minilm = SentenceTransformer(str(DEPS / "model"), device="cpu")
    texts = {"reviews": reviews(400), "long": long_texts(minilm.tokenizer)}
    (OUT / "texts.json").write_text(json.dumps(texts))
    safetensors.torch.save_file({key: minilm.encode(value, convert_to_tensor=True) for key, value in texts.items()},
                                OUT / "minilm.safetensors")

    few = texts["reviews"][:40]
    for mode in MODES:
        model(mode, few, [Transformer(encoder(mode)), Pooling(24, mode)])
        model(mode + "-prompts", few, [Transformer(encoder(mode)), Pooling(24, mode, include_prompt=False)],
              prompts=PROMPTS)
    model("all", few, [Transformer(encoder("all", hidden_act="relu")), Pooling(24, list(MODES)), Normalize()],
          prompts={"query": "question: "}, default_prompt_name="query")
    model("layers", few, [Transformer(encoder("layers")), Pooling(24, "mean"),
                          Dense(24, 16, activation_function=torch.nn.GELU(), use_residual=True),
                          Dense(16, 16, bias=False, activation_function=torch.nn.Identity(), use_residual=True),
                          LayerNorm(16), Normalize()], truncate_dim=10)
    model("mpnet", few, [Transformer(mpnet()), Pooling(24, "mean"), Normalize()], prompts=PROMPTS)
    old_layout(few)


main()
