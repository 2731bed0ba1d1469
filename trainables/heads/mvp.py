"""MVP: classes are scored by label words at the mask of a prompt around the text.

For each template the input is laid out as `[CLS] prompt text [SEP]`, or `[CLS] text [SEP] prompt
[SEP]` where the template begins with [SEP]. A class's score is that of its best label word (max);
templates are averaged (mean), in training as under attack (docs/protocol.md, "Heads").

The paper's code drops the [SEP] of such a template, and puts a lone space token before every one
for RoBERTa; for GPT-2 it loses the text's last token. Here the layout follows the templates.

A causal model (GPT-2) reads `text prompt` with a line break for [SEP]; the prompt ends where the
mask would be, and the scores of the next token are read there.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import repeat

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from search_spaces.errors import BadInput
from trainables import speed
from trainables.heads.base import Batch, HeadSpec, Layout, Texts, Traced
from trainables.heads.inputs import LINE_BREAK, ColumnTokens, Frame, padding_of, tokenize_columns
from trainables.heads.label_words import LabelWordHead
from trainables.heads.masks import DECODERS
from trainables.heads.shared_text import pack, with_mask


@dataclass(frozen=True)
class Template:
    """A tokenized template, and the place within it where the scores are read."""

    ids: list[int]
    read_at: int
    follows: bool  # the text; otherwise precedes it


class Mvp(LabelWordHead):
    """Model-tuning via prompts."""

    def __init__(self, spec: HeadSpec) -> None:
        super().__init__(spec)
        assert spec.prompts is not None
        self.frame = Frame.of(self.tokenizer, spec.causal)
        tokenize = causal_template if spec.causal else masked_template
        self.templates = [tokenize(text, self.tokenizer) for text in spec.prompts.templates]
        self.one_template = spec.one_template
        self.shares_text = spec.causal and self.model.config.model_type in DECODERS
        if spec.causal and not self.shares_text:
            speed.not_taken("templates", f"{type(self.model).__name__} is not supported")

    def encode(self, texts: Texts) -> Batch:
        """All texts under the first template, then all under the second, and so on.

        For a causal model one sequence per text, followed by all templates (shared_text.py).

        A text that is too long is truncated, a template never. A head of one template draws, in
        training, one for each text, by torch's generator.
        """
        return self._laid_out(tokenize_columns(self.tokenizer, texts))

    def traced(self, text: tuple[str, ...]) -> Traced:
        own = ColumnTokens.of(self.tokenizer, text)
        # Laid out by their numbers, as -1, -2, ...: no token of a template is less than 0.
        numbers = iter(range(len(own.ids)))
        columns = [[-1 - next(numbers) for _ in range(count)] for count in own.counts]
        batch = self._laid_out([columns])
        marked = batch.inputs["input_ids"]
        tokens = torch.where(marked < 0, -1 - marked, -1)
        ids = torch.tensor([*own.ids, 0])[tokens].where(tokens >= 0, marked)
        traced = replace(batch, inputs={**batch.inputs, "input_ids": ids})
        return Traced(traced, tokens, own.spans)

    def _laid_out(self, columns: list[list[list[int]]]) -> Batch:
        """A batch of the token ids of each text's columns."""
        if self.one_template and self.training:
            drawn = torch.randint(len(self.templates), (len(columns),)).tolist()
            return self._batch([(self.templates[n] for n in drawn)], columns)
        if self.shares_text and speed.is_on("templates"):
            cut_texts = [[self._cut(text, t) for text in columns] for t in self.templates]
            templates = [template.ids for template in self.templates]
            return pack(cut_texts, templates, self.max_length, self.tokenizer.pad_token_id)
        return self._batch([repeat(template) for template in self.templates], columns)

    def _cut(self, columns: list[list[int]], template: Template) -> list[int]:
        """A text's tokens that leave room for a template."""
        taken = len(self.frame.before) + len(self.frame.after) + len(template.ids)
        return self.frame.join(columns, max(self.max_length - taken, 0))

    def _batch(self, rounds: list[Iterable[Template]], texts: list[list[list[int]]]) -> Batch:
        """All texts once a round, each under the round's template for it."""
        sequences, positions = [], []
        before, after = self.frame.before, self.frame.after
        for templates in rounds:
            for template, columns in zip(templates, texts):  # noqa: B905, one may have no end
                text = self._cut(columns, template)
                start = len(before) + (len(text) if template.follows else 0)
                body = text + template.ids if template.follows else template.ids + text
                sequences.append(before + body + after)
                positions.append(start + template.read_at)
        inputs = dict(self.tokenizer.pad({"input_ids": sequences}, return_tensors="pt"))
        layout = Layout(
            inputs["attention_mask"].sum(dim=1),
            len(rounds),
            self.max_length,
            padding_of(self.tokenizer),
        )
        return Batch(inputs, torch.tensor(positions), layout=layout)

    def score(self, batch: Batch) -> Tensor:
        packed = "segments" in batch.inputs
        hidden = self.hidden_at_place(with_mask(batch) if packed else batch)
        if packed:
            scores = self.class_scores(hidden.flatten(0, 1))
            return scores.view(*hidden.shape[:2], -1).mean(dim=1)
        scores = self.class_scores(hidden)
        assert batch.layout is not None
        return scores.view(batch.layout.per_text, -1, scores.shape[1]).mean(dim=0)


def masked_template(text: str, tokenizer: PreTrainedTokenizerBase) -> Template:
    """A template for a masked language model, read at its mask."""
    text = text.replace("[MASK]", tokenizer.mask_token).replace("[SEP]", tokenizer.sep_token)
    ids = tokenizer(text, add_special_tokens=False).input_ids
    follows = ids[0] == tokenizer.sep_token_id
    return Template(ids, ids.index(tokenizer.mask_token_id), follows)


def causal_template(text: str, tokenizer: PreTrainedTokenizerBase) -> Template:
    """A template for a causal language model, read at its last token.

    Raises BadInput if words follow the mask, or the text would follow the template.
    """
    prompt, _, rest = text.strip().partition("[MASK]")
    if rest.strip() or not prompt.startswith("[SEP]"):
        raise BadInput(
            f"template {text!r}: a causal model needs templates that begin with [SEP] and end "
            "with [MASK] (decoder_templates in the data set's prompts)"
        )
    ids = tokenizer(prompt.replace("[SEP]", LINE_BREAK).rstrip(" "), add_special_tokens=False)
    return Template(ids.input_ids, len(ids.input_ids) - 1, follows=True)
