"""Small random models of every kind as transformers writes them, and what it computes: python bert_models.py OUT

OUT/NAME                       a model directory
OUT/NAME.expected.safetensors  ids, type_ids, offsets, and in float64 what the class gives: `hidden` and `pooled`, or
                               `logits` ([N, C] for sequences, [T, C] for tokens, question answering included).
                               For MPNetModel also `weights` [T, D], and as gradient.PARAMETER what the sum of
                               weights times hidden has
"""

import pathlib
import shutil
import sys

import safetensors.torch
import torch
import transformers

import packed

SIZES = dict(vocab_size=101, hidden_size=30, num_hidden_layers=2, num_attention_heads=5, intermediate_size=77,
             max_position_embeddings=40, type_vocab_size=3, initializer_range=0.3)
TASKS = ["Model", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMaskedLM"]
LABELS = {0: "bad", 1: "so so", 2: "good"}


def batch(seed):
    """Sequences of 1 to 30 tokens, padding tokens inside and all types among them."""
    generator = torch.Generator().manual_seed(seed)
    sequences = [torch.randint(0, 101, (length,), generator=generator).tolist() for length in (7, 1, 30, 12, 12, 3)]
    result = packed.pack(sequences)
    result["type_ids"] = torch.randint(0, 3, result["ids"].shape, generator=generator)
    return result


def compute(model, batch):
    """What graft's class of the same name gives, in float64."""
    model = model.double().eval()
    arguments = packed.padded(batch, model.config.pad_token_id)
    with torch.no_grad():
        outputs = model(**arguments)
    if hasattr(outputs, "last_hidden_state"):
        return {"hidden": packed.unpadded(outputs.last_hidden_state, batch), "pooled": outputs.pooler_output}
    if hasattr(outputs, "start_logits"):
        both = torch.stack([outputs.start_logits, outputs.end_logits], dim=-1)
        return {"logits": packed.unpadded(both, batch)}
    if outputs.logits.dim() == 3:
        return {"logits": packed.unpadded(outputs.logits, batch)}
    return {"logits": outputs.logits}


def write(out, name, model, inputs=None, more=lambda model, results: {}, **options):
    model.save_pretrained(out / name, **options)
    # From the file, which holds what `dtype` left of the weights.
    model = type(model).from_pretrained(out / name)
    inputs = inputs or batch(seed=5)
    results = {**inputs, **compute(model, inputs)}
    results |= more(model, results)
    safetensors.torch.save_file({k: v.contiguous() for k, v in results.items()}, out / (name + ".expected.safetensors"))


def mpnet(out):
    """Distances up to 150 tokens meet every bucket."""
    sizes = {name: size for name, size in SIZES.items() if name != "type_vocab_size"}
    config = transformers.MPNetConfig(**sizes | {"max_position_embeddings": 160}, layer_norm_eps=1e-5)
    model = transformers.MPNetModel(config)
    torch.nn.init.normal_(model.encoder.relative_attention_bias.weight, std=2)
    generator = torch.Generator().manual_seed(6)
    sequences = [torch.randint(0, 101, (length,), generator=generator).tolist() for length in (7, 1, 150, 30)]

    def gradients(model, results):
        weights = torch.randn(results["hidden"].shape, generator=generator, dtype=torch.float64)
        hidden = packed.unpadded(model(**packed.padded(results, 1)).last_hidden_state, results)
        (weights * hidden).sum().backward()
        named = {f"gradient.{name}": p.grad for name, p in model.named_parameters() if not name.startswith("pooler.")}
        return {"weights": weights, **named}

    write(out, "MPNetModel", model, packed.pack(sequences), gradients)


def settings(task, activation):
    options = dict(SIZES, hidden_act=activation)
    if task.endswith("Classification"):
        options.update(id2label=LABELS, label2id={label: i for i, label in LABELS.items()})
    return options


def rewrite(out, name, source, change):
    """A copy of the model `source` whose tensors went through `change`."""
    shutil.copytree(out / source, out / name)
    tensors = safetensors.torch.load_file(out / source / "model.safetensors")
    safetensors.torch.save_file(change(tensors), out / name / "model.safetensors", metadata={"format": "pt"})
    shutil.copy(out / (source + ".expected.safetensors"), out / (name + ".expected.safetensors"))


def main(out):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(3)
    for task, activation in zip(TASKS, ["gelu", "gelu_new", "relu", "silu", "gelu_pytorch_tanh"]):
        for family, config in {"Bert": transformers.BertConfig, "Roberta": transformers.RobertaConfig}.items():
            cls = getattr(transformers, family + task)
            write(out, family + task, cls(config(**settings(task, activation))))

    mpnet(out)
    config = transformers.BertConfig(**settings("ForSequenceClassification", "gelu"))
    model = transformers.BertForSequenceClassification(config)
    write(out, "sharded", model, max_shard_size="20KB")
    for name, dtype in {"bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}.items():
        write(out, name, model.to(dtype))

    # A checkpoint as the first releases wrote them: other names for the norms, a buffer, copies of tied weights, a
    # head for the next sentence.
    def as_pretrained(tensors):
        old = {k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
               for k, v in tensors.items()}
        old["bert.embeddings.position_ids"] = torch.arange(40).unsqueeze(0)
        old["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"].clone()
        old["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"].clone()
        old["cls.seq_relationship.weight"] = torch.zeros(2, 30)
        old["cls.seq_relationship.bias"] = torch.zeros(2)
        return old

    rewrite(out, "old_names", "BertForMaskedLM", as_pretrained)
    rewrite(out, "no_prefix", "BertForSequenceClassification",
            lambda tensors: {k.removeprefix("bert."): v for k, v in tensors.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
