#!/usr/bin/env python3
"""Whether the compiled libraries hold all that the headers leave to them.

    compiled_library.py INCLUDE UNITS NM LIBRARY...

1. Every X-inl.hpp stands beside an X.hpp that includes it unless GRAFT_COMPILED is defined, and nobody else includes it.
2. Every function that a unit's X-inl.hpp marks GRAFT_INLINE is defined in a library.
3. What the libraries call of graft they define.
"""

import pathlib
import re
import subprocess
import sys


def guard_faults(include):
    for body in sorted(include.rglob("*-inl.hpp")):
        name = body.relative_to(include).as_posix()
        header = include / (name[: -len("-inl.hpp")] + ".hpp")
        if not header.exists():
            yield f"{name} has no header beside it"
            continue
        guarded = re.findall(r"^#ifndef GRAFT_COMPILED\n(.*?)^#endif", header.read_text(), re.MULTILINE | re.DOTALL)
        if not any(f'#include "{name}"' in part for part in guarded):
            yield f"{header.name} does not include {name} under #ifndef GRAFT_COMPILED"
    for header in include.rglob("*"):
        if not header.is_file():
            continue
        text = re.sub(r"^#ifndef GRAFT_COMPILED\n.*?^#endif", "", header.read_text(), flags=re.MULTILINE | re.DOTALL)
        for name in re.findall(r'^#include "(graft/.*-inl\.hpp)"', text, re.MULTILINE):
            yield f"{header.relative_to(include)} includes {name} where the library is linked too"


def marked_functions(include, units):
    """(file, last part of its name) of each function marked GRAFT_INLINE in a body that some unit includes."""
    for unit in sorted(units.glob("*.cpp")):
        for name in re.findall(r'#include "(.*)"', unit.read_text()):
            text = (include / name).read_text()
            for match in re.finditer(r"^(?:\[\[\w+\]\] )?GRAFT_INLINE\s([^;{]*?)\(", text, re.MULTILINE):
                words = match.group(1).split()
                function = re.sub(r"^.*\boperator\s*", "operator", " ".join(words)) if "operator" in match.group(1) else words[-1]
                yield name, function.lstrip("*&").split("::")[-1]


def main():
    include, units, nm = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    faults = list(guard_faults(include))
    defined, called = set(), set()
    for library in sys.argv[4:]:
        lines = subprocess.run([nm, "-C", library], capture_output=True, text=True, check=True).stdout.splitlines()
        for line in lines:
            match = re.match(r"[0-9a-f ]{16} (\w) (.*)$", line)
            if match:
                (called if match.group(1) == "U" else defined).add(match.group(2))
    faults += [f"{symbol} is called in the libraries and not defined there"
               for symbol in sorted(called - defined) if re.match(r"(vtable for |typeinfo for )?graft::", symbol)]
    strong = " ".join(symbol for symbol in defined if "graft::" in symbol)
    names = set(re.findall(r"([~\w]+|operator\S+?)(?:\[abi:cxx11\])?\(", strong))
    functions = list(marked_functions(include, units))
    faults += [f"{name}: {function}() is in no library" for name, function in functions if function not in names]
    print("\n".join(faults) or f"{len(functions)} bodies are in the libraries")
    return 1 if faults or not functions else 0


if __name__ == "__main__":
    sys.exit(main())
