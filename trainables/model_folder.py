"""What can be known of a model's folder without loading the model, and what is wrong with it.

Reads config.json, the headers of the weights and the tokenizer's files; needs neither torch nor
transformers. Every check raises BadInput with one line that names the model.
"""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from search_spaces.catalog import LanguageModel, Prompts
from search_spaces.errors import BadInput
from trainables.assets import WEIGHTS_INDEX, is_git_lfs_pointer
from trainables.families import FAMILIES, Family

TEXT_TOKENS = 8  # so many of a text's own tokens must have room beside a template
TOKENIZER_JSON = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json",
)  # fmt: skip
OTHER_WEIGHTS = ("*.bin", "*.h5", "*.msgpack", "*.pt", "*.pth", "*.ckpt*", "*.gguf", "*.onnx")
LAYER = re.compile(r"(?:^|\.)(?:layer|layers|h)\.(\d+)\.")


@dataclass(frozen=True)
class ModelFolder:
    """A model's name and folder."""

    name: str
    folder: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.json. Raises BadInput where it cannot be read, or does not say what it is of."""
        config = self._json(self.folder / "config.json")
        if not isinstance(config.get("model_type"), str) or not config["model_type"]:
            raise BadInput(
                f"model {self.name!r}: {self.folder / 'config.json'} does not say which "
                'architecture it is of; add "model_type", e.g. "model_type": "bert"'
            )
        return config

    @property
    def type(self) -> str:
        found: str = self.config["model_type"]
        return found

    @property
    def family(self) -> Family | None:
        return FAMILIES.get(self.type)

    def check_kind(self, model: LanguageModel) -> None:
        """Whether it predicts masked or next tokens is as its catalog file says."""
        if self.family is None or self.family.causal is None:
            return
        if self.family.causal != (model.kind == "causal"):
            kind = "causal" if self.family.causal else "masked"
            raise BadInput(
                f"model {self.name!r} is a {self.type}, which is {kind}, and its catalog file says "
                f"it is {model.kind}: write kind: {kind}"
            )

    def positions(self) -> int | None:
        """How many tokens it reads at most; None where nothing is known of a limit."""
        family, config = self.family, self.config
        if family is None or family.positions is None:
            return None
        if config.get("position_biased_input") is False:  # DeBERTa with relative positions alone
            return None
        name, default = family.positions
        found = config.get(name, config.get("max_position_embeddings", default))
        if not isinstance(found, int):
            return None
        padding = config.get("pad_token_id")
        return (
            found - (padding if isinstance(padding, int) else 1) - 1
            if family.from_padding
            else found
        )

    def check_length(self, max_length: int) -> None:
        positions = self.positions()
        if positions is not None and max_length > positions:
            raise BadInput(
                f"model {self.name!r}: fit.max_length is {max_length}, and this {self.type} has "
                f"positions for {positions} tokens; give fit.max_length={positions} or less"
            )

    def check_weights(self) -> None:
        """They are there, whole, and of the architecture that config.json names."""
        if "transformers_weights" in self.config:  # an explicit file name: transformers' to find
            return
        shapes: dict[str, list[int]] = {}
        for path, names in self._weight_files():
            found = self._shapes(path)
            if lacking := names - set(found):
                raise BadInput(
                    f"model {self.name!r}: {path} lacks {min(lacking)}, which {WEIGHTS_INDEX} "
                    "says it has; fetch the model again"
                )
            shapes |= found
        if self.family is not None:
            self._check_architecture(self.family, shapes)

    def check_lm_head(self) -> None:
        """The weights have a language-model head: without one it would start from random numbers.

        To be called after `check_weights`.
        """
        if self.family is None or "transformers_weights" in self.config:
            return
        names = {name for path, _ in self._weight_files() for name in self._shapes(path)}
        needed = self.family.lm_head
        if self.family.causal and self.config.get("tie_word_embeddings") is False:
            needed = "embed_out.weight" if self.type == "gpt_neox" else "lm_head.weight"
        if needed is not None and needed not in names:
            raise BadInput(
                f"model {self.name!r}: its weights in {self.folder} have no language-model head "
                f"({needed}), and label words would be scored by random numbers; take weights "
                "with one, or heads without prompts"
            )

    def check_tokenizer(self) -> None:
        """Its files are there and readable, and its tokens are ones that the model has."""
        for name in TOKENIZER_JSON:
            if (self.folder / name).exists():
                self._json(self.folder / name)
        have = {path.name for path in self.folder.iterdir() if path.is_file()}
        if not have & {"tokenizer.json", "vocab.txt", "vocab.json"} and not any(
            name.endswith((".model", ".spm", ".codes", ".tokenizer")) for name in have
        ):
            raise BadInput(
                f"model {self.name!r}: no tokenizer in {self.folder}; it needs tokenizer.json (or "
                "vocab.txt, vocab.json with merges.txt, a sentencepiece .model)"
            )
        if "vocab.json" in have and not have & {"tokenizer.json", "merges.txt", "bpe.codes"}:
            raise BadInput(f"model {self.name!r}: {self.folder} has vocab.json but no merges.txt")
        self._check_tokenizer_class()
        size = self.config.get("vocab_size")
        if self.tokenizer is None or not isinstance(size, int):
            return
        vocabulary = self.tokenizer.get_vocab(with_added_tokens=False)
        if not vocabulary:
            raise BadInput(f"model {self.name!r}: the tokenizer in {self.folder} has no tokens")
        token = max(vocabulary, key=lambda token: vocabulary[token])
        if vocabulary[token] >= size:
            raise BadInput(
                f"model {self.name!r}: the tokenizer in {self.folder} is of another model: its "
                f"token {token!r} has the number {vocabulary[token]}, and the model has {size} "
                "tokens"
            )

    def _check_tokenizer_class(self) -> None:
        settings = self._settings
        kind = str(settings.get("tokenizer_class", ""))
        where = f"model {self.name!r}: {self.folder / 'tokenizer_config.json'}"
        if self.family is not None and not self.family.token_types:
            inputs = settings.get("model_input_names", ["token_type_ids"])
            if kind.removesuffix("Fast") == "BertTokenizer" and "token_type_ids" in inputs:
                raise BadInput(
                    f"{where} names a {kind}, which gives token types that a {self.type} does not "
                    'take; add "model_input_names": ["input_ids", "attention_mask"] to it'
                )
        if kind != "PreTrainedTokenizerFast" or self.tokenizer is None:
            return
        if not (self._special("pad_token") or self._special("eos_token")):
            raise BadInput(
                f"{where} names neither a pad_token nor an eos_token, which batches of texts need; "
                "add one that the vocabulary has"
            )

    @property
    def _settings(self) -> dict[str, Any]:
        path = self.folder / "tokenizer_config.json"
        return self._json(path) if path.is_file() else {}

    @cached_property
    def tokenizer(self) -> Any:
        """A `tokenizers.Tokenizer`; None where it takes transformers to make one (sentencepiece).

        Raises BadInput where its files are broken.
        """
        import tokenizers

        folder, config = self.folder, self._settings
        try:
            if (folder / "tokenizer.json").is_file():
                return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
            if (folder / "vocab.txt").is_file() and "Bert" in config.get("tokenizer_class", "Bert"):
                return tokenizers.BertWordPieceTokenizer(
                    str(folder / "vocab.txt"),
                    lowercase=config.get("do_lower_case", True),
                    strip_accents=config.get("strip_accents"),
                )
            if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
                return tokenizers.ByteLevelBPETokenizer(
                    str(folder / "vocab.json"), str(folder / "merges.txt")
                )
        except Exception as error:  # tokenizers raises no narrower one
            raise BadInput(
                f"model {self.name!r}: the tokenizer in {folder} cannot be read: {_line(error)}"
            ) from None
        return None

    def check_prompts(
        self, prompts: Prompts, causal: bool, pair: bool, max_length: int, templates: bool
    ) -> None:
        """Label words that are one token each, no two the same, and templates that leave room.

        To be called where there is a `tokenizer`. templates: whether the head has any.
        """
        self._check_label_words(prompts.label_words)
        if templates:
            self._check_templates(prompts.templates, causal, pair, max_length)

    def _check_label_words(self, label_words: list[list[str]]) -> None:
        seen: dict[int, tuple[str, int]] = {}
        for number, words in enumerate(label_words):
            for word in words:
                encoded = self.tokenizer.encode(f" {word}", add_special_tokens=False)
                if len(encoded.ids) != 1 or encoded.tokens[0] in ("[UNK]", "<unk>"):
                    raise BadInput(
                        f"model {self.name!r}: label word {word!r} is not one token "
                        f"(it becomes {' '.join(encoded.tokens)!r}); choose another in the "
                        "catalog file"
                    )
                if encoded.ids[0] in seen:
                    other, place = seen[encoded.ids[0]]
                    raise BadInput(
                        f"model {self.name!r}: label words {other!r} of class {place} and "
                        f"{word!r} of class {number} are the same token "
                        f"({encoded.tokens[0]!r}); choose another in the catalog file"
                    )
                seen[encoded.ids[0]] = (word, number)

    def _check_templates(
        self, templates: list[str], causal: bool, pair: bool, max_length: int
    ) -> None:
        mask, sep = self._special("mask_token", "[MASK]", "<mask>"), ""
        frame = int(pair)  # the line break between the columns
        if not causal:
            if mask is None:
                raise BadInput(
                    f"model {self.name!r}: its tokenizer in {self.folder} has no mask token, which "
                    "templates need"
                )
            sep = self._special("sep_token", "[SEP]", "</s>") or ""
            frame = len(self.tokenizer.encode("", "" if pair else None).ids)
        for template in templates:
            if causal:
                text = template.partition("[MASK]")[0].replace("[SEP]", "\n").rstrip(" ")
            else:
                text = template.replace("[MASK]", mask or "").replace("[SEP]", sep)
            length = len(self.tokenizer.encode(text, add_special_tokens=False).ids)
            room = max_length - frame - length
            if room < TEXT_TOKENS:
                raise BadInput(
                    f"model {self.name!r}: the template {template!r} is {length} tokens long and "
                    f"leaves {max(room, 0)} of fit.max_length={max_length} for the text; shorten "
                    "it, or give a larger fit.max_length"
                )

    def _special(self, name: str, *usual: str) -> str | None:
        """A special token that the tokenizer has, as its files declare it or as it usually is."""
        for file in ("special_tokens_map.json", "tokenizer_config.json"):
            path = self.folder / file
            declared = self._json(path).get(name) if path.is_file() else None
            declared = declared.get("content") if isinstance(declared, dict) else declared
            if declared:
                usual = (declared,)
                break
        return next(
            (token for token in usual if self.tokenizer.token_to_id(token) is not None), None
        )

    def _weight_files(self) -> Iterator[tuple[Path, set[str]]]:
        """The files of the weights, with tensors that each must have."""
        whole, index = self.folder / "model.safetensors", self.folder / WEIGHTS_INDEX
        if whole.is_file():
            yield whole, set()
            return
        if not index.is_file():
            raise BadInput(self._no_weights())
        places = self._json(index).get("weight_map")
        if not isinstance(places, dict) or not places:
            raise BadInput(f"model {self.name!r}: {index} has no weight_map; fetch the model again")
        for shard in sorted(set(map(str, places.values()))):
            if Path(shard).name != shard:
                raise BadInput(
                    f"model {self.name!r}: {index} has weights in another folder, {shard}; put all "
                    f"of them into {self.folder}"
                )
            path = self.folder / shard
            if not path.is_file():
                raise BadInput(
                    f"model {self.name!r}: no file {path}, a part of its weights by {index.name}; "
                    "fetch the model again"
                )
            yield path, {name for name, place in places.items() if place == shard}

    def _no_weights(self) -> str:
        others = sorted(p.name for kind in OTHER_WEIGHTS for p in self.folder.glob(kind))
        if not any(name.startswith("pytorch_model") for name in others):
            have = f", but {', '.join(others)}" if others else ""
            return f"model {self.name!r}: no model.safetensors in {self.folder}{have}"
        auto = (
            "AutoModelForCausalLM" if self.family and self.family.causal else "AutoModelForMaskedLM"
        )
        code = (
            f"from transformers import {auto} as M; f = {str(self.folder)!r}; "
            "M.from_pretrained(f, use_safetensors=False).save_pretrained(f)"
        )
        return (
            f"model {self.name!r}: weights in {self.folder} are only in {others[0]}, a file that "
            "may run code when it is read; if you trust it, make model.safetensors of it: "
            f"python -c {shlex.quote(code)}"
        )

    def _shapes(self, path: Path) -> dict[str, list[int]]:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError) as error:
            pointer = is_git_lfs_pointer(path)
            hint = "run `git lfs pull` where it was cloned" if pointer else "fetch the model again"
            what = "only points to the weights (git LFS)" if pointer else "is cut or damaged"
            raise BadInput(f"model {self.name!r}: {path} {what}: {_line(error)}; {hint}") from None

    def _check_architecture(self, family: Family, shapes: dict[str, list[int]]) -> None:
        bare = family.embeddings.partition(".")[2]
        found = next((n for n in (family.embeddings, bare) if n in shapes), None)
        where = (
            f"model {self.name!r}: its weights in {self.folder} are not of what config.json says"
        )
        if found is None:
            raise BadInput(
                f"{where}, a {self.type}: they have no {family.embeddings}, but "
                f"{min(shapes, default='nothing')}"
            )
        size = self.config.get("vocab_size")
        if isinstance(size, int) and shapes[found][0] != size:
            raise BadInput(
                f"{where}: config.json has vocab_size {size}, and {found} has {shapes[found][0]} "
                "rows"
            )
        layers = self.config.get(family.layers) if family.layers else None
        numbers = [int(match[1]) for name in shapes if (match := LAYER.search(name))]
        if isinstance(layers, int) and numbers and max(numbers) + 1 != layers:
            raise BadInput(
                f"{where}: config.json has {family.layers} {layers}, and the weights have "
                f"{max(numbers) + 1}"
            )

    def _json(self, path: Path) -> dict[str, Any]:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadInput(
                f"model {self.name!r}: {path} is not JSON: {_line(error)}; fetch the model again"
            ) from None
        if not isinstance(content, dict):
            raise BadInput(f"model {self.name!r}: {path} holds no JSON object")
        return content


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
