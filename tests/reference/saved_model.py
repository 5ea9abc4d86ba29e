"""Opens a model's directory that graft wrote as transformers' users do: saved_model.py DIRECTORY GIVEN DEPS OUT

GIVEN: a safetensors file with prompt.<n> (ids), continuation.<n> (graft's likeliest ids) and logits.<n> [T, V] of prompt
and continuation together. Fails where logits differ by more than 1e-4 of the largest, or generate() writes other ids.
OUT/tokens.texts, OUT/tokens.tokens: what the tokenizer makes of many texts, laid out as in tokenizer_parity.py.
OUT/decoded.texts: what the ids decode to. OUT/info.json: special tokens, chat template and limits as transformers has them.
"""
import json
import pathlib
import random
import sys

import torch
import transformers
from safetensors.torch import load_file

from bpe_parity import mixed_text
from tokenizer_parity import random_text, reviews, write_texts, write_tokens

RANDOM_TEXTS = 4_000


def check_model(directory, tensors):
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    prompts = sum(name.startswith("prompt.") for name in tensors)
    assert prompts
    for n in range(prompts):
        prompt, continuation = tensors[f"prompt.{n}"].long(), tensors[f"continuation.{n}"].long()
        with torch.no_grad():
            theirs = model(torch.cat([prompt, continuation])[None]).logits[0]
            written = model.generate(prompt[None], attention_mask=torch.ones_like(prompt[None]), do_sample=False,
                                     max_new_tokens=len(continuation))[0][len(prompt):]
        error = float((tensors[f"logits.{n}"] - theirs).abs().max() / theirs.abs().max())
        assert error <= 1e-4, f"prompt {n}: logits differ by {error:.3g}"
        assert written.tolist() == continuation.tolist(), f"prompt {n}: {written.tolist()}, not {continuation.tolist()}"
        print(f"prompt {n}: logits within {error:.2g}, {len(continuation)} tokens equal")
    return model.generation_config


def main(directory, given, dependencies, out):
    out = pathlib.Path(out)
    generation = check_model(directory, load_file(given))
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    rng = random.Random(11)
    texts = reviews(pathlib.Path(dependencies) / "reviews")[::5]
    texts += [(mixed_text if i % 2 else random_text)(rng) for i in range(RANDOM_TEXTS)]
    encodings = tokenizer.backend_tokenizer.encode_batch(texts)
    assert [encoding.ids for encoding in encodings[::50]] == tokenizer(texts[::50])["input_ids"]
    write_texts(out / "tokens.texts", texts)
    write_tokens(out / "tokens.tokens", texts, encodings)
    write_texts(out / "decoded.texts",
                [tokenizer.decode(encoding.ids, skip_special_tokens=True) for encoding in encodings])
    info = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "unk_token_id", "pad_token_id",
                                                        "chat_template", "model_max_length")}
    info |= {"size": len(tokenizer), "class": type(tokenizer).__name__, "generation_eos": generation.eos_token_id,
             "generation_bos": generation.bos_token_id}
    (out / "info.json").write_text(json.dumps(info))


if __name__ == "__main__":
    main(*sys.argv[1:])
