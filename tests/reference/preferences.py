"""Ten steps of TRL's DPOTrainer on a small random Llama with LoRA, for each of its losses that graft has.

python preferences.py DEPS OUT
  OUT/model           the model; OUT/adapter: the LoRA that training starts from
  OUT/NAME.json       by step: the batch ("chosen", "rejected": ids of its rows, "prompts": how long each one's prompt is),
                      the loss, and the rewards (mean over the batch, chosen and rejected), accuracy and margin
"""
import json
import os
import pathlib
import sys

os.environ["HF_HUB_OFFLINE"] = "1"  # everything is here
os.environ["HF_DATASETS_CACHE"] = str(pathlib.Path(sys.argv[2]) / "datasets")

import datasets
import peft
import tokenizers
import torch
import transformers
import trl

torch.set_num_threads(1)  # more take longer at these sizes
OUT = pathlib.Path(sys.argv[2])
WORDS = 60
# By name: TRL's losses, their weights, and whether the reference is the adapter as it was at first, not the base.
LOSSES = {"dpo": (["sigmoid"], [1.0], False), "normalised": (["sigmoid_norm"], [1.0], True), "ipo": (["ipo"], [1.0], True),
          "mixed": (["sigmoid", "sft"], [1.0, 0.7], False)}

REWARDS = {"chosen_reward": "chosen", "rejected_reward": "rejected", "accuracy": "accuracies", "margin": "margins"}


def tokenizer():
    words = {"<pad>": 0, "</s>": 1} | {f"w{i}": i + 2 for i in range(WORDS)}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<pad>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="</s>")


def rows(count):
    random = torch.Generator().manual_seed(8)

    def text(least, most):
        length = int(torch.randint(least, most, (1,), generator=random))
        return " ".join(f"w{i}" for i in torch.randint(0, WORDS, (length,), generator=random).tolist())

    return [{"prompt": text(1, 12), "chosen": " " + text(1, 9), "rejected": " " + text(1, 9)} for _ in range(count)]


class Recorder(trl.DPOTrainer):
    steps = None

    def _compute_loss(self, model, inputs, return_outputs):
        loss = super()._compute_loss(model, inputs, return_outputs)
        ids = [row[mask.bool()].tolist() for row, mask in zip(inputs["input_ids"], inputs["attention_mask"])]
        answers = inputs["completion_mask"].sum(1).tolist()
        half = len(ids) // 2
        metrics = self._metrics["train"]
        self.steps.append({
            "chosen": ids[:half], "rejected": ids[half:],
            "prompts": [len(row) - answer for row, answer in zip(ids, answers)],
            "loss": (loss[0] if return_outputs else loss).item(),
            **{name: metrics[f"rewards/{key}"][-1] for name, key in REWARDS.items()}})
        return loss


def main():
    torch.manual_seed(4)
    config = transformers.LlamaConfig(
        vocab_size=WORDS + 2, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.2, pad_token_id=0, bos_token_id=None,
        eos_token_id=1)
    transformers.LlamaForCausalLM(config).save_pretrained(OUT / "model")
    lora = peft.LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")

    def fresh():
        return transformers.AutoModelForCausalLM.from_pretrained(OUT / "model", dtype=torch.float32)

    torch.manual_seed(6)
    peft.get_peft_model(fresh(), lora).save_pretrained(OUT / "adapter")
    data = datasets.Dataset.from_list(rows(24))
    for name, (losses, weights, from_adapter) in LOSSES.items():
        model = peft.PeftModel.from_pretrained(fresh(), OUT / "adapter", is_trainable=True) if from_adapter else fresh()
        arguments = trl.DPOConfig(
            output_dir=str(OUT / "run"), max_steps=10, per_device_train_batch_size=4, learning_rate=5e-3,
            lr_scheduler_type="constant", weight_decay=0.01, max_grad_norm=1.0, optim="adamw_torch", beta=0.3,
            loss_type=losses, loss_weights=weights, bf16=False, use_cpu=True, gradient_checkpointing=False,
            report_to=[], save_strategy="no", disable_tqdm=True, logging_steps=100)
        trainer = Recorder(model=model, args=arguments, train_dataset=data, processing_class=tokenizer(),
                           peft_config=None if from_adapter else lora)
        if not from_adapter:
            peft.set_peft_model_state_dict(trainer.model, peft.load_peft_weights(OUT / "adapter", device="cpu"))
        trainer.steps = []
        trainer.train()
        (OUT / f"{name}.json").write_text(json.dumps(trainer.steps))


main()
