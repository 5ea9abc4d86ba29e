"""Regular expressions, names, and which of the names Python's re.fullmatch takes: for the tests of RegularExpression.

regular_expressions.py FILE: writes a JSON list of [expression, names, taken]; `taken` is null for an expression that
Python does not compile.
"""

import json
import random
import re
import sys
import warnings

warnings.simplefilter("ignore")
ATOMS = ["a", "b", "1", ".", "_", r"\.", r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", "[ab]", "[^a]", "[a-b1]", "[]a]", "[a-]",
         r"[\d_]", r"[^\w.]", r"\n", "{", "a{", "{a}"]
ASSERTIONS = ["^", "$", r"\A", r"\Z", r"\b", r"\B"]
TIMES = [""] * 6 + ["*", "+", "?", "{2}", "{1,2}", "{,2}", "{1,}", "{0}", "*?", "+?", "??", "{1,2}?"]


def expression(depth):
    parts = []
    for _ in range(random.choice([0, 1, 1, 2, 2, 3])):
        kind = random.random()
        if kind < 0.1:
            parts.append(random.choice(ASSERTIONS))
        elif kind < 0.65 or depth == 0:
            parts.append(random.choice(ATOMS) + random.choice(TIMES))
        else:
            inner = "|".join(expression(depth - 1) for _ in range(random.choice([1, 1, 2, 3])))
            opening = random.choice(["(", "(?:", f"(?P<g{random.randrange(10 ** 9)}>", "(?=", "(?!"])
            # Python tries the ways through nested loops one by one: outer ones are rare, so that it ends.
            parts.append(opening + inner + ")" + random.choice(TIMES if depth == 1 else ["", "", "", "?", "*"]))
    return "".join(parts)


def main(path):
    random.seed(7)
    names = ["", "a", "a.b"]
    names += ["".join(random.choices("aab1._ \n", k=random.randint(1, 5))) for _ in range(40)]
    expressions = [expression(2) for _ in range(6000)]
    expressions += ["".join(random.choices(r"ab1.|()[]{}*+?^$\d,-=!:", k=random.randint(1, 9))) for _ in range(6000)]
    rows = []
    for text in expressions:
        some = random.sample(names, 12)
        try:
            compiled = re.compile(text)
            rows.append([text, some, [compiled.fullmatch(name) is not None for name in some]])
        except (re.error, OverflowError):
            rows.append([text, some, None])
    with open(path, "w") as file:
        json.dump(rows, file)


main(sys.argv[1])
