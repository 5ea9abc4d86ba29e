#!/usr/bin/env python3
"""Keeps the C++ shown in README.md and docs/ true.

    code_blocks.py extract ROOT OUT   writes each block that has a main() to OUT/<document>_<n>.cpp, to be compiled
    code_blocks.py check ROOT         every other block must stand, line for line, in a source file that is compiled
"""

import pathlib
import re
import sys

BLOCK = re.compile(r"^```cpp\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(root):
    for document in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
        for number, match in enumerate(BLOCK.finditer(document.read_text()), 1):
            yield document, number, match.group(1)


def has_main(code):
    return re.search(r"^int main\(", code, re.MULTILINE) is not None


def extract(root, out):
    out.mkdir(parents=True, exist_ok=True)
    wanted = {}
    for document, number, code in blocks(root):
        if has_main(code):
            wanted[f"{document.stem}_{number}.cpp"] = code
    for old in out.glob("*.cpp"):
        if old.name not in wanted:
            old.unlink()
    for name, code in wanted.items():
        path = out / name
        if not path.exists() or path.read_text() != code:
            path.write_text(code)


def normalised(text):
    """The lines without indentation and without empty ones, as one string with a line end before and after each."""
    return "\n" + "\n".join(line.strip() for line in text.splitlines() if line.strip()) + "\n"


def check(root):
    folders = ["include", "tests", "examples", "benchmarks"]
    sources = [p for f in folders for pattern in ("*.hpp", "*.cpp") for p in (root / f).rglob(pattern)]
    compiled = [normalised(path.read_text()) for path in sources]
    wrong = [
        f"{document.relative_to(root)}: C++ block {number} is in no compiled file; copy it from a test or an example"
        for document, number, code in blocks(root)
        if not has_main(code) and not any(normalised(code) in source for source in compiled)
    ]
    print("\n".join(wrong) or f"{sum(1 for _ in blocks(root))} blocks checked")
    return 1 if wrong else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["extract"] and len(sys.argv) == 4:
        extract(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
    elif sys.argv[1:2] == ["check"] and len(sys.argv) == 3:
        sys.exit(check(pathlib.Path(sys.argv[2])))
    else:
        sys.exit(__doc__)
