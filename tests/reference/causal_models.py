"""Small random causal language models of every family that graft has, and what transformers makes of a batch with them.

python causal_models.py OUT: writes OUT/<name>/ (a model directory) and OUT/<name>.safetensors with
ids, offsets, labels; logits [T, V]; loss; gradient.<parameter>; greedy.<n>, the ids that follow sequence n.
python causal_models.py OUT SAVED: fails unless transformers makes the same logits of each SAVED/<name>/.
python causal_models.py OUT SAVED adapters: fails unless PEFT, with the adapter SAVED/<name>/ on OUT/<name>/, makes the
logits in SAVED/<name>.safetensors, and these are not the base's.
"""
import pathlib
import sys

import torch
import transformers
from safetensors.torch import load_file, save_file

LENGTHS = [11, 1, 19, 6]
SIZES = dict(vocab_size=61, hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=96, initializer_range=0.2, bos_token_id=1, eos_token_id=2)
LLAMA3 = dict(rope_type="llama3", rope_theta=500.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16)


def models():
    llama, qwen2, qwen3 = transformers.LlamaConfig, transformers.Qwen2Config, transformers.Qwen3Config
    yield "llama_untied", llama(**SIZES)
    yield "llama_tied", llama(**SIZES, tie_word_embeddings=True, head_dim=10, attention_bias=True, mlp_bias=True,
                              pad_token_id=5)
    yield "llama_stretched", llama(**SIZES, rope_parameters=LLAMA3)
    yield "llama_linear", llama(**SIZES, rope_parameters=dict(rope_type="linear", rope_theta=100.0, factor=3.0))
    yield "qwen2", qwen2(**SIZES)
    yield "qwen2_window", qwen2(**SIZES, use_sliding_window=True, sliding_window=4, max_window_layers=1,
                                tie_word_embeddings=True)
    yield "qwen3", qwen3(**SIZES, head_dim=16)
    yield "gemma3", transformers.Gemma3TextConfig(
        **{**SIZES, "num_key_value_heads": 1}, head_dim=12, sliding_window=5, query_pre_attn_scalar=9,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": 5000.0},
                         "sliding_attention": {"rope_type": "default", "rope_theta": 20.0}})
    yield "gpt2", transformers.GPT2Config(
        vocab_size=61, n_embd=24, n_layer=3, n_head=4, n_inner=40, n_positions=96, initializer_range=0.2,
        attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0, scale_attn_by_inverse_layer_idx=True, bos_token_id=1,
        eos_token_id=2)


def main(out):
    for name, config in models():
        torch.manual_seed(len(name))
        config._attn_implementation = "eager"
        model = transformers.AutoModelForCausalLM.from_config(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():  # norms and biases start at one and zero
                if parameter.dim() == 1:
                    parameter.add_(0.2 * torch.randn_like(parameter))
        model.save_pretrained(f"{out}/{name}")
        sequences = [torch.randint(3, 61, (length,)) for length in LENGTHS]
        labels = [ids.masked_fill(torch.rand(len(ids)) < 0.3, -100) for ids in sequences]
        logits = [model(ids[None]).logits[0] for ids in sequences]
        judged = [(one[:-1], label[1:]) for one, label in zip(logits, labels)]
        count = sum(int((label != -100).sum()) for _, label in judged)
        loss = sum(torch.nn.functional.cross_entropy(one, label, reduction="sum", ignore_index=-100)
                   for one, label in judged if len(label)) / count
        loss.backward()
        tensors = {"ids": torch.cat(sequences), "labels": torch.cat(labels), "logits": torch.cat(logits),
                   "loss": loss, "offsets": torch.tensor([0] + LENGTHS).cumsum(0)}
        for key, parameter in model.named_parameters():
            tensors[f"gradient.{key}"] = parameter.grad
        model.generation_config.eos_token_id = None
        for n, ids in enumerate(sequences):
            text = model.generate(ids[None], attention_mask=torch.ones(1, len(ids)), max_new_tokens=40,
                                  do_sample=False, pad_token_id=0)
            tensors[f"greedy.{n}"] = text[0, len(ids):]
        save_file({key: value.detach().contiguous() for key, value in tensors.items()}, f"{out}/{name}.safetensors")


def reload(out, saved):
    for name, _ in models():
        model, info = transformers.AutoModelForCausalLM.from_pretrained(f"{saved}/{name}", output_loading_info=True)
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            assert not info[kind], f"{name}: {kind}: {info[kind]}"
        expected = load_file(f"{out}/{name}.safetensors")
        logits = torch.cat([model(ids[None]).logits[0] for ids in expected["ids"].split(LENGTHS)])
        error = (logits - expected["logits"]).abs().max() / expected["logits"].abs().max()
        assert error <= 1e-5, f"{name}: logits differ by {error:.3g}"


def adapters(out, saved, _):
    import peft

    files = sorted(pathlib.Path(saved).glob("*.safetensors"))
    assert files
    for file in files:
        expected = load_file(f"{out}/{file.name}")
        base = transformers.AutoModelForCausalLM.from_pretrained(f"{out}/{file.stem}")
        model = peft.PeftModel.from_pretrained(base, f"{saved}/{file.stem}").eval()
        assert model.peft_config["default"].task_type == "CAUSAL_LM"
        theirs = torch.cat([model(ids[None]).logits[0] for ids in expected["ids"].split(LENGTHS)])
        largest = theirs.abs().max()
        error = (load_file(file)["logits"] - theirs).abs().max() / largest
        assert error <= 1e-5, f"{file.stem}: logits differ by {error:.3g}"
        assert (theirs - expected["logits"]).abs().max() > 1e-2 * largest, f"{file.stem}: the adapter does nothing"


if __name__ == "__main__":
    {2: main, 3: reload, 4: adapters}[len(sys.argv)](*sys.argv[1:])
