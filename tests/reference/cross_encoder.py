"""Cross-encoders and their losses in sentence-transformers: python cross_encoder.py make DEPS OUT
                                                           python cross_encoder.py read PAIRS DIRECTORY...

make: OUT/pairs.json          [[question, [passage, ...]], ...]: long, short, empty, not ASCII
      OUT/NAME                models of every family and layout, and "trained", a MiniLM that was trained a little
      OUT/NAME.json           {"scores": [[...], ...], "max_tokens": n}: what predict() gives for pairs.json
      OUT/losses.safetensors  logits, targets, grades, teacher [P] of lists of three; of each loss its value and gradient
read: DIRECTORY.json          as NAME.json
"""
import json
import os
import pathlib
import sys

os.environ["HF_HUB_OFFLINE"] = "1"  # everything is here

import safetensors.torch
import tokenizers
import torch
import transformers
from sentence_transformers.cross_encoder import CrossEncoder, losses

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
SIZES = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=48, initializer_range=0.2,
             num_labels=1)


def reviews(deps):
    text = (deps / "reviews" / "movieReviewSnippets_GroundTruth.txt").read_bytes().decode()
    return [line.split("\t")[2] for line in text.split("\r\n") if line]


def pairs_of(deps):
    rows = reviews(deps)[::97]
    questions = ["what is it about?", "", "Ünïcode 映画 — naïve [SEP] question", rows[0], " ".join(rows[1:9]), "film"]
    passages = rows[10:24] + [" ".join(rows[i : i + 12]) for i in (20, 30)] + ["", "a", "日本の映画", rows[0]]
    return [[question, passages] for question in questions]


def scores(directory, pairs, out):
    model = CrossEncoder(str(directory), device="cpu")
    given = [model.predict([(question, passage) for passage in passages], batch_size=7).tolist()
             for question, passages in pairs]
    pathlib.Path(out).write_text(json.dumps({"scores": given, "max_tokens": model.max_seq_length}))


def wordpiece(deps):
    return transformers.AutoTokenizer.from_pretrained(deps / "model")


def mpnet_tokenizer(deps):
    words = wordpiece(deps).get_vocab()
    words = ["<s>", "<pad>", "</s>", "<unk>"] + sorted(words, key=words.get) + ["<mask>"]
    return transformers.MPNetTokenizer(vocab={word: i for i, word in enumerate(words)})


def roberta_tokenizer(deps):
    """Byte pairs learned from the reviews."""
    learned = tokenizers.ByteLevelBPETokenizer()
    learned.train_from_iterator(reviews(deps)[:3000], vocab_size=1500,
                                special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], show_progress=False)
    model = json.loads(learned.to_str())["model"]
    return transformers.RobertaTokenizer(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]])


def save(path, config, tokenizer, change=None):
    """A transformers directory; `change` is done to its config.json."""
    torch.manual_seed(len(path.name))
    model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    for name, parameter in model.named_parameters():  # fresh biases of zero would hide a swap
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    if change:
        content = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps(content | change))
    return path


def trained(deps, path):
    """MiniLM with a head, a few steps on which review follows which."""
    torch.manual_seed(0)
    model = CrossEncoder(str(deps / "model"), num_labels=1, max_length=128, device="cpu")
    rows = reviews(deps)[::31]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    for step in range(8):
        texts = rows[step * 8 : step * 8 + 8]
        pairs = [(text[: len(text) // 2], other[len(other) // 2 :]) for text in texts[:4] for other in texts]
        labels = torch.tensor([float(a == b) for a in texts[:4] for b in texts])
        logits = model(model.preprocess(pairs))["scores"].view(-1)
        torch.nn.functional.binary_cross_entropy_with_logits(logits, labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save(str(path))


def make_models(deps, out):
    bert = transformers.BertConfig(vocab_size=30522, max_position_embeddings=64, **SIZES)
    words = wordpiece(deps)
    names = {"identity": "torch.nn.modules.linear.Identity", "tanh": "torch.nn.Tanh"}
    save(out / "bert", bert, words)
    save(out / "bert-v4", bert, words, {"sentence_transformers": {"activation_fn": names["identity"], "version": "4.1.0"}})
    save(out / "bert-v2", bert, words, {"sbert_ce_default_activation_function": names["identity"]})
    save(out / "bert-tanh", bert, words, {"sentence_transformers": {"activation_fn": names["tanh"]}})
    long = wordpiece(deps)
    long.model_max_length = 24
    save(out / "bert-short", bert, long, {"sentence_transformers": {"activation_fn": names["identity"]}})
    tokenizer = mpnet_tokenizer(deps)
    mpnet = transformers.MPNetConfig(vocab_size=len(tokenizer), max_position_embeddings=66, **SIZES)
    tokenizer.model_max_length = 64
    save(out / "mpnet", mpnet, tokenizer, {"sentence_transformers": {"activation_fn": names["identity"]}})
    tokenizer = roberta_tokenizer(deps)
    tokenizer.model_max_length = 62
    roberta = transformers.RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=64, type_vocab_size=1,
                                         pad_token_id=1, **SIZES)
    save(out / "roberta", roberta, tokenizer, {"sentence_transformers": {"activation_fn": names["identity"]}})
    # Version 6, as it saves.
    CrossEncoder(str(out / "mpnet"), device="cpu").save(str(out / "mpnet-v6"))
    CrossEncoder(str(out / "bert"), device="cpu", activation_fn=torch.nn.Identity(), max_length=40,
                 prompts={"ask": "is it about: "}).save(str(out / "bert-v6"))
    path = out / "bert-v6" / "config_sentence_transformers.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"default_prompt_name": "ask"}))
    trained(deps, out / "trained")


def make_losses(out):
    """Each loss class on a model that gives the numbers of a tensor: a pair names its place."""
    torch.manual_seed(4)
    fixed = {"logits": 3 * torch.randn(15), "targets": torch.rand(15).round(decimals=1),
             "grades": torch.randint(0, 4, (15,)).float(), "teacher": 2 * torch.randn(15)}
    results = dict(fixed)
    model = CrossEncoder(str(out / "bert"), device="cpu")
    model.preprocess = lambda pairs, **_: {"place": torch.tensor([int(place) for _, place in pairs])}
    places = [str(i) for i in range(15)]
    lists = [places[i : i + 3] for i in range(0, 15, 3)]
    grades = list(fixed["grades"].view(5, 3))
    columns = [[row[i] for row in lists] for i in range(3)]
    cases = {
        "bce": (losses.BinaryCrossEntropyLoss(model), ["q"] * 15, places, fixed["targets"]),
        "bce_weighted": (losses.BinaryCrossEntropyLoss(model, pos_weight=torch.tensor(2.5)), ["q"] * 15, places,
                         fixed["targets"]),
        "listnet": (losses.ListNetLoss(model), ["q"] * 5, lists, grades),
        "mse": (losses.MSELoss(model), ["q"] * 15, places, fixed["teacher"]),
        "margin": (losses.MarginMSELoss(model), ["q"] * 5, *columns, fixed["teacher"].view(5, 3)),
    }
    # Lists of different lengths: 1, 2, 3, 4 and 5.
    bounds = [0, 1, 3, 6, 10, 15]
    uneven = [slice(a, b) for a, b in zip(bounds, bounds[1:])]
    cases["listnet_uneven"] = (losses.ListNetLoss(model), ["q"] * 5, [places[s] for s in uneven],
                               [fixed["grades"][s] for s in uneven])
    for name, (loss, *columns, labels) in cases.items():
        logits = fixed["logits"].clone().requires_grad_()
        model.forward = lambda features: {"scores": logits[features["place"]].unsqueeze(1)}
        value = loss(columns, labels)
        value.backward()
        results |= {name: value.detach(), name + ".gradient": logits.grad}
    safetensors.torch.save_file(results, out / "losses.safetensors")


def make(deps, out):
    pairs = pairs_of(deps)
    (out / "pairs.json").write_text(json.dumps(pairs))
    make_models(deps, out)
    for path in sorted(out.iterdir()):
        if (path / "config.json").exists():
            scores(path, pairs, out / f"{path.name}.json")
    make_losses(out)


def main(command, *arguments):
    if command == "make":
        make(*map(pathlib.Path, arguments))
    else:
        pairs = json.loads(pathlib.Path(arguments[0]).read_text())
        for directory in arguments[1:]:
            scores(directory, pairs, directory + ".json")


main(*sys.argv[1:])
