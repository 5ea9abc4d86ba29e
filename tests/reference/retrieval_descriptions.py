"""5,000 Debian package descriptions as JSON lines {"name", "query", "text"}: the query is the one-line summary.

    retrieval_descriptions.py OUT [TRANSLATION_EN]

They come from apt's Translation-en of Debian bookworm (`apt-get -o Acquire::Languages=en update` fetches it). Of each
package the first stanza counts; packages whose long text another package shares are left out; the first 5,000 by the
FNV-1a hash of the name are taken.
"""
import collections
import glob
import json
import subprocess
import sys

PATTERN = "/var/lib/apt/lists/*debian*_dists_bookworm_main_i18n_Translation-en*"


def fnv1a(name):
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def read(path):
    return subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", path], check=True, capture_output=True).stdout.decode()


def stanzas(text):
    """(name, summary, long text) of each stanza."""
    for stanza in text.split("\n\n"):
        name, lines, inside = "", [], False
        for line in stanza.split("\n"):
            if line.startswith("Package: "):
                name = line[len("Package: "):]
            if line.startswith("Description-en: "):
                lines, inside = [line[len("Description-en: "):]], True
            elif inside and line.startswith(" "):
                lines.append("" if line == " ." else line[1:])
            else:
                inside = False
        if name and lines:
            yield name, lines[0].strip(), "\n".join(lines[1:]).strip()


def descriptions(path, count=5000):
    """(name, summary, long text) of the packages that count."""
    packages = {}
    for name, query, text in stanzas(read(path)):
        packages.setdefault(name, (query, text))
    shared = collections.Counter(" ".join(text.split()) for _, text in packages.values())
    kept = [(name, query, text) for name, (query, text) in packages.items()
            if query and text and shared[" ".join(text.split())] == 1]
    kept.sort(key=lambda package: (fnv1a(package[0]), package[0]))
    return kept[:count]


def main():
    files = sys.argv[2:] or sorted(glob.glob(PATTERN))
    if not files:
        sys.exit(f"no file {PATTERN}; run: apt-get -o Acquire::Languages=en update")
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        for name, query, text in descriptions(files[0]):
            out.write(json.dumps({"name": name, "query": query, "text": text}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
