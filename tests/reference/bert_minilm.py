"""What transformers and PEFT compute for MiniLM on 64 reviews: python bert_minilm.py MODEL REVIEWS OUT

OUT/model            MiniLM with a classification head, all dropouts 0
OUT/expected.safetensors, where TYPE is float32 or float64:
  ids, offsets, labels
  TYPE.hidden, TYPE.pooled, TYPE.logits
  TYPE.gradient.PARAMETER   of the mean cross entropy
  float32.full, .lora       losses of twenty AdamW steps of 8 reviews
  lora_A.LAYER              A of the adapters before the first step
"""

import pathlib
import sys

import peft
import safetensors.torch
import torch
import transformers

import packed

STEPS, BATCH = 20, 8


def reviews(path, count):
    """`count` reviews spread over the file, which is sorted by class."""
    rows = [line.split("\t") for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines()]
    rows = rows[:: len(rows) // count][:count]
    return [row[2] for row in rows], torch.tensor([int(float(row[1]) > 0) for row in rows])


def loss_of(model, batch, labels):
    logits = model(**packed.padded(batch, 0)).logits
    return torch.nn.functional.cross_entropy(logits, labels)


def train(model, sequences, labels, lr):
    """Losses before each of STEPS steps, over batches that repeat in order."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)
    losses = []
    for step in range(STEPS):
        begin = step * BATCH % len(sequences)
        rows = slice(begin, begin + BATCH)
        loss = loss_of(model, packed.pack(sequences[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses, dtype=torch.float64)


def main(model_path, reviews_path, out):
    out = pathlib.Path(out)
    torch.manual_seed(1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_path)
    texts, labels = reviews(reviews_path, 64)
    sequences = tokenizer(texts, truncation=True, max_length=64)["input_ids"]
    batch = packed.pack(sequences)
    expected = {**batch, "labels": labels}

    def load(source, dtype):
        return transformers.BertForSequenceClassification.from_pretrained(
            source, num_labels=2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, dtype=dtype)

    load(model_path, torch.float32).save_pretrained(out / "model")
    model_path = out / "model"
    for name, dtype in {"float32": torch.float32, "float64": torch.float64}.items():
        model = load(model_path, dtype)
        arguments = packed.padded(batch, 0)
        states = model.bert(**arguments)
        expected[name + ".hidden"] = packed.unpadded(states.last_hidden_state, batch).detach()
        expected[name + ".pooled"] = states.pooler_output.detach()
        expected[name + ".logits"] = model(**arguments).logits.detach()
        loss_of(model, batch, labels).backward()
        for parameter, value in model.named_parameters():
            expected[f"{name}.gradient.{parameter}"] = value.grad

    expected["float32.full"] = train(load(model_path, torch.float32), sequences, labels, 1e-4)
    lora = peft.get_peft_model(load(model_path, torch.float32), peft.LoraConfig(
        task_type="SEQ_CLS", r=8, lora_alpha=16, lora_dropout=0.0, target_modules=["query", "value"]))
    for parameter, value in lora.named_parameters():
        if "lora_A" in parameter:
            layer = parameter.removeprefix("base_model.model.").removesuffix(".lora_A.default.weight")
            expected["lora_A." + layer] = value.detach().clone()
    expected["float32.lora"] = train(lora, sequences, labels, 1e-3)
    safetensors.torch.save_file({k: v.contiguous() for k, v in expected.items()}, out / "expected.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
