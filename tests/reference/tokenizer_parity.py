"""What Hugging Face's tokenizers make of many texts: python tokenizer_parity.py DEPS OUT

OUT/<name>/tokenizer.json     the tokenizers: cased, uncased (MiniLM's own), and the sixteen settings of BERT's normalizer
                              (mixed_0 ... mixed_15) over a vocabulary in which every character is a token of its own,
                              with added tokens of all kinds
OUT/<texts>.texts             count, then the length of each text in bytes, then the texts
OUT/<texts>.<name>.tokens     count, then tokens of each text, then all ids, all byte offsets (begin, end)
OUT/<texts>.<name>.normal     the texts in normal form, as *.texts
OUT/reviews.decoded           what the ids of the reviews decode to, as *.texts

All numbers are little-endian 32-bit. <texts>: reviews, scalars ("a" c "b" for each Unicode scalar value c), random,
and pairs, whose texts are first, second, first, second ... truncated to the lengths 3, 4, ... 22 in turn.
"""

import itertools
import json
import pathlib
import random
import sys

import numpy as np
import tokenizers

RANDOM_TEXTS, PAIRS = 100_000, 4_000
ADDED = [  # content, single_word, lstrip, rstrip, normalized, special
    ("<L>", False, True, False, False, True), ("<R>", False, False, True, False, True),
    ("<LR>", False, True, True, False, False), ("<S>", True, False, False, False, False),
    ("[MASK]", False, True, False, False, True), (" <SP>", False, False, False, False, False),
    ("Straße", False, False, False, True, False), ("ÉTÉ", True, False, False, True, False),
    ("ete y", False, False, False, True, True), ("été x", False, True, True, True, False),
    ("中", False, True, False, True, False), ("abc", False, False, False, True, False),
    ("abcd", False, False, False, False, False), ("İ", False, False, True, True, False),
    ("q\u302e", False, False, False, True, False), ("...", True, True, True, True, False),
]
MARKS = "\u0300\u0301\u0307\u0308\u0327\u0328\u0331\u0334\u0345\u05b0\u064b\u0670\u093c\u094d\u0e38\u0f71\u0f72\u0f74" \
        "\u302a\u302e\u302f\u3099\u1ab0\u1abf\u1dce\u0f73\u0344\u0340\u0903\u0bbe\u09d7\ufe0f\u20dd\u08e3\u07fd\u0898" \
        "\U0001d165\U0001d166\U0001d16d\U0001d16e\U0001e130\U00011c3f\U00016ff0\U0001d15e\U0001d160\U0001d1bb"
CONTROLS = "\x00\x01\t\n\r\x0b\x0c\x1c\x1f\x7f\x85\xa0\xad\u1680\u2000\u2007\u200b\u200c\u200d\u200e\u2028\u2029\u202f" \
           "\u205f\u2060\u3000\ufeff\ufffd\ufffe\ue000\U000f0000\U0010ffff\u0600\u06dd\u070f\u180e\U000110cd\U000e0001"
LETTERS = "aAbBcCdDxXqQzZéÉñÅåİıßẞſΣσςΩωϓДдЖжїאבגابتहिกขあアガがｱガ中国語龥㐀豈𠀀𪜀𫝀𫠠𫤟𬺯가각힣각ﬁﬃ½①ǅǆḍ̇ộ한Ａａ𝔸𝒳🙂👩🏽👍\u0622\u0958" \
          "\u0dde\u1e9b\u212b\u2126\u2adc\ufb1d\u1f82\u0390\u01d5\U00011099\U0001d160"
PUNCTUATION = ".,;:!?'\"()[]<>{}#$%&*+-/=@\\^_`|~¡§«»¿‐—…‹›。、「」・！？｡\u166d\u2e52\u2e43\U000111c9\u20ac\u00d7\u061d\u05be"
WORDS = "a the movie isn't unaffable naïve façade Ångström İstanbul ΟΔΟΣ straße été ÉTÉ ete xyz 1234 don't ##ing a_b".split()
POOLS = [MARKS, CONTROLS, LETTERS, PUNCTUATION]


def random_scalar(rng):
    limit = rng.choice([0x80, 0x800, 0x3000, 0x10000, 0x20000, 0x110000])
    c = rng.randrange(limit)
    return "?" if 0xD800 <= c < 0xE000 else chr(c)


def random_text(rng):
    parts = []
    for _ in range(rng.randrange(1, 9)):
        kind = rng.randrange(9)
        if kind == 0:
            parts.append(rng.choice(WORDS))
        elif kind == 1:
            parts.append(rng.choice(ADDED)[0])
        elif kind == 2:  # a piece of an added token, or one in another case
            content = rng.choice(ADDED)[0]
            cut = rng.randrange(len(content) + 1)
            parts.append(rng.choice([content[:cut], content[cut:], content.lower(), content.upper()]))
        elif kind == 3:
            parts.append(rng.choice(["[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]", "[mask]", "[MASK"]))
        elif kind == 4:
            parts.append("".join(random_scalar(rng) for _ in range(rng.randrange(1, 5))))
        elif kind == 5:
            parts.append(rng.choice(LETTERS) + "".join(rng.choice(MARKS) for _ in range(rng.randrange(1, 6))))
        else:
            pool = rng.choice(POOLS)
            parts.append("".join(rng.choice(pool) for _ in range(rng.randrange(1, 7))))
        if rng.random() < 0.5:
            parts.append(rng.choice([" ", " ", "  ", "\t", "\u3000"]))
    return "".join(parts)


def normalizer(setting):
    clean, chinese, strip, lower = (bool(setting >> bit & 1) for bit in range(4))
    return {"type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": chinese, "strip_accents": strip,
            "lowercase": lower}


def write_numbers(path, *arrays):
    with open(path, "wb") as file:
        for array in arrays:
            np.asarray(array, dtype="<u4").tofile(file)


def write_texts(path, texts):
    encoded = [text.encode() for text in texts]
    with open(path, "wb") as file:
        np.array([len(encoded), *map(len, encoded)], dtype="<u4").tofile(file)
        file.write(b"".join(encoded))


def byte_positions(text):
    """Of each character and of the end."""
    return range(len(text) + 1) if text.isascii() else [0, *itertools.accumulate(len(c.encode()) for c in text)]


def write_tokens(path, texts, encodings):
    """`texts[i]` is what the offsets of encodings[i] count in: a function of the token's sequence."""
    counts, ids, offsets = [], [], []
    for text, encoding in zip(texts, encodings):
        counts.append(len(encoding.ids))
        ids.extend(encoding.ids)
        if isinstance(text, str):
            at = byte_positions(text)
            for begin, end in encoding.offsets:
                offsets.append(at[begin])
                offsets.append(at[end])
        else:
            positions = [byte_positions(part) for part in text]
            for (begin, end), sequence in zip(encoding.offsets, encoding.sequence_ids):
                at = positions[sequence or 0]
                offsets.append(at[begin])
                offsets.append(at[end])
    write_numbers(path, [len(counts)], counts, ids, offsets)


def in_parts(tokenizer, texts):
    """Encodings of many texts without holding all of them."""
    for begin in range(0, len(texts), 20_000):
        yield from tokenizer.encode_batch(texts[begin:begin + 20_000])


def reviews(directory):
    texts = []
    for name in ("movieReviewSnippets_GroundTruth.txt", "amazonReviewSnippets_GroundTruth.txt"):
        rows = (directory / name).read_bytes().decode("utf-8").split("\n")
        texts += [row.rstrip("\r").split("\t")[2] for row in rows if row]
    return texts


def main():
    dependencies, out = map(pathlib.Path, sys.argv[1:])
    loaded = {}

    def save(name, settings):
        (out / name).mkdir(parents=True, exist_ok=True)
        (out / name / "tokenizer.json").write_text(json.dumps(settings))
        loaded[name] = tokenizers.Tokenizer.from_file(str(out / name / "tokenizer.json"))

    settings = json.loads((dependencies / "model/tokenizer.json").read_text())
    settings["truncation"] = settings["padding"] = None
    save("uncased", settings)
    settings["normalizer"] = normalizer(0b0011)
    save("cased", settings)

    rng = random.Random(7)
    random_texts = [random_text(rng) for _ in range(RANDOM_TEXTS)]
    for name, texts in (("reviews", reviews(dependencies / "reviews")), ("random", random_texts)):
        write_texts(out / f"{name}.texts", texts)
        for tokenizer in ("uncased", "cased"):
            encodings = list(in_parts(loaded[tokenizer], texts))
            write_tokens(out / f"{name}.{tokenizer}.tokens", texts, encodings)
            if name == "reviews" and tokenizer == "uncased":
                write_texts(out / "reviews.decoded", loaded[tokenizer].decode_batch([e.ids for e in encodings]))

    scalars = [f"a{chr(c)}b" for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for name in ("uncased", "cased"):
        write_tokens(out / f"scalars.{name}.tokens", scalars, in_parts(loaded[name], scalars))
        write_texts(out / f"scalars.{name}.normal", map(loaded[name].normalizer.normalize_str, scalars))

    characters = sorted({c for text in random_texts for s in range(16) if s in (0, 4, 8, 12)
                         for c in tokenizers.normalizers.BertNormalizer(False, False, bool(s & 4), bool(s & 8))
                         .normalize_str(text)} - {" "})
    for setting in range(16):
        vocabulary = ["[UNK]", "[CLS]", "[SEP]", *characters, *("##" + c for c in characters)]
        vocabulary = {token: i for i, token in enumerate(dict.fromkeys(vocabulary))}
        settings["model"]["vocab"] = vocabulary
        settings["normalizer"] = normalizer(setting)
        settings["added_tokens"] = []
        for content, single_word, lstrip, rstrip, normalized, special in ADDED:
            identity = vocabulary.get(content, len(vocabulary) + sum(
                token["id"] >= len(vocabulary) for token in settings["added_tokens"]))
            settings["added_tokens"].append({
                "id": identity, "content": content, "single_word": single_word, "lstrip": lstrip, "rstrip": rstrip,
                "normalized": normalized, "special": special})
        specials = settings["post_processor"]["special_tokens"]
        for token in ("[CLS]", "[SEP]"):
            specials[token]["ids"] = [vocabulary[token]]
        name = f"mixed_{setting}"
        save(name, settings)
        part = random_texts[setting::16]
        write_tokens(out / f"random.{name}.tokens", part, loaded[name].encode_batch(part))
        write_texts(out / f"random.{name}.normal", map(loaded[name].normalizer.normalize_str, part))

    firsts, seconds = random_texts[:PAIRS], random_texts[PAIRS:2 * PAIRS]
    write_texts(out / "pairs.texts", itertools.chain.from_iterable(zip(firsts, seconds)))
    for name, direction in (("right", "right"), ("left", "left")):
        encodings = []
        for i, pair in enumerate(zip(firsts, seconds)):
            loaded["uncased"].enable_truncation(3 + i % 20, direction=direction)
            encodings.append(loaded["uncased"].encode(*pair))
        write_tokens(out / f"pairs.{name}.tokens", list(zip(firsts, seconds)), encodings)


if __name__ == "__main__":
    main()
