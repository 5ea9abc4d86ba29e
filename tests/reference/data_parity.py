"""What Python's json and csv read in made-up texts: python data_parity.py DEPS OUT

OUT/json.texts      JSON texts, sound and broken
OUT/json.values     what json.dumps(value, indent=2, sort_keys=True) makes of each; empty where it is refused
OUT/delimited.texts data sets, sound and broken
OUT/delimited.rows  for each the name of its format and, as JSON, its rows, or null where csv refuses it; TSV as it is
                    or, where that was written so, in quotes

The files are laid out as in tokenizer_parity.py.
"""

import csv
import io
import json
import math
import pathlib
import random
import sys

from tokenizer_parity import write_texts

JSON_TEXTS, DATA_SETS = 4000, 3000
JSON_PIECES = ["{", "}", "[", "]", ",", ":", '"', '"a"', '"b":', "true", "false", "null", "nul", "NaN", "Infinity", "-", "0", "01", "1",
               "-0", "-0.0", "1.5", ".5", "1.", "1e5", "1E+400", "1e-400", "\\u", "\\ud83d", "\\ude00", "\\n", "\\x", "\n", "\t", " ",
               "\u00a0", "\ufeff", "\0", "é", "😀", "//", "'a'"]
NUMBERS = [0, -1, 2**53 + 1, 2**63 - 1, -2**63, 2**64 - 1, 0.1, -0.0, 1e15, 1e16, 123456789012345.0, 1.5e-5, 1e-4, 5e-324,
           1.7976931348623157e308, 1e22, 123456.789]
STRINGS = ["", "a", "b", "key", "\n\t\"\\/", "é", "数据", "😀", "\x7f", "\u2028", "\x01", "a b", "1"]


def value(rng, depth):
    kind = rng.random()
    if depth == 0 or kind < 0.5:
        return rng.choice([rng.choice(NUMBERS), rng.choice(STRINGS), True, False, None, rng.uniform(-1, 1) * 10 ** rng.randint(-30, 30),
                           rng.getrandbits(rng.randint(1, 64))])
    if kind < 0.75:
        return [value(rng, depth - 1) for _ in range(rng.randint(0, 4))]
    return {rng.choice(STRINGS): value(rng, depth - 1) for _ in range(rng.randint(0, 4))}


def json_text(rng):
    kind = rng.random()
    if kind < 0.2:
        return "".join(rng.choice(JSON_PIECES) for _ in range(rng.randint(0, 8)))
    if kind < 0.22:
        depth = rng.randint(60, 68)
        return "[" * depth + "]" * depth
    text = json.dumps(value(rng, 4), ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, None, 1]))
    for _ in range(rng.choice([0, 0, 1, 2])):
        at = rng.randint(0, len(text))
        text = text[:at] + rng.choice([*JSON_PIECES, ""]) + text[at + rng.randint(0, 2):]
    return text


def refuse(*_):
    raise ValueError


def members(pairs):
    return dict(pairs) if len(dict(pairs)) == len(pairs) else refuse()


def finite(number):
    return float(number) if math.isfinite(float(number)) else refuse()


def integer(digits):
    return int(digits) if -2**63 <= int(digits) < 2**64 else finite(digits)


def depth_of(value):
    if not isinstance(value, (list, dict)):
        return 0
    return 1 + max(map(depth_of, value.values() if isinstance(value, dict) else value), default=0)


def strict(text):
    """What graft refuses beyond the grammar: repeated keys, lone surrogates, numbers without a value, depth above 64."""
    try:
        value = json.loads(text, object_pairs_hook=members, parse_constant=refuse, parse_float=finite, parse_int=integer)
        json.dumps(value, ensure_ascii=False).encode()
        return json.dumps(value, indent=2, sort_keys=True) if depth_of(value) <= 64 else ""
    except ValueError:
        return ""


def rows_of(text, **dialect):
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True, **dialect) if row]
    except csv.Error:
        return None


def written(rng, delimiter):
    """Rows, with names above, as csv writes them."""
    width = rng.randint(2, 4)
    fields = ["", "a", "1,5", "x;y", "say \"so\"", "\"", "two\nlines", "cr\r\nlf", " blank ", "tab\tin", "é", "数据", "''"]
    rows = [[f"name{i}" for i in range(width)]]
    rows += [[rng.choice(fields) for _ in range(width)] for _ in range(rng.randint(1, 4))]
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=rng.choice(["\n", "\r\n"]),
               quoting=rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])).writerows(rows)
    return out.getvalue(), rows


def data_set(rng):
    kind = rng.random()
    if kind < 0.3:
        delimiter = rng.choice(",;")
        text, rows = written(rng, delimiter)
        return text, "csv", rows_of(text, delimiter=delimiter)
    if kind < 0.5:
        text, rows = written(rng, "\t")
        return text, "tsv", rows
    pieces = ["a", "b", "1", " ", "é", "\n", "\n", "\r\n", '"', '"', '""', "\t" if kind < 0.65 else ","]
    text = "".join(rng.choice(pieces) for _ in range(rng.randint(1, 14)))
    if kind < 0.65:
        text = text.replace('"', "'")
        return text, "tsv", rows_of(text, delimiter="\t", quoting=csv.QUOTE_NONE)
    return text, "csv", rows_of(text)


def main(out):
    rng = random.Random(15)
    texts = [json_text(rng) for _ in range(JSON_TEXTS)]
    write_texts(out / "json.texts", texts)
    write_texts(out / "json.values", [strict(text) for text in texts])
    sets = [data_set(rng) for _ in range(DATA_SETS)]
    write_texts(out / "delimited.texts", [text for text, _, _ in sets])
    write_texts(out / "delimited.rows", [part for _, name, rows in sets for part in (name, json.dumps(rows))])


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[2]))
