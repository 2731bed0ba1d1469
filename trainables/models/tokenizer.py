"""Checks of a model's tokenizer files, and of prompts with that tokenizer."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from search_spaces.catalog import Prompts
from search_spaces.errors import first_line
from trainables.models.folder import ModelFolder

TEXT_TOKENS = 8  # at least this many of a text's own tokens must fit beside a template
JSON_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json",
)  # fmt: skip


@dataclass(frozen=True)
class TokenizerFiles:
    """The tokenizer in a model's folder."""

    model: ModelFolder

    def check(self) -> None:
        """Raises BadInput unless its files can be read and the model has all its tokens."""
        for name in JSON_FILES:
            if (self.model.folder / name).exists():
                self.model.read_json(self.model.folder / name)
        have = {path.name for path in self.model.folder.iterdir() if path.is_file()}
        if not have & {"tokenizer.json", "vocab.txt", "vocab.json"} and not any(
            name.endswith((".model", ".spm", ".codes", ".tokenizer")) for name in have
        ):
            raise self.model.bad(
                f"no tokenizer in {self.model.folder}; it needs tokenizer.json (or "
                "vocab.txt, vocab.json with merges.txt, a sentencepiece .model)"
            )
        if "vocab.json" in have and not have & {"tokenizer.json", "merges.txt", "bpe.codes"}:
            raise self.model.bad(f"{self.model.folder} has vocab.json but no merges.txt")
        self._check_tokenizer_class()
        size = self.model.config.get("vocab_size")
        if self.tokenizer is None or not isinstance(size, int):
            return
        vocabulary = self.tokenizer.get_vocab(with_added_tokens=False)
        if not vocabulary:
            raise self.model.bad(f"the tokenizer in {self.model.folder} has no tokens")
        token = max(vocabulary, key=lambda token: vocabulary[token])
        if vocabulary[token] >= size:
            raise self.model.bad(
                f"the tokenizer in {self.model.folder} belongs to another model: its "
                f"token {token!r} has the number {vocabulary[token]}, but the model has {size} "
                "tokens"
            )

    def _check_tokenizer_class(self) -> None:
        settings = self._settings
        kind = str(settings.get("tokenizer_class", ""))
        where = f"{self.model.folder / 'tokenizer_config.json'}"
        if self.model.family is not None and not self.model.family.token_types:
            inputs = settings.get("model_input_names", ["token_type_ids"])
            if kind.removesuffix("Fast") == "BertTokenizer" and "token_type_ids" in inputs:
                raise self.model.bad(
                    f"{where} names a {kind}, which gives token types that a {self.model.type} "
                    'does not take; add "model_input_names": ["input_ids", "attention_mask"] to it'
                )
        if "attention_mask" not in settings.get("model_input_names", ["attention_mask"]):
            raise self.model.bad(
                f'{where} leaves "attention_mask" out of model_input_names; add it, or the padding '
                "would be read"
            )
        self._check_padding()
        if kind != "PreTrainedTokenizerFast" or self.tokenizer is None:
            return
        if not (self._special("pad_token") or self._special("eos_token")):
            raise self.model.bad(
                f"{where} names neither a pad_token nor an eos_token, which batches of texts need; "
                "add one that the vocabulary has"
            )

    def _check_padding(self) -> None:
        """Raises BadInput unless it pads with the model's padding token. Decoders may use any."""
        family, number = self.model.family, self.model.config.get("pad_token_id")
        if self.tokenizer is None or family is None or family.causal or type(number) is not int:
            return
        pad = self._special("pad_token", "[PAD]", "<pad>")
        own = number if pad is None else self.tokenizer.token_to_id(pad)
        if own != number:
            raise self.model.bad(
                f"the tokenizer in {self.model.folder} belongs to another model: it pads with "
                f"{pad!r}, token {own}, but config.json has pad_token_id {number}"
            )

    @property
    def _settings(self) -> dict[str, Any]:
        path = self.model.folder / "tokenizer_config.json"
        return self.model.read_json(path) if path.is_file() else {}

    @cached_property
    def tokenizer(self) -> Any:
        """A `tokenizers.Tokenizer`; None if only transformers can make one (sentencepiece).

        It neither pads nor truncates, whatever its file says, like that of transformers. Raises
        BadInput if its files are broken.
        """
        tokenizer = self._read()
        if tokenizer is not None:
            tokenizer.no_padding()
            tokenizer.no_truncation()
        return tokenizer

    def _read(self) -> Any:
        import tokenizers

        folder, config = self.model.folder, self._settings
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
            raise self.model.bad(
                f"the tokenizer in {folder} cannot be read: {first_line(error)}"
            ) from None
        return None

    def check_prompts(
        self, prompts: Prompts, causal: bool, pair: bool, max_length: int, templates: bool
    ) -> None:
        """Raises BadInput unless label words are distinct single tokens and templates leave room.

        Call only if there is a `tokenizer`. templates: whether the head uses any.
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
                    raise self.model.bad(
                        f"label word {word!r} is not one token "
                        f"(it becomes {' '.join(encoded.tokens)!r}); choose another in the "
                        "catalog file"
                    )
                if encoded.ids[0] in seen:
                    other, place = seen[encoded.ids[0]]
                    raise self.model.bad(
                        f"label words {other!r} of class {place} and "
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
                raise self.model.bad(
                    f"its tokenizer in {self.model.folder} has no mask token, which templates need"
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
                raise self.model.bad(
                    f"the template {template!r} is {length} tokens long and "
                    f"leaves {max(room, 0)} of fit.max_length={max_length} for the text; shorten "
                    "it, or give a larger fit.max_length"
                )

    def check_cls(self) -> None:
        """Raises BadInput unless a text begins with CLS, which heads read. Needs tokenizer.json."""
        written = (self.model.folder / "tokenizer.json").is_file()
        if self.tokenizer is None or self.model.family is None or not written:
            return
        cls = self._special("cls_token", "[CLS]", "<s>")
        begins = self.tokenizer.encode("a").tokens[:1]
        if cls is None or begins != [cls]:
            raise self.model.bad(
                f"its tokenizer in {self.model.folder} begins a text with "
                f"{begins[0] if begins else 'nothing'!r}, not with a CLS token, which this head "
                "reads; fetch the model again, or use a head with templates"
            )

    def _special(self, name: str, *usual: str) -> str | None:
        """A special token of the tokenizer, as its files declare it or as it usually is.

        PreTrainedTokenizerFast itself has no usual ones.
        """
        settings = self._settings
        if settings.get("tokenizer_class") == "PreTrainedTokenizerFast":
            usual = ()
        files = ["tokenizer_config.json"]
        if "added_tokens_decoder" not in settings:  # else transformers ignores it
            files.insert(0, "special_tokens_map.json")
        for file in files:
            path = self.model.folder / file
            declared = self.model.read_json(path).get(name) if path.is_file() else None
            declared = declared.get("content") if isinstance(declared, dict) else declared
            if declared:
                usual = (declared,)
                break
        return next(
            (token for token in usual if self.tokenizer.token_to_id(token) is not None), None
        )
