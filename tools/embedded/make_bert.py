"""Make the small pre-trained BERT of the embedded assets (trainables/embedded/bert).

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
               that is there is only measured again)

How long it took: the embedded model was trained for 27 minutes on two CPU cores, after
about 90 seconds of reading and tokenizing; measuring took about a minute more.

    python -m tools.embedded.make_bert --text TEXT --encoder ENCODER --out bert --minutes 27
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, BertConfig, BertForMaskedLM, BertTokenizerFast

from tools.embedded.text import KEEP_WORDS, Batches, read_text, tokenize
from tools.embedded.training import (
    evaluate_masked,
    fillings,
    fine_tune_check,
    query_time,
    train_masked,
)

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


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


def measure(folder: Path, held: Batches, commonest: int, sst2: Path | None) -> dict[str, Any]:
    """Everything the README quotes, measured on the saved fp16 files, not on the live model."""
    model = AutoModelForMaskedLM.from_pretrained(folder)
    figures: dict[str, Any] = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "vocabulary": model.config.vocab_size,
        "bytes": (folder / "model.safetensors").stat().st_size,
        "held_out_sequences_pieces": [len(held.spans), len(held.ids)],
        "held_out": evaluate_masked(model, held, commonest),
        "held_out_all_mask": evaluate_masked(model, held, commonest, plain=True),
        "ms_per_query": query_time(folder),
        "fill_mask": fillings(folder, " [MASK]"),
    }
    if sst2 is not None:
        figures["sst2"] = fine_tune_check(folder, sst2)
    return figures


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make the small embedded BERT.")
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
        figures = train_masked(model, batches, held, commonest, args.minutes, args.rate, args.out)
    elif (args.out / "figures.json").exists():
        figures = json.loads((args.out / "figures.json").read_text(encoding="utf-8"))
    figures["unknown_rate"] = round(float(counts[tokenizer.unk_token_id] / counts.sum()), 6)
    figures.update(measure(args.out, held, commonest, args.sst2))
    text = json.dumps(figures, indent=2)
    (args.out / "figures.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
