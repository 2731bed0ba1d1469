"""Make the small RoBERTa and the small GPT-2 of the embedded assets.

What it does
    Both have a byte-level BPE vocabulary of their own, trained on the lower-cased text; label
    words that prompts use are single pieces in it, with a leading space, as in the big models'.

    roberta  starts from the small BERT (make_bert.py): its two layers and its masked-LM head are
             copied. A BPE piece that spells a word of BERT's vocabulary gets that word's
             embedding, any other piece the mean of the pieces BERT would cut it into. Then
             masked language modelling, as for the BERT.
    gpt2     starts from random weights, but for its embeddings, which are made in the same way.
             Then causal language modelling: every token is predicted from those before it.

    python -m tools.embedded.make_bpe_models roberta --text TEXT --minutes 22
    python -m tools.embedded.make_bpe_models gpt2 --text TEXT --minutes 55

Inputs and outputs are as in make_bert.py; --out defaults to the model's own folder in
trainables/embedded.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import ByteLevelBPETokenizer
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

from tools.embedded.text import KEEP_WORDS, Batches, CausalBatches, read_text, tokenize
from tools.embedded.training import (
    evaluate,
    evaluate_masked,
    fillings,
    fine_tune_check,
    next_token_scores,
    query_time,
    save,
    train,
    train_masked,
)
from trainables.assets import EMBEDDED

PIECES = 8192
SPECIAL = {
    "roberta": ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
    "gpt2": ["<|endoftext|>"],
}
_LABELS = """
vehicle nature art professor law leader wrong incorrect invalid correct valid accurate games
competition tournament corporation enterprise electronics robotics automation jack john ann ruby
mary plane species plain road monday table seven statement sentiment category topic about
"""
LABEL_WORDS = tuple(_LABELS.split())
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
    old = AutoTokenizer.from_pretrained(EMBEDDED / "bert")
    embedding: Any = bert.get_input_embeddings()
    rows = embedding.weight.detach()
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
    bert = BertForMaskedLM.from_pretrained(EMBEDDED / "bert", torch_dtype=torch.float32)
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
    bert = BertForMaskedLM.from_pretrained(EMBEDDED / "bert", torch_dtype=torch.float32)
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


def continuations(folder: Path) -> dict[str, str]:
    """How the saved model goes on after each prompt."""
    write = pipeline("text-generation", model=str(folder), max_new_tokens=8, do_sample=False)
    return {prompt: write(prompt)[0]["generated_text"] for prompt in PROMPTS}


def evaluate_gpt2(model: GPT2LMHeadModel, held: Batches, commonest: int) -> dict[str, float]:
    """Next-token accuracy, loss and perplexity on held-out text, with the unigram baseline."""
    held_out = evaluate(model, held, next_token_scores, commonest)
    perplexity = round(math.exp(held_out.loss), 1)
    return {**held_out.figures(), "perplexity": perplexity, "tokens": held_out.pieces}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make a small RoBERTa or GPT-2.")
    parser.add_argument("kind", choices=sorted(SPECIAL))
    parser.add_argument("--text", type=Path, required=True, help="folder with the two text files")
    parser.add_argument("--out", type=Path, help="folder to write the model to")
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--sst2", type=Path, help="folder with SST-2, for a fine-tuning check")
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    folder = args.out or EMBEDDED / args.kind
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)

    passages, held_passages = (
        [passage.lower() for passage in part] for part in read_text(args.text)
    )
    tokenizer = make_tokenizer(args.kind, passages, folder)
    kind_of_batches: type[Batches] = CausalBatches if args.kind == "gpt2" else Batches
    ids, ends = tokenize(tokenizer, passages)
    commonest = int(np.bincount(ids).argmax())
    batches = kind_of_batches(ids, ends, tokenizer)
    held = kind_of_batches(*tokenize(tokenizer, held_passages), tokenizer)
    print(f"{len(passages):,} passages, {len(ids):,} tokens, {len(tokenizer)} pieces", flush=True)

    model: Any
    if args.kind == "gpt2":
        model = build_gpt2(tokenizer)
        figures = train(model, batches, next_token_scores, args.minutes, args.rate)
        save(model, folder, ("embd_pdrop", "attn_pdrop", "resid_pdrop"))
        saved = GPT2LMHeadModel.from_pretrained(folder)
        figures["held_out"] = evaluate_gpt2(saved, held, commonest)
    else:
        model = build_roberta(tokenizer)
        figures = train_masked(model, batches, held, commonest, args.minutes, args.rate, folder)
        saved = AutoModelForMaskedLM.from_pretrained(folder)
        figures["held_out"] = evaluate_masked(saved, held, commonest)
        figures["held_out_all_mask"] = evaluate_masked(saved, held, commonest, plain=True)
    figures |= {
        "parameters": sum(p.numel() for p in saved.parameters()),
        "vocabulary": len(tokenizer),
        "bytes": (folder / "model.safetensors").stat().st_size,
        "ms_per_query": query_time(folder),
        "answers": continuations(folder) if args.kind == "gpt2" else fillings(folder, "<mask>"),
    }
    if args.sst2 is not None and args.kind != "gpt2":
        figures["sst2"] = fine_tune_check(folder, args.sst2)
    (folder / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
