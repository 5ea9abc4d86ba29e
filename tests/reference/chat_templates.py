"""Conversations as chat templates of models write them: python chat_templates.py DEPS OUT

OUT/<family>.json: 300 conversations {"messages", "answer": whether the assistant is to go on, "text"} each, rendered by
transformers with the template of the family: SmolLM2's from its GGUF file; those that TRL ships as models have them, of
Qwen3-Instruct-2507 (chatml: plain), Qwen2.5-VL (qwen2), Qwen2.5, Llama 3, Llama 3.1 and Gemma 3; Llama 2's from the
tokenizer of transformers 4.40, the last that had it.
"""

import ast
import importlib.util
import json
import pathlib
import random
import sys

import gguf
from transformers.utils import chat_template_utils

COUNT = 300
PIECES = ["Hello", "world", "naïve", "don't", "你好", "가나", "e\u0301", "👩\u200d🏽", "1", "3.14", "(a, b)", "{x}", "{{ y }}", "{% z %}",
          "\n", "\n\n", "\r\n", " ", "  ", "\t", "\u00a0", "\u3000", "\u2028", "\x85", "\x1c", "\u200b", "\ufeff", "<b>", "&amp;", "'", '"',
          "\\n", "```", "<|im_end|>", "<|im_start|>", "[INST]", "[/INST]", "<<SYS>>", "</s>", "<end_of_turn>", "<|eot_id|>", "<think>"]
TRL = {"chatml": "qwen3_instruct_2507", "qwen2": "qwen2_5_vl", "qwen2.5": "qwen2_5", "llama3": "llama3",
       "llama3.1": "llama3_1", "gemma": "gemma3"}
LLAMA3 = ("<|begin_of_text|>", "<|eot_id|>")
TOKENS = {"llama2": ("<s>", "</s>"), "llama3": LLAMA3, "llama3.1": LLAMA3, "gemma": ("<bos>", "<eos>")}


def text(rng):
    words = [rng.choice(PIECES) for _ in range(rng.randrange(1, 9))]
    return "".join(words) + rng.choice(["", "", " word", "\n"])


def conversation(rng):
    messages = []
    if rng.randrange(3) == 0:
        messages.append({"role": "system", "content": rng.choice(["", " ", text(rng), text(rng)])})
    messages.append({"role": "user", "content": text(rng)})
    for _ in range(rng.randrange(4)):
        messages.append({"role": "assistant", "content": text(rng)})
        messages.append({"role": "user", "content": text(rng)})
    if rng.randrange(2):
        messages.append({"role": "assistant", "content": text(rng)})
    return messages


def smollm2(dependencies):
    (path,) = (dependencies / "smollm2").glob("*.gguf")
    field = gguf.GGUFReader(path).fields["tokenizer.chat_template"]
    return bytes(field.parts[field.data[0]]).decode()


def llama2(dependencies):
    """The strings of default_chat_template, without a default system message, as it is unless asked for."""
    tree = ast.parse((dependencies / "llama2_template" / "tokenization_llama.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "default_chat_template":
            (value,) = [part.value for part in node.body if isinstance(part, ast.Assign) and isinstance(part.value, ast.Constant)]
            return value.value.replace("USE_DEFAULT_PROMPT", "false")
    sys.exit("transformers 4.40 has no template of Llama 2")


def templates(dependencies):
    folder = pathlib.Path(importlib.util.find_spec("trl").origin).parent / "chat_templates"
    found = {family: (folder / f"{name}.jinja").read_text() for family, name in TRL.items()}
    return found | {"smollm2": smollm2(dependencies), "llama2": llama2(dependencies)}


def main():
    dependencies, out = map(pathlib.Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    for family, template in templates(dependencies).items():
        rng = random.Random(17)
        begin, end = TOKENS.get(family, ("", ""))
        rows = []
        while len(rows) < COUNT:
            messages = conversation(rng)
            answer = messages[-1]["role"] == "user"
            (rendered,), _ = chat_template_utils.render_jinja_template(
                [messages], chat_template=template, add_generation_prompt=answer, bos_token=begin, eos_token=end)
            rows.append({"messages": messages, "answer": answer, "text": rendered})
        (out / f"{family}.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
