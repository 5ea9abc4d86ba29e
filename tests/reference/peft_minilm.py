"""PEFT's adapters of many kinds on MiniLM with a classifier, in float32.

    peft_minilm.py make MODEL DIR    writes DIR/KIND/peft/ (an adapter directory) and DIR/KIND/expected.safetensors: ids,
                                     offsets, logits, logits64 computed in float64
    peft_minilm.py check MODEL DIR   DIR/KIND/graft/ (graft's directory of the same adapter) gives the same logits in PEFT,
                                     DIR/KIND/merged/ (a model directory of graft's) in transformers without PEFT
"""

import pathlib
import sys
import warnings

import peft
import safetensors.torch
import torch
import transformers

import packed

KINDS = {
    "plain": dict(target_modules=["query", "value"], lora_dropout=0.1),
    "rslora": dict(target_modules=["query", "value"], use_rslora=True),
    "dora": dict(target_modules=["query", "value"], use_dora=True),
    "all_linear": dict(target_modules="all-linear"),
    "embedding": dict(target_modules=["word_embeddings", "query"]),
    "patterns": dict(target_modules=r".*layer\.[0-3]\..*(query|dense)", exclude_modules=r".*intermediate.*",
                     rank_pattern={r"layer\.0\..*": 4}, alpha_pattern={"query": 32, "^nothing": 1}),
    "bias": dict(target_modules=["query", "output.dense"], bias="all", modules_to_save=["pooler"], lora_bias=True),
}
# Sums of 384 to 1536 products of float32 through six layers, taken in another order; float64 agrees to 1e-13
# (peft_layers.py).
TOLERANCE = 1e-5


def base(model):
    torch.manual_seed(3)  # for the head
    return transformers.AutoModelForSequenceClassification.from_pretrained(model, num_labels=3).eval()


def texts(model):
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    return tokenizer(["a film to see twice", "no", "the plot is thin, but the actors carry it over two hours"])["input_ids"]


def logits_of(model, batch):
    with torch.no_grad():
        return model(**packed.padded(batch, 0)).logits


def make(model, directory, settings):
    directory.mkdir()
    batch = packed.pack(texts(model))
    tuned = peft.get_peft_model(base(model), peft.LoraConfig(**(dict(task_type="SEQ_CLS", r=8, lora_alpha=16) | settings)))
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if parameter.requires_grad and "lora_magnitude" in name:
                parameter.mul_(torch.rand_like(parameter) * 0.2 + 0.9)
            elif parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.02)
    tuned.eval()
    tuned.save_pretrained(directory / "peft")
    expected = {**batch, "logits": logits_of(tuned, batch)}
    expected["logits64"] = logits_of(tuned.double(), batch)
    safetensors.torch.save_file(expected, directory / "expected.safetensors")


def check(model, directory, _):
    expected = safetensors.torch.load_file(directory / "expected.safetensors")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*missing adapter keys.*")
        tuned = peft.PeftModel.from_pretrained(base(model), directory / "graft").eval()
    merged, info = transformers.AutoModelForSequenceClassification.from_pretrained(directory / "merged",
                                                                                   output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[kind], f"{directory}: {kind}: {info[kind]}"
    for side, tried in (("graft's adapter", tuned), ("graft's merged model", merged.eval())):
        error = (logits_of(tried, expected) - expected["logits"]).abs().max() / expected["logits"].abs().max()
        print(f"{directory.name}, {side}: {error:.2g}")
        assert error <= TOLERANCE, f"{directory}: {side} differs by {error:.3g}"


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("make", "check"):
        sys.exit(__doc__)
    transformers.logging.set_verbosity_error()
    for kind, settings in KINDS.items():
        (make if sys.argv[1] == "make" else check)(sys.argv[2], pathlib.Path(sys.argv[3]) / kind, settings)
