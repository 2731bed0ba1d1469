"""Make the small pre-trained BERT that ships in the folder ``bert`` beside this file.

What it does
    Nothing useful comes out of a few CPU minutes from random weights, so the model starts from a
    trained encoder: the 6-layer, 384-wide BERT sentence encoder all-MiniLM-L6-v2 (Apache-2.0).

    1. The 30,522-piece vocabulary is cut to the pieces the text needs most. All special tokens,
       all single characters and all ``##`` characters stay, so any word that could be spelled
       before can be spelled now; the embedding rows of the kept pieces are copied.
    2. The first layers are copied; their feed-forward parts keep the neurons whose
       input norm times output norm is largest.
    3. A fresh masked-language-model head, tied to the embeddings, is put on top, and everything
       is trained with masked language modelling. The learning rate follows the clock: warm-up,
       then a linear decay that reaches zero when the minutes are over.

Inputs
    --text     folder with imdb_unsup_reviews.txt.gz and wikipedia_trex_sentences.txt.gz,
               one passage a line
    --encoder  folder with the sentence encoder (config.json, model.safetensors, vocab.txt)
    --sst2     optional folder with train.parquet and validation.parquet (sentence, label), for
               a quick fine-tuning check

Outputs
    --out      folder with config.json, model.safetensors (fp16), the tokenizer, and
               figures.json with everything that was measured (with --minutes 0 the model
               that lies there is only measured again)

How long it took: the shipped model was trained for 27 minutes on two CPU cores, after
about 90 seconds of reading and tokenizing; measuring took about a minute more.

    python make_bert.py --text TEXT --encoder ENCODER --out bert --minutes 27
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertTokenizerFast,
    pipeline,
)

FILES = ("imdb_unsup_reviews.txt.gz", "wikipedia_trex_sentences.txt.gz")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CHUNK = 126  # pieces per training sequence, [CLS] and [SEP] not counted
BATCH_TOKENS = 2048
MASK_RATE = 0.15
IGNORE = -100

# Words that prompts and label names use; they stay whole however rare they are in the text.
KEEP_WORDS = """
negative positive neutral politics political sports sport business technology science world news
true false yes no maybe great terrible good bad awful excellent wonderful horrible best worst
better worse boring amazing brilliant dull funny sad happy love hate loved hated like dislike
fine poor perfect weak strong awesome fantastic superb mediocre disappointing enjoyable delightful
charming moving touching annoying stupid silly clever smart fresh tired predictable entertaining
beautiful ugly mess masterpiece failure success pleasant unpleasant nice mean cruel kind angry
fear joy surprise disgust company school university college artist athlete building river lake
mountain village town city animal plant flower album song film movie book novel magazine person
place nature transport transportation vehicle ship train car aircraft politician office holder
same different similar equivalent paraphrase related unrelated government military software
hardware internet computer market stock economy finance oil war peace team game player season
league election president minister court police army space research medicine health question
answer entailment contradiction subjective objective fact opinion spam toxic offensive
""".split()

PROMPTS = (
    "the capital of france is [MASK].",
    "this movie was really [MASK], i loved every minute of it.",
    "he was born in [MASK] and moved to london as a child.",
    "she plays the [MASK] in a rock band.",
    "the company was founded in 1998 by two [MASK] students.",
)


def read_text(folder: Path) -> tuple[list[str], list[str]]:
    """Return (training passages, held-out passages).

    The side is decided by a hash of a passage's first 40 characters, so passages that begin
    with the same sentence never lie on both sides. About 2 % is held out; of these, passages
    that share any ten words in a row with a training passage are dropped altogether.
    """
    train: list[str] = []
    held: list[str] = []
    for name in FILES:
        with gzip.open(folder / name, "rt", encoding="utf-8") as lines:
            for line in lines:
                line = line.strip()
                if line:
                    side = held if zlib.crc32(line[:40].lower().encode()) % 50 == 0 else train
                    side.append(line)
    ours = {run for passage in held for run in word_runs(passage)}
    shared = {run for passage in train for run in word_runs(passage) if run in ours}
    return train, [p for p in held if not any(run in shared for run in word_runs(p))]


def word_runs(passage: str, length: int = 10) -> Iterator[int]:
    """A hash of every run of ``length`` words."""
    words = passage.lower().split()
    for i in range(len(words) - length + 1):
        yield hash(tuple(words[i : i + length]))


def tokenize(tokenizer: BertTokenizerFast, passages: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Piece ids of all passages, one after another, and where each passage ends."""
    parts: list[np.ndarray] = []
    ends: list[int] = []
    total = 0
    fast = tokenizer.backend_tokenizer
    for start in range(0, len(passages), 2000):
        for code in fast.encode_batch(passages[start : start + 2000], add_special_tokens=False):
            ids = np.array(code.ids, dtype=np.int32)
            total += len(ids)
            parts.append(ids)
            ends.append(total)
    return np.concatenate(parts), np.array(ends)


def make_tokenizer(pieces: list[str], folder: Path) -> BertTokenizerFast:
    """Write a vocabulary and the fast lower-casing tokenizer that uses it."""
    folder.mkdir(parents=True, exist_ok=True)
    vocab = folder / "vocab.txt"
    vocab.write_text("\n".join(pieces) + "\n", encoding="utf-8")
    tokenizer = BertTokenizerFast(vocab_file=str(vocab), do_lower_case=True, model_max_length=512)
    tokenizer.save_pretrained(folder)
    return tokenizer


def cut_vocabulary(pieces: list[str], passages: list[str], size: int, folder: Path) -> list[str]:
    """Choose ``size`` of ``pieces``: the indispensable ones, then the most frequent ones.

    Frequencies are counted twice, the second time with a vocabulary that is already cut by
    half as much again, because pieces that spell a dropped word become more frequent.
    """
    always = {
        piece
        for piece in pieces
        if piece in SPECIAL or len(piece) == 1 or (piece.startswith("##") and len(piece) == 3)
    }
    always |= set(KEEP_WORDS) & set(pieces)
    current = [piece for piece in pieces if not piece.startswith("[unused")]
    for target in (size * 3 // 2, size):
        ids, _ = tokenize(make_tokenizer(current, folder), passages)
        counts = np.bincount(ids, minlength=len(current))
        ranked = sorted(range(len(current)), key=lambda i: -int(counts[i]))
        kept = set(always)
        for i in ranked:
            if len(kept) >= target:
                break
            kept.add(current[i])
        current = [piece for piece in current if piece in kept]
    return current


def build_model(
    encoder: Path, old: list[str], new: list[str], layers: int, feed_forward: int
) -> BertForMaskedLM:
    """A masked-LM model with the kept embedding rows, layers and neurons of the encoder."""
    source = json.loads((encoder / "config.json").read_text(encoding="utf-8"))
    weights = load_file(encoder / "model.safetensors")
    weights = {name.removeprefix("bert."): value.float() for name, value in weights.items()}
    config = BertConfig(
        vocab_size=len(new),
        hidden_size=source["hidden_size"],
        num_hidden_layers=layers,
        num_attention_heads=source["num_attention_heads"],
        intermediate_size=feed_forward,
        max_position_embeddings=source["max_position_embeddings"],
        layer_norm_eps=source["layer_norm_eps"],
        pad_token_id=new.index("[PAD]"),
    )
    model = BertForMaskedLM(config)
    row = {piece: i for i, piece in enumerate(old)}
    word = "embeddings.word_embeddings.weight"
    state = {name: value for name, value in weights.items() if name.startswith("embeddings.")}
    state[word] = weights[word][[row[piece] for piece in new]]
    for layer in range(layers):
        prefix = f"encoder.layer.{layer}."
        for name, value in weights.items():
            if name.startswith(prefix):
                state[name] = value
        up, down = f"{prefix}intermediate.dense.", f"{prefix}output.dense."
        weight_in, weight_out = weights[up + "weight"], weights[down + "weight"]
        strength = weight_in.norm(dim=1) * weight_out.norm(dim=0)
        best = strength.topk(feed_forward).indices.sort().values
        state[up + "weight"] = weight_in[best]
        state[up + "bias"] = weights[up + "bias"][best]
        state[down + "weight"] = weight_out[:, best]
    own = set(model.bert.state_dict())
    missing, _ = model.bert.load_state_dict(
        {name: value for name, value in state.items() if name in own}, strict=False
    )
    if missing:
        raise ValueError(f"the encoder lacks {missing}")
    return model


class Batches:
    """Sequences of at most ``CHUNK`` pieces, grouped by length, masked afresh each time."""

    def __init__(self, ids: np.ndarray, ends: np.ndarray, tokenizer: BertTokenizerFast) -> None:
        self.ids = torch.from_numpy(ids).long()
        self.cls, self.sep = tokenizer.cls_token_id, tokenizer.sep_token_id
        self.pad, self.mask = tokenizer.pad_token_id, tokenizer.mask_token_id
        self.size = len(tokenizer)
        self.spans: list[tuple[int, int]] = []
        start = 0
        for end in ends.tolist():
            count = max(1, math.ceil((end - start) / CHUNK))
            edges = np.linspace(start, end, count + 1).astype(int).tolist()
            self.spans += [(a, b) for a, b in zip(edges, edges[1:], strict=False) if b - a >= 8]
            start = end

    def epoch(
        self, generator: torch.Generator, plain: bool = False
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Yield (inputs, attention mask, labels) once over everything, in random order."""
        order = torch.randperm(len(self.spans), generator=generator).tolist()
        for begin in range(0, len(order), 4000):
            group = sorted(
                (self.spans[i] for i in order[begin : begin + 4000]), key=lambda s: s[0] - s[1]
            )
            batches: list[list[tuple[int, int]]] = []
            at = 0
            while at < len(group):
                rows = max(1, BATCH_TOKENS // (group[at][1] - group[at][0] + 2))
                batches.append(group[at : at + rows])
                at += rows
            for i in torch.randperm(len(batches), generator=generator).tolist():
                yield self.make(batches[i], generator, plain)

    def make(
        self, spans: list[tuple[int, int]], generator: torch.Generator, plain: bool
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One batch: 15 % of the pieces chosen; of these 80 % become [MASK], 10 % a random
        piece, 10 % stay (``plain``: all become [MASK])."""
        width = max(b - a for a, b in spans) + 2
        inputs = torch.full((len(spans), width), self.pad)
        text = torch.zeros_like(inputs, dtype=torch.bool)
        for i, (a, b) in enumerate(spans):
            inputs[i, 0] = self.cls
            inputs[i, 1 : 1 + b - a] = self.ids[a:b]
            inputs[i, 1 + b - a] = self.sep
            text[i, 1 : 1 + b - a] = True
        attention = (inputs != self.pad).long()
        chosen = text & (torch.rand(inputs.shape, generator=generator) < MASK_RATE)
        labels = torch.where(chosen, inputs, IGNORE)
        fate = torch.rand(inputs.shape, generator=generator)
        noise = torch.randint(len(SPECIAL), self.size, inputs.shape, generator=generator)
        inputs = torch.where(chosen & (fate < (1.0 if plain else 0.8)), self.mask, inputs)
        if not plain:
            inputs = torch.where(chosen & (fate >= 0.9), noise, inputs)
        return inputs, attention, labels


def masked_logits(
    model: BertForMaskedLM, inputs: torch.Tensor, attention: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores and right pieces at the chosen positions only: the projection onto the whole
    vocabulary is the dearest product of so small a model."""
    hidden = model.base_model(inputs, attention_mask=attention).last_hidden_state
    chosen = labels != IGNORE
    head = model.cls if hasattr(model, "cls") else model.lm_head  # BERT's name, RoBERTa's name
    return head(hidden[chosen]).float(), labels[chosen]


@torch.inference_mode()
def evaluate(
    model: BertForMaskedLM, batches: Batches, commonest: int, limit: int, plain: bool = False
) -> dict[str, float]:
    """Masked-token accuracy and loss, with the unigram baseline beside it, on a fixed masking."""
    model.eval()
    right = base = seen = 0
    loss = 0.0
    for number, batch in enumerate(batches.epoch(torch.Generator().manual_seed(1), plain)):
        if number >= limit:
            break
        scores, truth = masked_logits(model, *batch)
        loss += float(functional.cross_entropy(scores, truth, reduction="sum"))
        right += int((scores.argmax(-1) == truth).sum())
        base += int((truth == commonest).sum())
        seen += len(truth)
    return {
        "accuracy": round(right / seen, 4),
        "unigram_accuracy": round(base / seen, 4),
        "loss": round(loss / seen, 3),
        "masked_tokens": seen,
    }


def save(model: BertForMaskedLM, folder: Path) -> None:
    """Write config.json and half-precision weights; tied weights are stored once."""
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config.to_diff_dict()
    config.update(architectures=[type(model).__name__], dtype="float32")
    config.update(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    config.pop("_name_or_path", None)
    text = json.dumps(config, indent=2, sort_keys=True)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")
    tied = {
        "cls.predictions.decoder.weight",
        "cls.predictions.decoder.bias",
        "lm_head.decoder.weight",
        "lm_head.decoder.bias",
    }
    state = {
        name: value.detach().half().contiguous()
        for name, value in model.state_dict().items()
        if name not in tied and not name.endswith("position_ids")
    }
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)


def prepare(model: torch.nn.Module, rate: float) -> torch.optim.Optimizer:
    """Turn dropout off (less than one pass over the text: nothing to regularize); the optimizer."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    decay = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decay, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)


def train(
    model: BertForMaskedLM,
    batches: Batches,
    held: Batches,
    commonest: int,
    minutes: float,
    rate: float,
    folder: Path,
) -> dict[str, Any]:
    """Masked language modelling against the clock; a checkpoint every five minutes."""
    optimizer = prepare(model, rate)
    for layer in model.base_model.encoder.layer:
        layer.attention.self.dropout_prob = 0.0
    generator = torch.Generator().manual_seed(0)
    total, warm = minutes * 60, 0.05
    begin = last_save = last_print = time.monotonic()
    steps = tokens = 0
    running: float | None = None
    curve: list[dict[str, Any]] = []
    while time.monotonic() - begin < total:
        for batch in batches.epoch(generator):
            now = time.monotonic()
            done = (now - begin) / total
            if done >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = rate * min(done / warm, (1 - done) / (1 - warm))
            model.train()
            # Measured here: bf16 autocast makes a step 1.4 to 1.9 times faster on this kind of CPU.
            with torch.autocast("cpu", torch.bfloat16):
                scores, truth = masked_logits(model, *batch)
            loss = functional.cross_entropy(scores, truth)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            steps += 1
            tokens += int(batch[1].sum())
            running = float(loss) if running is None else 0.98 * running + 0.02 * float(loss)
            if now - last_print > 30:
                last_print = now
                print(
                    f"{now - begin:6.0f} s  step {steps}  tokens {tokens:,}  loss {running:.3f}",
                    flush=True,
                )
            if now - last_save > 300:
                last_save = now
                save(model, folder)
                curve.append({"tokens": tokens, **evaluate(model, held, commonest, 20)})
                print(curve[-1], flush=True)
    save(model, folder)
    return {"train_minutes": minutes, "steps": steps, "tokens_seen": tokens, "curve": curve}


@torch.inference_mode()
def query_time(folder: Path) -> float:
    """Milliseconds for one 24-token text in a batch of 32, one core, fp32, best of 20."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    inputs = torch.randint(len(SPECIAL), model.config.vocab_size, (32, 24))
    best = math.inf
    for _ in range(20):
        begin = time.perf_counter()
        model(inputs, attention_mask=torch.ones_like(inputs))
        best = min(best, time.perf_counter() - begin)
    torch.set_num_threads(threads)
    return round(best / 32 * 1000, 2)


def fine_tune_check(folder: Path, sst2: Path) -> dict[str, float]:
    """Validation accuracy after three epochs on 1,000 rows of SST-2 (lr 1e-4, batch 32)."""
    import pyarrow.parquet as parquet

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    rows = parquet.read_table(sst2 / "train.parquet").to_pylist()
    random.Random(0).shuffle(rows)
    rows = rows[:1000]
    test = parquet.read_table(sst2 / "validation.parquet").to_pylist()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    begin = time.monotonic()
    for _ in range(3):
        model.train()
        random.Random(1).shuffle(rows)
        for start in range(0, len(rows), 32):
            part = rows[start : start + 32]
            inputs = tokenizer([row["sentence"] for row in part], padding=True, return_tensors="pt")
            model(**inputs, labels=torch.tensor([row["label"] for row in part])).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    seconds = time.monotonic() - begin
    model.eval()
    right = 0
    with torch.inference_mode():
        for start in range(0, len(test), 32):
            part = test[start : start + 32]
            inputs = tokenizer([row["sentence"] for row in part], padding=True, return_tensors="pt")
            guess = model(**inputs).logits.argmax(-1).tolist()
            right += sum(g == row["label"] for g, row in zip(guess, part, strict=True))
    ones = sum(row["label"] for row in test) / len(test)
    return {
        "train_rows": len(rows),
        "validation_rows": len(test),
        "validation_accuracy": round(right / len(test), 4),
        "commonest_label": round(max(ones, 1 - ones), 4),
        "seconds": round(seconds, 1),
    }


def measure(folder: Path, held: Batches, commonest: int, sst2: Path | None) -> dict[str, Any]:
    """Everything the README quotes, measured on the saved fp16 files, not on the live model."""
    model = AutoModelForMaskedLM.from_pretrained(folder)
    fill = pipeline("fill-mask", model=str(folder), top_k=5)
    figures: dict[str, Any] = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "vocabulary": model.config.vocab_size,
        "bytes": (folder / "model.safetensors").stat().st_size,
        "held_out_sequences_pieces": [len(held.spans), len(held.ids)],
        "held_out": evaluate(model, held, commonest, 10**9),
        "held_out_all_mask": evaluate(model, held, commonest, 10**9, plain=True),
        "ms_per_query": query_time(folder),
        "fill_mask": {
            prompt: [[guess["token_str"], round(guess["score"], 3)] for guess in fill(prompt)]
            for prompt in PROMPTS
        },
    }
    if sst2 is not None:
        figures["sst2"] = fine_tune_check(folder, sst2)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the small BERT that ships here.")
    parser.add_argument("--text", type=Path, required=True, help="folder with the two text files")
    parser.add_argument("--encoder", type=Path, required=True, help="sentence encoder to start at")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    parser.add_argument(
        "--minutes",
        type=float,
        default=27,
        help="training time; 0 only measures the model in --out again",
    )
    parser.add_argument("--sst2", type=Path, help="folder with SST-2, for a fine-tuning check")
    parser.add_argument("--vocabulary", type=int, default=9216, help="pieces to keep")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--feed-forward", type=int, default=768)
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)

    begin = time.monotonic()
    passages, held_passages = read_text(args.text)
    if args.minutes > 0:
        old = (args.encoder / "vocab.txt").read_text(encoding="utf-8").split("\n")
        old = [piece for piece in old if piece]
        pieces = cut_vocabulary(old, passages, args.vocabulary, args.out)
        tokenizer = make_tokenizer(pieces, args.out)
    else:
        tokenizer = BertTokenizerFast.from_pretrained(args.out)
        pieces = sorted(tokenizer.vocab, key=tokenizer.vocab.__getitem__)
    ids, ends = tokenize(tokenizer, passages)
    counts = np.bincount(ids, minlength=len(pieces))
    commonest = int(counts.argmax())
    batches = Batches(ids, ends, tokenizer)
    held = Batches(*tokenize(tokenizer, held_passages), tokenizer)
    print(
        f"{len(passages):,} passages, {len(ids):,} tokens, {len(pieces):,} pieces, "
        f"{time.monotonic() - begin:.0f} s to prepare",
        flush=True,
    )

    figures: dict[str, Any] = {}
    if args.minutes > 0:
        model = build_model(args.encoder, old, pieces, args.layers, args.feed_forward)
        with torch.no_grad():  # the head begins at the unigram distribution
            frequency = torch.from_numpy((counts + 1) / (counts + 1).sum()).float()
            model.cls.predictions.bias.copy_(frequency.log() - frequency.log().mean())
        figures = train(model, batches, held, commonest, args.minutes, args.rate, args.out)
    elif (args.out / "figures.json").exists():
        figures = json.loads((args.out / "figures.json").read_text(encoding="utf-8"))
    figures["unknown_rate"] = round(float(counts[tokenizer.unk_token_id] / counts.sum()), 6)
    figures.update(measure(args.out, held, commonest, args.sst2))
    text = json.dumps(figures, indent=2)
    (args.out / "figures.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
