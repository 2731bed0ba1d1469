"""Checks of a model's config.json, without loading the model: its type, sizes and positions.

weights.py and tokenizer.py check weights and tokenizer. None of the three needs torch or
transformers, and every check raises BadInput with one line that names the model.
"""

import json
import re
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from search_spaces.catalog import LanguageModel
from search_spaces.errors import BadInput, first_line, nearest
from trainables.models.families import FAMILIES, Family

# Names of sizes in config.json; one model has one of each.
WIDTHS = ("hidden_size", "n_embd", "dim", "d_model", "emb_dim")
ATTENTION_HEADS = ("num_attention_heads", "n_head", "n_heads")
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")


@dataclass(frozen=True)
class ModelFolder:
    """A model's name and folder."""

    name: str
    folder: Path

    def bad(self, problem: str) -> BadInput:
        """The error that something is wrong with this model."""
        return BadInput(f"model {self.name!r}: {problem}")

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.json. Raises BadInput if it cannot be read or has no model_type."""
        config = self.read_json(self.folder / "config.json")
        if not isinstance(config.get("model_type"), str) or not config["model_type"]:
            raise self.bad(
                f"{self.folder / 'config.json'} does not name the "
                'architecture; add "model_type", e.g. "model_type": "bert"'
            )
        return config

    @property
    def type(self) -> str:
        model_type: str = self.config["model_type"]
        return model_type

    @property
    def family(self) -> Family | None:
        return FAMILIES.get(self.type)

    def number(self, setting: str) -> int | None:
        """A size in config.json; None if it has none. Raises BadInput for an invalid one."""
        size = self.config.get(setting)
        if size is not None and (type(size) is not int or size < 0):
            raise self.bad(
                f"{self.folder / 'config.json'} has {setting} {size!r}, which is not a size; "
                "fetch the model again"
            )
        return size

    def check_sizes(self) -> None:
        """Raises BadInput unless sizes are numbers and attention heads divide the layers' width."""
        sizes = {name: self.number(name) for name in (*WIDTHS, *ATTENTION_HEADS, *LAYERS)}
        width, heads = (
            next((name for name in names if sizes[name]), None)
            for names in (WIDTHS, ATTENTION_HEADS)
        )
        own_width = self.config.keys() & {"head_dim", "d_head"}
        if width and heads and not own_width and (sizes[width] or 0) % (sizes[heads] or 1):
            raise self.bad(
                f"{self.folder / 'config.json'} has {width} {sizes[width]}, which is not "
                f"divisible by {heads} {sizes[heads]}; fetch the model again"
            )

    def check_known(self) -> None:
        """Raises BadInput if transformers has no models of its type."""
        if self.family is None and self.type not in _known_types():
            raise self.bad(
                f"{self.folder / 'config.json'} has the model_type {self.type!r}, which "
                f"transformers has no code for; {nearest(self.type, FAMILIES)}"
            )

    def check_kind(self, model: LanguageModel) -> None:
        """Raises BadInput if its catalog file gives the wrong kind, masked or causal."""
        if self.family is None or self.family.causal is None:
            return
        if self.family.causal != (model.kind == "causal"):
            kind = "causal" if self.family.causal else "masked"
            raise BadInput(
                f"model {self.name!r} is a {self.type}, which is {kind}, but its catalog file says "
                f"it is {model.kind}: write kind: {kind}"
            )

    def positions(self) -> int | None:
        """The most tokens that it can read; None if no limit is known."""
        family, config = self.family, self.config
        if family is None or family.positions is None:
            return None
        if config.get("position_biased_input") is False:  # DeBERTa with relative positions only
            return None
        name, default = family.positions
        count = config.get(name, config.get("max_position_embeddings", default))
        if not isinstance(count, int):
            return None
        padding = config.get("pad_token_id")
        return (
            count - (padding if isinstance(padding, int) else 1) - 1
            if family.from_padding
            else count
        )

    def check_length(self, max_length: int) -> None:
        positions = self.positions()
        if positions is not None and max_length > positions:
            raise self.bad(
                f"fit.max_length is {max_length}, but this {self.type} has "
                f"positions for {positions} tokens; give fit.max_length={positions} or less"
            )

    def read_json(self, path: Path) -> dict[str, Any]:
        """The JSON object in one of its files. Raises BadInput if there is none."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise self.bad(
                f"{path} is not JSON: {first_line(error)}; fetch the model again"
            ) from None
        if not isinstance(content, dict):
            raise self.bad(f"{path} does not hold a JSON object")
        return content


@cache
def _known_types() -> frozenset[str]:
    """From the source text of transformers, whose import takes seconds."""
    spec = find_spec("transformers")
    assert spec is not None and spec.origin is not None
    auto = Path(spec.origin).parent / "models" / "auto" / "configuration_auto.py"
    return frozenset(re.findall(r'^ +\("([\w.-]+)", "\w+Config"\)', auto.read_text(), re.M))
