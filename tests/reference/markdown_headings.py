"""Headings and code that markdown-it-py finds in made-up CommonMark: python markdown_headings.py OUT

OUT: JSON objects, a line each: "text", "headings" as [byte where its line begins, level, title], and "code" as [byte where
its first line begins, byte where its text ends], blanks and line ends at its end left out. "code" is null where a quotation is:
in and behind one markdown-it takes some lines with much blank before them for code that CommonMark has in a paragraph.
"""

import json
import random
import re
import sys

from markdown_it import MarkdownIt

PARTS = ["# ", "## ", "### ", "#", "###### x", "####### no", "#tag", "\\# no", "Title", "words in a line", "**bold** and *it*", "`code`",
         "\n", "\n", "\n", "\n\n", "\n\n", "===", "---", "- - -", "***", "```", "````", "~~~", "```sh", "``` `x`", "> ", ">> ",
         "- ", "* ", "1. ", "12) ", "+ ", "    ", "  ", "   ", "\t", " ##", " ##  ", "<div>", "</div>", "<!--", "-->", "<pre>",
         "</pre>", "<?php", "?>", "<![CDATA[", "]]>", "<b>inline</b>", "![image](x.png)", "[link](y)", "![", "[a]: /url\n\n", "[a]", "|", "| a | b |",
         "|---|:-:|", "&amp;", "&#35;", "\\", "  \n", "\\\n", "ä", "数据", "é\u0301", "\r\n", "\r", "*", "_", "<script>", "</script>"]


def title_of(tokens):
    out = ""
    for token in tokens:
        if token.type in ("text", "code_inline", "text_special"):
            out += token.content
        elif token.type in ("softbreak", "hardbreak"):
            out += " "
        elif token.type == "image":
            out += title_of(token.children)
    return out


def end_of(text, begins, lines):
    end = begins[lines[1]] if lines[1] < len(begins) else len(text)
    return len(text[:end].rstrip(b" \t\r\n"))


def main():
    parser = MarkdownIt("commonmark")
    rng = random.Random(5)
    with open(sys.argv[1], "w", encoding="utf-8", newline="\n") as out:
        for _ in range(20_000):
            text = "x\n\n" + "".join(rng.choice(PARTS) for _ in range(rng.randint(0, 40)))
            lines = text.replace("\r\n", "\n\0").replace("\r", "\n").split("\n")
            begins, at = [], 0
            for line in lines:  # a line that begins with the NUL began one byte earlier with its LF
                extra = line.startswith("\0")
                begins.append(at + extra)
                at += len(line.replace("\0", "").encode()) + 1 + extra
            tokens = parser.parse(text)
            headings = [[begins[token.map[0]], int(token.tag[1]), title_of(tokens[i + 1].children).strip()]
                        for i, token in enumerate(tokens) if token.type == "heading_open"]
            code = [[begins[token.map[0]], end_of(text.encode(), begins, token.map)]
                    for token in tokens if token.type in ("fence", "code_block")]
            if re.search(r"(^|[\r\n])[ \t]*>", text):
                code = None
            out.write(json.dumps({"text": text, "headings": headings, "code": code}) + "\n")


if __name__ == "__main__":
    main()
