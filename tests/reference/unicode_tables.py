"""Writes include/graft/text/detail/unicode_tables.hpp from the behaviour of Hugging Face's tokenizers.

Its Unicode tables come from several Rust crates of different ages, so no one version of the Unicode data reproduces them.
Each code point is therefore put through the library's own components. Run by hand, only when a new release of tokenizers
changes its tables; takes two minutes:

    .deps/peers/bin/python tests/reference/unicode_tables.py
"""

import pathlib
import struct
import unicodedata

import tokenizers
from tokenizers import normalizers, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
CODE_POINT_SET = set(CODE_POINTS)
SPACE = {*range(0x9, 0xE), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}


def bert(clean=False, chinese=False, strip=False, lower=False):
    normalizer = normalizers.BertNormalizer(
        clean_text=clean, handle_chinese_chars=chinese, strip_accents=strip, lowercase=lower)
    return normalizer.normalize_str


def pieces(pre_tokenizer, c):
    return [text for text, _ in pre_tokenizer.pre_tokenize_str("a" + chr(c) + "b")]


def measure():
    """-> sets of code points, and mappings code point -> code points."""
    nfd = normalizers.NFD().normalize_str
    clean, chinese, strip, lower = bert(clean=True), bert(chinese=True), bert(strip=True), bert(lower=True)
    bert_words, words = pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Whitespace()
    nfc = normalizers.NFC().normalize_str
    classes = {"letter": pre_tokenizers.Split(tokenizers.Regex(r"\p{L}"), "isolated"),
               "number": pre_tokenizers.Split(tokenizers.Regex(r"\p{N}"), "isolated"),
               "digit": pre_tokenizers.Digits(individual_digits=True)}
    nfkd, accents = normalizers.NFKD().normalize_str, normalizers.StripAccents().normalize_str
    table = {name: set() for name in ("control", "chinese", "mark", "punctuation", "word", *classes, "uncomposed", "accent")}
    decomposition, lower_case, combining, compatible = {}, {}, {}, {}

    references = {1: 0x334}  # combining class -> a code point that the library, too, takes for a combining one
    for c in CODE_POINTS:
        k = unicodedata.combining(chr(c))
        if k and k not in references and nfd("a" + chr(c) + "\u0334") == "a\u0334" + chr(c):
            references[k] = c

    def class_of(c):
        # The sort is stable: `c` moves behind a mark of a smaller class, and only then.
        for k in sorted(references):
            mark = chr(references[k])
            if nfd("a" + chr(c) + mark) == "a" + chr(c) + mark:
                return k
        raise SystemExit(f"U+{c:04X} has a combining class that Python does not know")

    lowest, highest = chr(references[min(references)]), chr(references[max(references)])
    for c in CODE_POINTS:
        s = chr(c)
        if clean("a" + s + "b") == "ab":
            table["control"].add(c)
        elif clean("a" + s + "b") != ("a b" if c in SPACE else "a" + s + "b"):
            raise SystemExit(f"U+{c:04X}: unexpected clean_text")
        if chinese(s) != s:
            table["chinese"].add(c)
        for name, pre_tokenizer in classes.items():
            if len(pre_tokenizer.pre_tokenize_str("\x01" + s + "\x01")) > 1:
                table[name].add(c)
        if nfc(s) != s:
            table["uncomposed"].add(c)
        if accents(s) == "":
            table["accent"].add(c)
        decomposed = nfd(s)
        if nfkd(s) != decomposed:
            compatible[c] = [ord(d) for d in nfkd(s)]
        if decomposed != s:
            decomposition[c] = [ord(d) for d in decomposed]
        elif strip("a" + s + "b") == "ab":
            table["mark"].add(c)
        if lower(s) != s:
            lower_case[c] = [ord(d) for d in lower(s)]
        got = pieces(bert_words, c)
        if got == ["a", s, "b"]:
            table["punctuation"].add(c)
        elif got != (["a", "b"] if c in SPACE else ["a" + s + "b"]):
            raise SystemExit(f"U+{c:04X}: unexpected pre-tokenization {got}")
        if pieces(words, c) == ["a" + s + "b"]:
            table["word"].add(c)
        if decomposed == s:
            behind = nfd("a" + s + lowest) != "a" + s + lowest
            ahead = nfd("a" + highest + s) != "a" + highest + s
            if behind or ahead:
                combining[c] = class_of(c)
    return table, combining, decomposition, lower_case, compatible


def charsmap(rules):
    """Rules of a Precompiled normalizer, text -> text: a double array with a block of 256 units a node, then the texts."""
    children, values, texts = [{}], [None], b""
    for key, text in rules.items():
        node = 0
        for byte in key.encode():
            if byte not in children[node]:
                children[node][byte] = len(children)
                children.append({})
                values.append(None)
            node = children[node][byte]
        values[node] = len(texts)
        texts += text.encode() + b"\0"
    units = [0] * (256 * (len(children) + 1))
    units[0] = 256 << 10
    for node, links in enumerate(children):
        base = 256 * (node + 1)
        for byte, child in links.items():
            units[base | byte] = ((base | byte) ^ 256 * (child + 1)) << 10 | (values[child] is not None) << 8 | byte
        if values[node] is not None:
            units[base] = 1 << 31 | values[node]
    return struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + texts


def measure_clusters():
    """-> the code points that stay with the one before, with the one behind, and with no other."""
    def normalizer(keys):
        return normalizers.Precompiled(charsmap(dict.fromkeys(keys, "X"))).normalize_str

    behind_a = normalizer("a")
    table = {"extending": {c for c in CODE_POINTS if c != 0x61 and behind_a("a" + chr(c)) == "X"}, "prepended": set(), "unjoined": set()}
    for begin in range(0, 0x110000, 64):
        block = [c for c in range(begin, begin + 64) if c in CODE_POINT_SET and c not in (0, 0x61)]
        if not block:
            continue
        normalize = normalizer(map(chr, block))
        table["prepended"] |= {c for c in block if normalize(chr(c) + "a") == "X"}
        if begin < 0x10000:  # of six bytes no cluster is looked up whole
            table["unjoined"] |= {c for c in block if normalize(chr(c) + "\u0301") != "X"}
    table["unjoined"].add(0)
    return table


def measure_scripts():
    """-> code point -> number of its script; 0 for what joins every one."""
    pieces_of = pre_tokenizers.UnicodeScripts().pre_tokenize_str
    known, scripts, last = [], {}, None
    for c in CODE_POINTS:
        s = chr(c)
        if len(pieces_of("a" + s)) == len(pieces_of("\u4e00" + s)) == 1:
            scripts[c] = 0
            continue
        joins = lambda k: len(pieces_of(chr(known[k - 1]) + s)) == 1
        if last is None or not joins(last):
            last = next((k for k in range(1, len(known) + 1) if joins(k)), None)
            if last is None:
                known.append(c)
                last = len(known)
        scripts[c] = last
    return scripts


def runs(codes):
    """Sorted (first, last, value) of a mapping code point -> value."""
    out = []
    for c in sorted(codes):
        if out and out[-1][1] == c - 1 and out[-1][2] == codes[c]:
            out[-1] = (out[-1][0], c, codes[c])
        else:
            out.append((c, c, codes[c]))
    return out


def lines(items, indent="    "):
    text, line = [], indent
    for item in items:
        if len(line) + len(item) + 2 > 119:
            text.append(line.rstrip())
            line = indent
        line += item + ", "
    return "\n".join(text + [line.rstrip()])


def array(comment, kind, name, items):
    return f"/// {comment}\ninline constexpr {kind} {name}[] = {{\n{lines(items)}\n}};\n"


def stepped(mapping):
    """Sorted (first, last, step, to): of first, first + step, ... last each turns into what stands as far behind `to`."""
    out = []
    for c, to in sorted(mapping.items()):
        if out:
            first, last, step, start = out[-1]
            if to - start == c - first and c - last in ((1, 2) if first == last else (step,)):
                out[-1] = (first, c, c - last, start)
                continue
        out.append((c, c, 1, to))
    return out


def pairs_of(decomposition):
    """A decomposition of several parts as two: what all but the last compose to, and the last."""
    whole = {tuple(parts): c for c, parts in decomposition.items()}
    out = {}
    for c, parts in decomposition.items():
        if len(parts) == 1:
            continue
        first = normalizers.NFC().normalize_str("".join(map(chr, parts[:-1])))
        first = ord(first) if len(first) == 1 else whole[tuple(parts[:-1])]  # the latter for what NFC takes apart
        if decomposition.get(first, [first]) != parts[:-1]:
            raise SystemExit(f"U+{c:04X}: not the decomposition of a pair")
        out[c] = (first, parts[-1])
    return out


def main():
    table, combining, decomposition, lower_case, compatible = measure()
    table |= measure_clusters()
    scripts = measure_scripts()
    decomposition = {c: d for c, d in decomposition.items() if not 0xAC00 <= c <= 0xD7A3}  # Hangul is arithmetic
    if not table["letter"] | table["mark"] <= table["word"] or not table["number"] <= table["digit"]:
        raise SystemExit("a letter or mark is no word character, or a number no digit")
    table["word"] -= table["letter"] | table["mark"]
    table["digit"] -= table["number"]
    if not table["mark"] <= table["accent"]:
        raise SystemExit("a nonspacing mark is no accent")
    table["accent"] -= table["mark"]
    if {c: to for c, to in lower_case.items() if len(to) > 1} != {0x130: [0x69, 0x307]}:
        raise SystemExit("another lower case than that of U+0130 is of several characters")
    lower_case = {c: to[0] for c, to in lower_case.items() if len(to) == 1}
    single = {c: to[0] for c, to in decomposition.items() if len(to) == 1}
    spans, at = [], 0
    for first, last, _ in runs({c: 1 for c in single}):
        spans.append((first, last, at))
        at += last - first + 1
    comments = {
        "control": "Deleted by clean_text.",
        "chinese": "Isolated by handle_chinese_chars.",
        "mark": "Nonspacing marks, deleted by strip_accents.",
        "punctuation": "Isolated by BertPreTokenizer.",
        "word": r"Beside letters and nonspacing marks, \w of a regular expression.",
        "letter": r"\p{L} of a regular expression.",
        "number": r"\p{N} of a regular expression.",
        "digit": "Beside numbers, isolated by Digits: newer ones.",
        "uncomposed": "Changed by NFC.",
        "accent": "Beside nonspacing marks, deleted by StripAccents.",
        "extending": "Stay in a grapheme cluster with what stands before them.",
        "prepended": "Stay in a grapheme cluster with what stands behind them.",
        "unjoined": "Below U+10000, are a grapheme cluster of their own.",
    }
    parts = []
    for name, comment in comments.items():
        parts.append(array(comment, "CodePointRange", f"{name}_ranges",
                           [f"{{0x{a:X}, 0x{b:X}}}" for a, b, _ in runs({c: 1 for c in table[name]})]))
    parts.append(array("Canonical combining classes other than 0.", "CombiningRange", "combining_ranges",
                       [f"{{0x{a:X}, 0x{b:X}, {k}}}" for a, b, k in runs(combining)]))
    parts.append(array("Canonical decompositions of several characters: two, of which the first may be decomposed again.",
                       "DecomposedPair", "decomposed_pairs",
                       [f"{{0x{c:X}, 0x{a:X}, 0x{b:X}}}" for c, (a, b) in sorted(pairs_of(decomposition).items())]))
    parts.append(array("Canonical decompositions of one character, which is final.", "DecomposedRange",
                       "decomposed_ranges", [f"{{0x{a:X}, 0x{b:X}, {at}}}" for a, b, at in spans]))
    parts.append(array("What those turn into.", "std::uint32_t", "decomposed_to",
                       [f"0x{to:X}" for _, to in sorted(single.items())]))
    spans, flat = [], []
    for first, last, length in runs({c: len(to) for c, to in compatible.items()}):
        spans.append(f"{{0x{first:X}, 0x{last:X}, {len(flat)}, {length}}}")
        flat += [f"0x{part:X}" for c in range(first, last + 1) for part in compatible[c]]
    parts.append(array("Compatibility decompositions that are no canonical ones; all are final.", "CompatibleRange",
                       "compatible_ranges", spans))
    parts.append(array("What those turn into.", "std::uint32_t", "compatible_to", flat))
    parts.append(array("Scripts that UnicodeScripts tells apart, by numbers; 0 joins all. What is not listed has number 1.",
                       "ScriptRange", "script_ranges", [f"{{0x{a:X}, 0x{b:X}, {k}}}" for a, b, k in runs(scripts) if k != 1]))
    parts.append(array("Lower case, but for U+0130, which turns into two characters.", "LowerCaseRange", "lower_case_ranges",
                       [f"{{0x{a:X}, 0x{b:X}, {step}, 0x{to:X}}}" for a, b, step, to in stepped(lower_case)]))
    body = "\n".join(parts)
    header = f"""#pragma once

#include <cstdint>

// Generated by tests/reference/unicode_tables.py from tokenizers {tokenizers.__version__}; do not edit.
// clang-format off

namespace graft::detail {{

struct CodePointRange {{
  std::uint32_t first, last;
}};

struct CombiningRange {{
  std::uint32_t first, last, combining_class;
}};

struct DecomposedPair {{
  std::uint32_t from, first, second;
}};

/// first turns into decomposed_to[at], first + 1 into the next, and so on.
struct DecomposedRange {{
  std::uint32_t first, last, at;
}};

/// first turns into `length` code points from compatible_to[at] on, first + 1 into the next so many, and so on.
struct CompatibleRange {{
  std::uint32_t first, last, at, length;
}};

struct ScriptRange {{
  std::uint32_t first, last, script;
}};

/// first turns into `to`, first + step into to + step, and so on.
struct LowerCaseRange {{
  std::uint32_t first, last, step, to;
}};

{body}
}}  // namespace graft::detail
"""
    target = pathlib.Path(__file__).parents[2] / "include/graft/text/detail/unicode_tables.hpp"
    target.write_text(header)
    print({name: len(codes) for name, codes in table.items()}, len(combining), len(decomposition), len(lower_case))


if __name__ == "__main__":
    main()
