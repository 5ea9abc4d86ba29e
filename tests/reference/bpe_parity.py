"""What Hugging Face's tokenizers make of many texts with byte-pair encoding: python bpe_parity.py DEPS OUT

OUT/<name>/tokenizer.json       tokenizers trained here on a quarter of the reviews, in the styles of GPT-2, Llama 3, Qwen, SmolLM2, Llama 2
                                (old and new) and Gemma
OUT/random.texts, reviews.texts the texts; OUT/smollm2.texts: those without the bytes that SmolLM2's vocabulary lacks
OUT/<texts>.<name>.tokens       what encode gives; smollm2 is the tokenizer that transformers finds in the GGUF file
OUT/random.<name>.plain.tokens  the same with special tokens taken for text (encode_special_tokens)
OUT/<name>.ids                  lists of random ids: count, lengths, ids; OUT/<name>.decoded: what they decode to
OUT/normal.nfc                  the random texts in normal form C
OUT/chat.json                   conversations and the ids that the chat template in SmolLM2's file makes of them

The files are laid out as in tokenizer_parity.py.
"""

import json
import pathlib
import random
import sys

import transformers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tokenizer_parity import random_text, reviews, write_numbers, write_texts, write_tokens

RANDOM_TEXTS, ID_LISTS = 12_000, 1_000
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
PIECES = ["'s", "'S", "'ſ", "'LL", "'re", "'Ve", "'d", "'", "''s", "1", "22", "333", "4444", "55555", "٣٤", "½", "²", "Ⅷ", "\n",
          "\r\n", "\n\n", "\r", " ", "  ", "   ", "\t", "\u00a0", "\u3000", "\u2028", "\x85", "word", "Word", "naïve", "don't",
          "x", "$", "...", "!?", "_", "你好", "é", "e\u0301", "가", "\u1100\u1161\u11a8", "👩\u200d🏽", "\U000105c0",
          "\U00011de3", "\U00016ff4", "<|im_end|>", "<|im_start|>", "<s>", "</s>", "<0x0A>", "▁", "▁▁", "Ġ", "<|im_end|", "\n\n\n",
          "\u212b", "\u0344", "a\u0323\u0301", "\u0958", "\ufb1d", "\u0d46\u0d3e", "\ufeff", "\0", "\x7f"]


def mixed_text(rng):
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(1, 12)))


def trained(texts, pre_tokenizer, special, alphabet=(), limit=1000):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = trainers.BpeTrainer(vocab_size=3000, special_tokens=special, initial_alphabet=list(alphabet),
                                  limit_alphabet=limit, show_progress=False, max_token_length=16)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def byte_level(texts, pre_tokenizer, normalizer=None):
    tokenizer = trained(texts, pre_tokenizer, SPECIAL, pre_tokenizers.ByteLevel.alphabet())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def sentencepiece(texts):
    """The model alone, trained on words."""
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    settings = json.loads(trained(texts, pre_tokenizers.Metaspace(), special, limit=80).to_str())
    settings["added_tokens"] = settings["added_tokens"][:3]
    settings["model"] |= {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
    return json.dumps(settings)


def sentencepiece_style(model, normalizer, pre_tokenizer, strip):
    tokenizer = Tokenizer.from_str(model)
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    else:
        tokenizer = Tokenizer.from_str(json.dumps(json.loads(tokenizer.to_str()) | {"pre_tokenizer": None}))
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(steps + [decoders.Strip(" ", 1, 0)] * strip)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)])
    return tokenizer


def with_model(tokenizer, **settings):
    state = json.loads(tokenizer.to_str())
    state["model"] |= settings
    return Tokenizer.from_str(json.dumps(state))


def tokenizers_of(texts):
    isolated = lambda regex: pre_tokenizers.Split(Regex(regex), "isolated")
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    gpt2 = byte_level(texts, pre_tokenizers.ByteLevel(add_prefix_space=False))
    gpt2.post_processor = processors.ByteLevel(trim_offsets=False)
    trimmed = Tokenizer.from_str(gpt2.to_str())
    trimmed.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trimmed.post_processor = processors.ByteLevel(trim_offsets=True, add_prefix_space=True)
    llama3 = byte_level(texts, pre_tokenizers.Sequence([isolated(LLAMA3), plain]))
    llama3.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|endoftext|> $A", pair="<|endoftext|> $A <|endoftext|>:1 $B:1",
                                      special_tokens=[("<|endoftext|>", 0)])])
    # The merges of a tenth of the vocabulary are taken away: with ignore_merges its words are tokens all the same.
    merges = json.loads(llama3.to_str())["model"]["merges"]
    smollm = byte_level(texts, pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]))
    space = normalizers.Replace(" ", "▁")
    model = sentencepiece(texts)
    few_bytes = sentencepiece_style(model, space, None, False)
    return {
        "gpt2": gpt2,
        "trimmed": trimmed,
        "llama3": llama3,
        "whole_words": with_model(llama3, ignore_merges=True, merges=[m for i, m in enumerate(merges) if i % 10 < 9]),
        "qwen2": byte_level(texts, pre_tokenizers.Sequence([isolated(QWEN2), plain]), normalizers.NFC()),
        "smollm": smollm,
        "llama2": sentencepiece_style(model, normalizers.Sequence([normalizers.Prepend("▁"), space]), None, True),
        "llama2_new": sentencepiece_style(model, None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False), True),
        "metaspace": sentencepiece_style(model, None, pre_tokenizers.Metaspace(prepend_scheme="always", split=True), True),
        "gemma": sentencepiece_style(model, space, pre_tokenizers.Split(" ", "merged_with_previous"), False),
        "unknown": with_model(few_bytes, byte_fallback=False),
        "unfused": with_model(few_bytes, byte_fallback=False, fuse_unk=False),
    }


def smollm2(dependencies):
    """transformers does not know the pre-tokenizer's name; SmolLM2's own is put in its place."""
    (path,) = (dependencies / "smollm2").glob("*.gguf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return tokenizer


def chats(rng, tokenizer, texts):
    out = []
    for i in range(300):
        roles = ["system"] * (i % 3 == 0) + ["user", "assistant"] * rng.randrange(3) + ["user"]
        messages = [{"role": role, "content": rng.choice(texts)} for role in roles]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=i % 2 == 0)
        ids = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
        out.append({"messages": messages, "answer": i % 2 == 0, "ids": ids})
    return out


def main():
    dependencies, out = map(pathlib.Path, sys.argv[1:])
    rng = random.Random(11)
    review_texts = reviews(dependencies / "reviews")[::4]
    texts = [random_text(rng) if i % 2 else mixed_text(rng) for i in range(RANDOM_TEXTS)]
    write_texts(out / "reviews.texts", review_texts)
    write_texts(out / "random.texts", texts)
    write_texts(out / "normal.nfc", map(normalizers.NFC().normalize_str, texts))
    loaded = tokenizers_of(review_texts)
    for name, tokenizer in loaded.items():
        (out / name).mkdir(parents=True, exist_ok=True)
        (out / name / "tokenizer.json").write_text(tokenizer.to_str())
    chat_model = smollm2(dependencies)
    loaded["smollm2"] = chat_model.backend_tokenizer
    lacking = {c for c in pre_tokenizers.ByteLevel.alphabet() if loaded["smollm2"].token_to_id(c) is None}
    spelled = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    whole = [text for text in texts
             if not any(c in lacking for piece, _ in spelled.pre_tokenize_str(text) for c in piece)]
    write_texts(out / "smollm2.texts", whole)
    special = [token.content for token in loaded["smollm2"].get_added_tokens_decoder().values()]
    harmless = [text for text in whole if not any(token in text for token in special)]
    (out / "chat.json").write_text(json.dumps(chats(rng, chat_model, harmless)))
    for name, tokenizer in loaded.items():
        own = "smollm2" if name == "smollm2" else "random"
        own_texts = whole if name == "smollm2" else texts
        write_tokens(out / f"reviews.{name}.tokens", review_texts, tokenizer.encode_batch(review_texts))
        write_tokens(out / f"{own}.{name}.tokens", own_texts, tokenizer.encode_batch(own_texts))
        tokenizer.encode_special_tokens = True
        write_tokens(out / f"{own}.{name}.plain.tokens", own_texts, tokenizer.encode_batch(own_texts))
        lists = [[rng.randrange(min(tokenizer.get_vocab_size(), 3000) if i % 2 else 300)
                  for _ in range(rng.randrange(1, 20))] for i in range(ID_LISTS)]
        write_numbers(out / f"{name}.ids", [len(lists)], list(map(len, lists)), [i for ids in lists for i in ids])
        write_texts(out / f"{name}.decoded", tokenizer.decode_batch(lists, skip_special_tokens=False))


if __name__ == "__main__":
    main()
