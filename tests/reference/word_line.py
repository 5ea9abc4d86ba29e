"""The rule of graft/retrieval/word_line.hpp by Python's Unicode tables, on made-up text: python word_line.py OUT

OUT: JSON objects, a line each: "text" and "line". Only characters of Unicode 14, which Python 3.11 knows, and none with
iota subscript: NFKC_Casefold makes a letter of that mark where it stands, Python's casefold where its order puts it.
"""

import json
import random
import sys
import unicodedata

BLOCKS = [(0x20, 0x7E)] * 6 + [(0xA0, 0x24F)] * 3 + [
    (0x250, 0x36F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x531, 0x58F), (0x591, 0x5F4), (0x600, 0x6FF), (0x900, 0x97F),
    (0x980, 0x9FF), (0xE01, 0xE5B), (0xE01, 0xE5B), (0xE81, 0xEDF), (0xF00, 0xFBC), (0x1000, 0x109F), (0x10A0, 0x10FF), (0x1100, 0x11FF),
    (0x1780, 0x17F9), (0x1E00, 0x1FFE), (0x2000, 0x206F), (0x2070, 0x209C), (0x20D0, 0x20F0), (0x2100, 0x218B), (0x2460, 0x24FF),
    (0x3000, 0x30FF), (0x3000, 0x30FF), (0x3131, 0x318E), (0x3200, 0x33FF), (0x4E00, 0x4E40), (0x4E00, 0x9FFF), (0xA000, 0xA040),
    (0xAC00, 0xAC40), (0xAC00, 0xD7A3), (0xF900, 0xFAD9), (0xFB00, 0xFDFD), (0xFE00, 0xFE6B), (0xFF01, 0xFFDC), (0x1D400, 0x1D7FF),
    (0x1F300, 0x1F64F), (0x20000, 0x20100)]
WITHOUT_BLANKS = [
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1100, 0x11FF), (0x1780, 0x17FF), (0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x31BF),
    (0x3400, 0x4DBF), (0x4E00, 0xA4CF), (0xA960, 0xA97F), (0xA9E0, 0xA9FF), (0xAA60, 0xAADF), (0xAC00, 0xD7FF), (0xF900, 0xFAFF),
    (0xFF66, 0xFFDC), (0x20000, 0x3FFFD)]
IGNORED = [(0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x200B, 0x200F), (0x202A, 0x202E),
           (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0)]


def within(c, ranges):
    return any(first <= ord(c) <= last for first, last in ranges)


def folded(text):
    """NFKC_Casefold but for the composition: fold and decompose until nothing changes."""
    while True:
        new = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
        if new == text:
            return "".join(c for c in text if not within(c, IGNORED))
        text = new


def words_of(text):
    words, word, paired = [], "", False

    def flush():
        nonlocal word
        composed = unicodedata.normalize("NFC", word)
        letters = []
        for c in composed:
            if letters and unicodedata.category(c)[0] == "M":
                letters[-1] += c
            else:
                letters.append(c)
        if word and paired and len(letters) > 1:
            words.extend(a + b for a, b in zip(letters, letters[1:]))
        elif word:
            words.append(composed)
        word = ""

    for c in folded(text.replace("\u200b", " ").replace("\u0640", "")):
        category, combining = unicodedata.category(c), unicodedata.combining(c)
        if category == "Me" or (category[0] == "M" and (combining == 1 or 10 <= combining <= 36 or 200 <= combining <= 240)):
            continue
        if category[0] == "M":
            if not word:
                paired = False
            word += c
        elif category[0] in "LN" or category == "Co":
            pairs = category not in ("Nd", "No") and within(c, WITHOUT_BLANKS)
            if pairs != paired:
                flush()
            paired = pairs
            word += c
        else:
            flush()
    flush()
    return words


def main():
    rng = random.Random(7)
    with open(sys.argv[1], "w", encoding="utf-8", newline="\n") as out:
        for _ in range(20_000):
            first, last = rng.choice(BLOCKS)
            text = ""
            for _ in range(rng.randint(0, 30)):
                if rng.random() < 0.3:
                    first, last = rng.choice(BLOCKS)
                c = chr(rng.randint(first, last))
                taken = unicodedata.category(c) != "Cn" and "\u0345" not in unicodedata.normalize("NFD", c)
                text += c if taken else " "
            out.write(json.dumps({"text": text, "line": " ".join(words_of(text))}) + "\n")


if __name__ == "__main__":
    main()
