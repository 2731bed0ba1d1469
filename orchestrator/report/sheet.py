"""A blinded sheet of texts for people to label, and its key.

Successful examples are drawn in equal numbers from every pair of attack and head; the sheet has
their original and perturbed texts in random order, each once, under ids that tell nothing. What
each text is stands in the key alone, a second file that annotators must not see.
"""

import csv
import hashlib
import io
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator.report.results import CellResult, Results, name_of
from search_spaces.errors import BadInput
from trainables.records import Attacked

FOLDER, SHEET, KEY = "people", "sheet.csv", "key.json"
HEADER = ("id", "data_set", "labels", "text", "label")
CANNOT_TELL = "?"
FORMULA = ("=", "+", "-", "@")


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Drawn(Strict):
    """A successful example: its cell and id there, its true label, and the ids of its two texts."""

    cell: str
    example: int
    label: str
    original: str
    perturbed: str


class Key(Strict):
    """What a sheet's texts are. data_sets: of each text, by its id."""

    space: str
    seed: int
    examples: list[Drawn]
    data_sets: dict[str, str]


@dataclass(frozen=True)
class Sheet:
    """A key, and the sheet's texts by id, in the order of its rows."""

    key: Key
    texts: Mapping[str, str]
    labels: Mapping[str, list[str]]  # by data set

    def as_csv(self) -> str:
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(HEADER)
        for id, text in self.texts.items():
            dataset = self.key.data_sets[id]
            # A space before what a spreadsheet would take for a formula.
            shown = f" {text}" if text.startswith(FORMULA) else text
            writer.writerow([id, dataset, " | ".join(self.labels[dataset]), shown, ""])
        return out.getvalue()


Stratum = tuple[str, str]  # attack, head with its training


def stratum(result: CellResult) -> Stratum:
    return result.cell.attack, name_of(result.method)


def successes(results: Results) -> dict[Stratum, list[tuple[CellResult, int]]]:
    """Successful examples, by id, of each attack and head."""
    found: dict[Stratum, list[tuple[CellResult, int]]] = {}
    for result in results.cells:
        successful = result.outcomes.right_before & ~result.outcomes.right_under_attack
        ids = np.sort(result.outcomes.ids[successful]).tolist()
        found.setdefault(stratum(result), []).extend((result, id) for id in ids)
    return found


def draw(results: Results, count: int, seed: int = 0) -> Sheet:
    """A sheet of `count` examples, or of all if there are fewer; the same for the same seed.

    Raises BadInput where no attack succeeded.
    """
    chance = random.Random(f"{seed}/{results.space}")
    strata = [each for each in successes(results).values() if each]
    for each in strata:
        chance.shuffle(each)
    chance.shuffle(strata)
    rounds = range(max(map(len, strata), default=0))
    in_turn = [each[number] for number in rounds for each in strata if number < len(each)]
    if not in_turn:
        raise BadInput("no attack of these cells succeeded: there is nothing to annotate")
    chosen: dict[str, tuple[CellResult, list[int]]] = {}
    for result, id in in_turn[:count]:
        chosen.setdefault(result.cell.key, (result, []))[1].append(id)
    examples: list[Drawn] = []
    texts: dict[str, tuple[str, str]] = {}
    for result, ids in chosen.values():
        dataset, names = result.cell.fit.dataset, result.cell.fit.data.labels
        records = attacked(result, ids)
        for record in (records[id] for id in ids):
            if (label := record.get("label")) is None:
                raise BadInput(f"the records of {result.cell.key} are of a version without labels")
            both = [record["original_text"], record["perturbed_text"]]
            original, perturbed = (text_id(seed, dataset, text) for text in both)
            texts |= {original: (dataset, both[0]), perturbed: (dataset, both[1])}
            examples.append(
                Drawn(
                    cell=result.cell.key,
                    example=record["id"],
                    label=names[label],
                    original=original,
                    perturbed=perturbed,
                )
            )
    order = sorted(texts)
    chance.shuffle(order)
    key = Key(
        space=results.space,
        seed=seed,
        examples=examples,
        data_sets={id: texts[id][0] for id in order},
    )
    labels = {r.cell.fit.dataset: r.cell.fit.data.labels for r in results.cells}
    return Sheet(key, {id: texts[id][1] for id in order}, labels)


def attacked(result: CellResult, ids: list[int]) -> dict[int, Attacked]:
    """The successful ones among a cell's records of these ids."""
    wanted = set(ids)
    return {
        record["id"]: record
        for record in result.records()
        if record["status"] == "successful" and record["id"] in wanted
    }


def text_id(seed: int, dataset: str, text: str) -> str:
    """It begins with a letter: spreadsheets turn 0123 and 12e34 into numbers."""
    digest = hashlib.sha256(f"{seed}/{dataset}/{text}".encode("utf-8", "replace"))
    return f"t{digest.hexdigest()[:10]}"


def write(sheet: Sheet, folder: Path) -> tuple[Path, Path]:
    """Write sheet and key into a folder. Raises BadInput where one of them is there already:
    nothing is overwritten, for annotations may belong to it."""
    paths = folder / SHEET, folder / KEY
    for path in paths:
        if path.exists() or path.is_symlink():
            raise BadInput(
                f"{path} already exists, and annotations may belong to it; give another folder "
                "with --out"
            )
    # With the mark that tells spreadsheets that it is UTF-8.
    contents = sheet.as_csv().encode("utf-8-sig", "replace"), _as_json(sheet.key)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in zip(paths, contents, strict=True):
            with path.open("xb") as file:
                file.write(content)
    except OSError as error:
        raise BadInput(f"the sheet cannot be written: {error}; give another --out") from None
    return paths


def read_key(path: Path) -> Key:
    """Raises BadInput where there is no key, or it is none of ours."""
    try:
        return Key.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadInput(
            f"no key of the sheet at {path} ({error.strerror}); give the {KEY} that --annotate "
            "wrote with --key"
        ) from None
    except ValidationError as error:
        raise BadInput(
            f"{path} is not a key that --annotate wrote: {error.errors()[0]['msg']}"
        ) from None


def _as_json(key: Key) -> bytes:
    return (key.model_dump_json(indent=1) + "\n").encode()
