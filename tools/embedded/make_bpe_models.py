"""Make the small RoBERTa and the small GPT-2 that ship beside the small BERT.

What it does
    Both have a byte-level BPE vocabulary of their own, trained on the lower-cased text; label
    words that prompts use are single pieces in it, with a leading space, as in the big models'.

    roberta  starts from the small BERT (make_bert.py): its two layers and its masked-LM head are
             copied. A BPE piece that spells a word of BERT's vocabulary gets that word's
             embedding, any other piece the mean of the pieces BERT would cut it into. Then
             masked language modelling, as for the BERT.
    gpt2     starts from random weights, but for its embeddings, which are made in the same way.
             Then causal language modelling: every token is predicted from those before it.

    python -m trainables.embedded.make_bpe_models roberta --text TEXT --minutes 22
    python -m trainables.embedded.make_bpe_models gpt2 --text TEXT --minutes 55

Inputs and outputs are as in make_bert.py; --out defaults to the folder of the model's name here.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import ByteLevelBPETokenizer
from torch.nn import functional
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2TokenizerFast,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaTokenizerFast,
    pipeline,
)

from trainables.embedded import make_bert
from trainables.embedded.make_bert import KEEP_WORDS, Batches, evaluate, read_text, tokenize

HERE = Path(__file__).resolve().parent
PIECES = 8192
SPECIAL = {
    "roberta": ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
    "gpt2": ["<|endoftext|>"],
}
LABEL_WORDS = [
    "vehicle",
    "nature",
    "art",
    "professor",
    "law",
    "leader",
    "wrong",
    "incorrect",
    "invalid",
    "correct",
    "valid",
    "accurate",
    "games",
    "competition",
    "tournament",
    "corporation",
    "enterprise",
    "electronics",
    "robotics",
    "automation",
    "jack",
    "john",
    "ann",
    "ruby",
    "mary",
    "plane",
    "species",
    "plain",
    "road",
    "monday",
    "table",
    "seven",
    "statement",
    "sentiment",
    "category",
    "topic",
    "about",
]
PROMPTS = ("the film was", "the capital of france is", "he was born in", "this movie is a")


def make_tokenizer(kind: str, passages: list[str], folder: Path) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE in which the label words are single pieces after a space."""
    words = [f" {word}" for word in {*KEEP_WORDS, *LABEL_WORDS}]
    often = [word for word in words for _ in range(3000)]
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(
        [*passages, *often],
        vocab_size=PIECES,
        min_frequency=2,
        special_tokens=SPECIAL[kind],
        show_progress=False,
    )
    folder.mkdir(parents=True, exist_ok=True)
    bpe.save_model(str(folder))
    fast = RobertaTokenizerFast if kind == "roberta" else GPT2TokenizerFast
    tokenizer = fast(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=512)
    tokenizer.save_pretrained(folder)
    broken = [
        word for word in words if len(tokenizer(word, add_special_tokens=False).input_ids) > 1
    ]
    if broken:
        raise ValueError(f"not single pieces: {broken}")
    return tokenizer


def embeddings_from_bert(tokenizer: PreTrainedTokenizerFast, bert: BertForMaskedLM) -> torch.Tensor:
    """A row for every BPE piece: the mean of BERT's rows for what the piece spells."""
    old = AutoTokenizer.from_pretrained(HERE / "bert")
    rows = bert.get_input_embeddings().weight.detach()
    ours = {"<s>": "[CLS]", "</s>": "[SEP]", "<pad>": "[PAD]", "<unk>": "[UNK]", "<mask>": "[MASK]"}
    ours["<|endoftext|>"] = "[SEP]"
    result = torch.empty(len(tokenizer), rows.shape[1])
    for piece, number in tokenizer.get_vocab().items():
        text = tokenizer.convert_tokens_to_string([piece])
        if piece in ours:
            ids = [old.convert_tokens_to_ids(ours[piece])]
        elif text.startswith(" ") or not text[:1].isalpha():
            ids = old(text, add_special_tokens=False).input_ids
        else:
            # In the middle of a word: BERT writes such pieces with ##.
            inside = old.convert_tokens_to_ids(f"##{text}")
            unknown = inside == old.unk_token_id
            ids = old(text, add_special_tokens=False).input_ids if unknown else [inside]
        result[number] = rows[ids or [old.unk_token_id]].mean(dim=0)
    return result


def build_roberta(tokenizer: PreTrainedTokenizerFast) -> RobertaForMaskedLM:
    """BERT's layers and head under a RoBERTa's name; positions begin at 2 in a RoBERTa."""
    bert = BertForMaskedLM.from_pretrained(HERE / "bert", torch_dtype=torch.float32)
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=bert.config.hidden_size,
        num_hidden_layers=bert.config.num_hidden_layers,
        num_attention_heads=bert.config.num_attention_heads,
        intermediate_size=bert.config.intermediate_size,
        max_position_embeddings=bert.config.max_position_embeddings + 2,
        type_vocab_size=1,
        layer_norm_eps=bert.config.layer_norm_eps,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = RobertaForMaskedLM(config)
    model.roberta.encoder.load_state_dict(bert.bert.encoder.state_dict())
    theirs, mine = bert.bert.embeddings, model.roberta.embeddings
    with torch.no_grad():
        mine.word_embeddings.weight.copy_(embeddings_from_bert(tokenizer, bert))
        mine.position_embeddings.weight[2:].copy_(theirs.position_embeddings.weight)
        mine.token_type_embeddings.weight.copy_(theirs.token_type_embeddings.weight[:1])
        head = bert.cls.predictions.transform
        model.lm_head.dense.load_state_dict(head.dense.state_dict())
        model.lm_head.layer_norm.load_state_dict(head.LayerNorm.state_dict())
    mine.LayerNorm.load_state_dict(theirs.LayerNorm.state_dict())
    return model


def build_gpt2(tokenizer: PreTrainedTokenizerFast) -> GPT2LMHeadModel:
    """Two layers of random weights on embeddings made from BERT's."""
    bert = BertForMaskedLM.from_pretrained(HERE / "bert", torch_dtype=torch.float32)
    end = tokenizer.eos_token_id
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=512,
        n_embd=bert.config.hidden_size,
        n_layer=2,
        n_head=6,
        bos_token_id=end,
        pad_token_id=end,
        eos_token_id=end,
    )
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        rows = embeddings_from_bert(tokenizer, bert)
        # GPT-2 has no norm on its embeddings: give them the spread it would start with.
        model.transformer.wte.weight.copy_((rows - rows.mean(dim=0)) / rows.std() * 0.05)
    return model


class CausalBatches(Batches):
    """The same sequences for a model that predicts each token: ids, mask, and labels = ids."""

    def __init__(self, ids: np.ndarray, ends: np.ndarray, tokenizer: PreTrainedTokenizerFast):
        tokenizer.pad_token = tokenizer.cls_token = tokenizer.sep_token = tokenizer.eos_token
        tokenizer.mask_token = tokenizer.eos_token
        super().__init__(ids, ends, tokenizer)

    def make(
        self, spans: list[tuple[int, int]], generator: torch.Generator, plain: bool
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        width = max(b - a for a, b in spans) + 1
        inputs = torch.full((len(spans), width), self.pad)
        attention = torch.zeros_like(inputs)
        for row, (a, b) in enumerate(spans):
            inputs[row, 1 : 1 + b - a] = self.ids[a:b]
            attention[row, : 1 + b - a] = 1
        labels = torch.where(attention.bool(), inputs, make_bert.IGNORE)
        return inputs, attention, labels


def next_token_loss(
    model: GPT2LMHeadModel, inputs: torch.Tensor, attention: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores and right tokens wherever there is a next token."""
    hidden = model.transformer(inputs, attention_mask=attention).last_hidden_state[:, :-1]
    truth = labels[:, 1:]
    real = truth != make_bert.IGNORE
    return model.lm_head(hidden[real]).float(), truth[real]


def train_gpt2(
    model: GPT2LMHeadModel, batches: CausalBatches, minutes: float, rate: float, folder: Path
) -> dict[str, Any]:
    """Causal language modelling against the clock, as make_bert.train does the masked kind."""
    optimizer = make_bert.prepare(model, rate)
    begin = printed = time.monotonic()
    total, warm = minutes * 60, 0.05
    steps = tokens = 0
    stream = _forever(batches, torch.Generator().manual_seed(0))
    while (done := (time.monotonic() - begin) / total) < 1:
        batch = next(stream)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(done / warm, (1 - done) / (1 - warm))
        model.train()
        with torch.autocast("cpu", torch.bfloat16):
            scores, truth = next_token_loss(model, *batch)
        loss = functional.cross_entropy(scores, truth)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        steps, tokens = steps + 1, tokens + int(batch[1].sum())
        if time.monotonic() - printed > 30:
            printed = time.monotonic()
            print(f"{done:.0%}  step {steps}  tokens {tokens:,}  loss {loss:.3f}", flush=True)
    save_gpt2(model, folder)
    return {"train_minutes": minutes, "steps": steps, "tokens_seen": tokens}


def _forever(batches: Batches, generator: torch.Generator) -> Iterator[Any]:
    while True:
        yield from batches.epoch(generator)


def save_gpt2(model: GPT2LMHeadModel, folder: Path) -> None:
    """Config and half-precision weights; the tied output layer is left out."""
    config = {**model.config.to_diff_dict(), "architectures": ["GPT2LMHeadModel"]}
    config.update(dtype="float32", embd_pdrop=0.1, attn_pdrop=0.1, resid_pdrop=0.1)
    text = json.dumps(config, indent=2, sort_keys=True)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")
    state = {
        name: value.detach().half().contiguous()
        for name, value in model.state_dict().items()
        if name != "lm_head.weight" and not name.endswith((".attn.bias", ".masked_bias"))
    }
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)


@torch.inference_mode()
def evaluate_gpt2(model: GPT2LMHeadModel, held: CausalBatches, commonest: int) -> dict[str, Any]:
    """Next-token accuracy, loss and perplexity on held-out text, the unigram baseline beside."""
    model.eval()
    right = base = seen = 0
    loss = 0.0
    for batch in held.epoch(torch.Generator().manual_seed(1)):
        scores, truth = next_token_loss(model, *batch)
        loss += float(functional.cross_entropy(scores, truth, reduction="sum"))
        right += int((scores.argmax(-1) == truth).sum())
        base += int((truth == commonest).sum())
        seen += len(truth)
    return {
        "accuracy": round(right / seen, 4),
        "unigram_accuracy": round(base / seen, 4),
        "loss": round(loss / seen, 3),
        "perplexity": round(math.exp(loss / seen), 1),
        "tokens": seen,
    }


def answers(kind: str, folder: Path) -> dict[str, Any]:
    """What the saved model says to a few prompts: fillings, or what it goes on with."""
    if kind == "gpt2":
        write = pipeline("text-generation", model=str(folder), max_new_tokens=8, do_sample=False)
        return {prompt: write(prompt)[0]["generated_text"] for prompt in PROMPTS}
    fill = pipeline("fill-mask", model=str(folder), top_k=5)
    return {
        prompt: [
            [guess["token_str"].strip(), round(guess["score"], 3)]
            for guess in fill(prompt.replace("[MASK]", "<mask>").replace(" <mask>", "<mask>"))
        ]
        for prompt in make_bert.PROMPTS
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a small RoBERTa or GPT-2.")
    parser.add_argument("kind", choices=sorted(SPECIAL))
    parser.add_argument("--text", type=Path, required=True, help="folder with the two text files")
    parser.add_argument("--out", type=Path, help="folder to write the model to")
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--sst2", type=Path, help="folder with SST-2, for a fine-tuning check")
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    folder = args.out or HERE / args.kind
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)

    passages, held_passages = (
        [passage.lower() for passage in part] for part in read_text(args.text)
    )
    tokenizer = make_tokenizer(args.kind, passages, folder)
    kind_of_batches = CausalBatches if args.kind == "gpt2" else Batches
    ids, ends = tokenize(tokenizer, passages)
    commonest = int(np.bincount(ids).argmax())
    batches = kind_of_batches(ids, ends, tokenizer)
    held = kind_of_batches(*tokenize(tokenizer, held_passages), tokenizer)
    print(f"{len(passages):,} passages, {len(ids):,} tokens, {len(tokenizer)} pieces", flush=True)

    model: Any
    if args.kind == "gpt2":
        model = build_gpt2(tokenizer)
        figures = train_gpt2(model, batches, args.minutes, args.rate, folder)
        saved = GPT2LMHeadModel.from_pretrained(folder)
        figures["held_out"] = evaluate_gpt2(saved, held, commonest)
    else:
        model = build_roberta(tokenizer)
        figures = make_bert.train(model, batches, held, commonest, args.minutes, args.rate, folder)
        saved = AutoModelForMaskedLM.from_pretrained(folder)
        figures["held_out"] = evaluate(saved, held, commonest, 10**9)
        figures["held_out_all_mask"] = evaluate(saved, held, commonest, 10**9, plain=True)
    figures |= {
        "parameters": sum(p.numel() for p in saved.parameters()),
        "vocabulary": len(tokenizer),
        "bytes": (folder / "model.safetensors").stat().st_size,
        "ms_per_query": make_bert.query_time(folder),
        "answers": answers(args.kind, folder),
    }
    if args.sst2 is not None and args.kind != "gpt2":
        figures["sst2"] = make_bert.fine_tune_check(folder, args.sst2)
    (folder / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
