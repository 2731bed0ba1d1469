"""Checks of all that a sweep reads: rows, models and prompts, before any compute is spent on them.

`catalog check`, `--dry-run` and the sweep itself call this. Everything is read once, and each
problem is one line. Needs neither torch nor transformers.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from search_spaces.catalog import Dataset, Head, LanguageModel, Prompts, Training
from search_spaces.cell import Cell, Fit
from search_spaces.errors import BadInput
from search_spaces.space import FitSettings
from search_spaces.trainings import Ada, rounds_of, rows_attacked
from trainables.assets import Assets, NotDownloaded, model_files
from trainables.data import Survey, common_rows, survey, training_rows
from trainables.heads import KINDS as HEADS
from trainables.models.families import LABEL_WORDS
from trainables.models.folder import ModelFolder
from trainables.models.tokenizer import TokenizerFiles
from trainables.models.weights import check_lm_head, check_weights
from trainables.schedule import check_schedule

MANY_REPEATED = 0.01  # share of test rows that are training rows too, from which a sweep reports it
MANIFOLD = 2  # as many rows in an epoch as there are clean ones, from which it is noted
READS_CLS = ("mlp_ft", "project_cls", "cls_prompt")


@dataclass(frozen=True)
class Asked:
    """What a fit reads, each with its name in the catalog; `also`: data sets to evaluate it on."""

    dataset: str
    data: Dataset
    model: str
    language_model: LanguageModel
    head: str
    head_entry: Head
    training: str
    training_entry: Training
    prompts: Prompts | None
    settings: FitSettings
    also: tuple[tuple[str, Dataset], ...] = ()

    @classmethod
    def of(cls, fit: Fit) -> "Asked":
        return cls(
            fit.dataset, fit.data, fit.model, fit.language_model, fit.head, fit.head_entry,
            fit.training, fit.training_entry, fit.prompts, fit.settings,
            tuple((other.name, other.data) for other in fit.evaluate_also),
        )  # fmt: skip


def check_inputs(cells: Iterable[Cell], assets: Assets) -> list[str]:
    """Raises BadInput for the first problem; returns notes for the user."""
    fits = {cell.fit.key: Asked.of(cell.fit) for cell in cells}
    inputs = Inputs(assets)
    for line in inputs.wrong(fits.values()):
        raise BadInput(line)
    return inputs.notes


class Inputs:
    """Checks what is asked for, each thing once.

    notes: what a user should know although it runs. not_here: what is not on this machine.
    """

    def __init__(self, assets: Assets) -> None:
        self.assets = assets
        self.notes: list[str] = []
        self.not_here: list[str] = []
        self._fine: dict[Hashable, bool] = {}
        self._tokenizers: dict[str, TokenizerFiles] = {}

    def wrong(self, asked: Iterable[Asked]) -> Iterator[str]:
        """A line for each problem."""
        for fit in asked:
            yield from self._wrong_rows(fit)
            yield from self._wrong_model(fit)

    def _wrong_rows(self, fit: Asked) -> Iterator[str]:
        data = ("data set", fit.dataset)
        yield from self._once(data, partial(self._check_rows, fit.dataset, fit.data))
        for name, other in fit.also:
            also = ("data set", name, "to evaluate on")
            yield from self._once(also, partial(self._survey, name, other))
            if self._fine[data] and self._fine[also]:
                note = partial(self._note_common_rows, name, other, fit)
                yield from self._once(("rows", name, fit.dataset), note)
        used = (fit.settings.train_examples, fit.training_entry.train_share)
        if self._fine[data]:
            probed = fit.head_entry.probe_first
            what = ("labels", fit.dataset, used, probed)
            yield from self._once(what, partial(self._check_labels, fit))
            steps = (fit.settings.warmup, fit.settings.batch_size, fit.settings.max_epochs)
            schedule = ("schedule", fit.dataset, used, steps)
            yield from self._once(schedule, partial(self._check_schedule, fit))
            rounds = ("rounds", fit.dataset, fit.training, used, steps)
            yield from self._once(rounds, partial(self._check_rounds, fit))

    def _wrong_model(self, fit: Asked) -> Iterator[str]:
        model = ("model", fit.model)
        yield from self._once(model, partial(self._check_model, fit))
        if not self._fine[model]:
            return
        head, length = fit.head_entry, fit.settings.max_length
        tokenizer = self._tokenizers[fit.model]
        folder = tokenizer.model
        if head.kind in HEADS:
            yield from self._once(("type", fit.model), folder.check_known)
        if head.kind in READS_CLS and fit.language_model.kind == "masked":
            yield from self._once(("CLS", fit.model), tokenizer.check_cls)
        yield from self._once(("length", fit.model, length), partial(folder.check_length, length))
        words = fit.prompts is not None and head.kind in LABEL_WORDS
        if head.pretrained:
            yield from self._once(("weights", fit.model), partial(check_weights, folder))
            if words and self._fine["weights", fit.model]:
                yield from self._once(("lm head", fit.model), partial(check_lm_head, folder))
        if fit.prompts is not None:
            check = partial(self._check_prompts, tokenizer, fit)
            prompts = fit.prompts.model_dump_json()
            what = ("prompts", fit.dataset, fit.model, prompts, head.kind, length)
            yield from self._once(what, check)

    def _once(self, what: tuple[Hashable, ...], check: Callable[[], object]) -> Iterator[str]:
        if what in self._fine:
            return
        self._fine[what] = False
        try:
            check()
            self._fine[what] = True
        except NotDownloaded:
            self.not_here.append(f"{what[0]} {what[1]}: not on this machine")
        except BadInput as error:
            yield str(error)

    def _survey(self, name: str, data: Dataset) -> Survey:
        return survey(name, data, self.assets.dataset_files(name, data))

    def _note_common_rows(self, name: str, data: Dataset, fit: Asked) -> None:
        """Sentiment data sets are often made of the same reviews."""
        both = (name, data), (fit.dataset, fit.data)
        test, train = ((n, d, self.assets.dataset_files(n, d)) for n, d in both)
        count = common_rows(test, train)
        rows = len(self._survey(name, data).labels["test"])
        if count >= MANY_REPEATED * rows and name != fit.dataset:
            self.notes.append(
                f"data set {name!r}: {count} of its {rows} test rows have the text of a training "
                f"row of {fit.dataset!r}"
            )

    def _check_rows(self, name: str, data: Dataset) -> None:
        for split in data.splits.sources():
            if len(roles := data.splits.rest(split)) > 1:
                raise BadInput(
                    f"data set {name!r}: {' and '.join(roles)} are the same rows, those of "
                    f"{split}; draw a share for one of them, e.g. {roles[-1]}: {split}[20%]"
                )
        rows = self._survey(name, data)
        for split, dropped in rows.dropped.items():
            self.notes += [
                f"data set {name!r}: {count} rows of {split} are left out, {reason}"
                for reason, count in dropped.items()
            ]
        if rows.in_training_too >= MANY_REPEATED * len(rows.labels["test"]):
            self.notes += filter(None, [_repeated(name, rows)])
        train = np.unique(rows.labels["train"])
        if len(train) == 1:
            raise BadInput(
                f"data set {name!r}: all {len(rows.labels['train'])} training rows have the label "
                f"{_label(data, train[0])}; a classifier needs rows of at least two"
            )
        if missing := _missing(data, train):
            self.notes.append(f"data set {name!r}: no training row has the label {missing}")
        for role in ("validation", "test"):
            labels = rows.labels[role]
            if len(labels) > 1 and (labels == labels[0]).all():
                self.notes.append(
                    f"data set {name!r}: all {len(labels)} {role} rows have the label "
                    f"{_label(data, labels[0])}"
                )

    def _check_labels(self, fit: Asked) -> None:
        """Linear probing needs rows of each label among the training rows that are used."""
        train = self._survey(fit.dataset, fit.data).labels["train"]
        settings, share = fit.settings, fit.training_entry.train_share
        used = training_rows(train.tolist(), settings.train_examples, share)
        missing = _missing(fit.data, used)
        if not missing:
            return
        line = f"data set {fit.dataset!r}: none of the {len(used)} rows that are trained on "
        line += f"has the label {missing}"
        if fit.head_entry.probe_first:
            raise BadInput(
                f"{line}, and head {fit.head!r} begins with a linear probe, which needs some of "
                "each label; train on more rows, or name only labels that occur"
            )
        if len(used) < len(train):
            self.notes.append(line)

    def _rows_trained_on(self, fit: Asked) -> int:
        rows = self._survey(fit.dataset, fit.data).labels["train"].tolist()
        share = fit.training_entry.train_share
        return len(training_rows(rows, fit.settings.train_examples, share))

    def _check_schedule(self, fit: Asked) -> None:
        try:
            check_schedule(fit.settings, self._rows_trained_on(fit))
        except BadInput as error:
            raise BadInput(f"data set {fit.dataset!r}: {error}") from None

    def _check_rounds(self, fit: Asked) -> None:
        """A training that makes rows must come to do so."""
        rounds = rounds_of(fit.training_entry)
        if rounds is None:
            return
        beginning = f"training {fit.training!r} on data set {fit.dataset!r}"
        rows, epochs = self._rows_trained_on(fit), fit.settings.max_epochs
        if rounds.from_epoch is not None and rounds.from_epoch > epochs:
            raise BadInput(
                f"{beginning}: its from_epoch {rounds.from_epoch} is never reached, fit.max_epochs "
                f"is {epochs}; give more epochs, or a training with `every` in its settings"
            )
        size = fit.settings.batch_size
        before_last = rows * epochs - (rows % size or size)
        if rounds.every is not None and rounds.every > before_last:
            raise BadInput(
                f"{beginning}: its every {rounds.every} is never reached, {rows} training rows in "
                f"{epochs} epochs are {before_last} examples before the last batch; give a "
                "training with a smaller one"
            )
        attacked = rows_attacked(fit.training_entry.settings, rows)
        if rounds.every is not None and attacked >= rounds.every:
            raise BadInput(
                f"{beginning}: {attacked} rows are attacked after every {rounds.every} training "
                "examples; if all attacks succeed there are always more to train on, and the epoch "
                "does not end; give fewer attacked_rows, or a larger every"
            )
        notes = _notes_on_rounds(rounds, rows, attacked, fit.settings)
        self.notes += [f"{beginning}: {note}" for note in notes]

    def _check_model(self, fit: Asked) -> None:
        folder = ModelFolder(fit.model, self.assets.model_folder(fit.model, fit.language_model))
        self._tokenizers[fit.model] = TokenizerFiles(folder)
        model_files(folder.folder)
        folder.check_kind(fit.language_model)
        folder.check_sizes()
        self._tokenizers[fit.model].check()

    def _check_prompts(self, files: TokenizerFiles, fit: Asked) -> None:
        assert fit.prompts is not None
        if files.tokenizer is None:
            self.notes.append(
                f"model {fit.model!r}: label words and templates are not checked before the model "
                "is loaded, since it has no tokenizer.json"
            )
            return
        try:
            files.check_prompts(
                fit.prompts,
                causal=fit.language_model.kind == "causal",
                pair=len(fit.data.columns) == 2,
                max_length=fit.settings.max_length,
                templates=fit.head_entry.kind != "cls_prompt",
            )
        except BadInput as error:
            raise BadInput(f"data set {fit.dataset!r}, {error}") from None


def _notes_on_rounds(rounds: Ada, rows: int, attacked: int, settings: FitSettings) -> Iterator[str]:
    """rows: that are trained on. attacked: of them, in a round."""
    if rounds.attacked_rows > rows:
        yield (
            f"attacked_rows is {rounds.attacked_rows}, and all {rows} training rows are attacked "
            "in a round"
        )
    first = rounds.every or (rounds.from_epoch or 1) * rows - rows
    # The first evaluation is the best so far; `patience` more may not be better.
    earliest = settings.evaluate_every * (1 + settings.patience)
    if first >= earliest:
        yield (
            f"its first round comes after {first} training examples, and with fit.evaluate_every "
            f"{settings.evaluate_every} and fit.patience {settings.patience} training may stop "
            f"after {earliest}, without a round"
        )
    if rounds.every is not None and rounds.every < MANIFOLD / (MANIFOLD - 1) * attacked:
        most = math.ceil(rows * rounds.every / (rounds.every - attacked))
        yield (
            f"{attacked} rows are attacked after every {rounds.every} training examples: if all "
            f"attacks succeed, the first epoch has {most} rows, not {rows}"
        )


def repeated_rows(name: str, data: Dataset, assets: Assets) -> str:
    """A note on test rows that are training rows too; empty if there are none."""
    return _repeated(name, survey(name, data, assets.dataset_files(name, data)))


def _repeated(name: str, rows: Survey) -> str:
    count = rows.in_training_too
    return f"data set {name!r}: {count} test rows have the text of a training row" if count else ""


def _missing(data: Dataset, labels: Iterable[int]) -> str:
    """The labels that are not among these, for a message."""
    missing = sorted(set(range(len(data.labels))) - set(map(int, labels)))
    return ", ".join(_label(data, label) for label in missing)


def _label(data: Dataset, label: int) -> str:
    return f"{label} ({data.labels[label]})"
