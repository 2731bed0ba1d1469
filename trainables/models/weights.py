"""Checks of a model's weights by their files' headers: complete, and of the right architecture."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from search_spaces.errors import first_line
from trainables.assets import WEIGHTS_INDEX, is_git_lfs_pointer
from trainables.models.families import Family
from trainables.models.folder import ModelFolder

OTHER_WEIGHTS = ("*.bin", "*.h5", "*.msgpack", "*.pt", "*.pth", "*.ckpt*", "*.gguf", "*.onnx")
LAYER = re.compile(r"(?P<before>.*?(?:^|\.)(?:layer|layers|h)\.)(?P<number>\d+)(?P<after>\..*)")
# Tensors by the name in config.json that gives their number of rows.
ROWS = {
    "type_vocab_size": r"(^|\.)token_type_embeddings\.weight",
    "intermediate_size": r"\.intermediate\.dense\.weight",
}
POSITIONS = r"(^|\.)(position_embeddings|positions_embed|wpe)\.weight"


def check_weights(model: ModelFolder) -> None:
    """Raises BadInput unless the weights are complete and match config.json."""
    if "transformers_weights" in model.config:  # an explicit file name: transformers' to find
        return
    shapes: dict[str, list[int]] = {}
    for path, names in _weight_files(model):
        in_file = _shapes(model, path)
        if lacking := names - set(in_file):
            raise model.bad(
                f"{path} lacks {min(lacking)}, which {WEIGHTS_INDEX} "
                "says it has; fetch the model again"
            )
        shapes |= in_file
    if model.family is not None:
        _check_architecture(model, model.family, shapes)


def check_lm_head(model: ModelFolder) -> None:
    """Raises BadInput if the weights have no language-model head, which would be random then.

    Call after `check_weights`.
    """
    if model.family is None or "transformers_weights" in model.config:
        return
    names = {name for path, _ in _weight_files(model) for name in _shapes(model, path)}
    needed = model.family.lm_head
    if model.family.causal and model.config.get("tie_word_embeddings") is False:
        needed = "embed_out.weight" if model.type == "gpt_neox" else "lm_head.weight"
    if needed is not None and needed not in names:
        raise model.bad(
            f"its weights in {model.folder} have no language-model head "
            f"({needed}), and label words would be scored by random numbers; use weights "
            "with one, or heads without prompts"
        )


def _weight_files(model: ModelFolder) -> Iterator[tuple[Path, set[str]]]:
    """The files of the weights, each with the tensors that it must have."""
    whole, index = model.folder / "model.safetensors", model.folder / WEIGHTS_INDEX
    if whole.is_file():
        yield whole, set()
        return
    if not index.is_file():
        raise model.bad(_no_weights(model))
    places = model.read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise model.bad(f"{index} has no weight_map; fetch the model again")
    for shard in sorted(set(map(str, places.values()))):
        if Path(shard).name != shard:
            raise model.bad(
                f"{index} has weights in another folder, {shard}; put all "
                f"of them into {model.folder}"
            )
        path = model.folder / shard
        if not path.is_file():
            raise model.bad(f"no file {path}, which {index.name} lists; fetch the model again")
        yield path, {name for name, place in places.items() if place == shard}


def _no_weights(model: ModelFolder) -> str:
    others = sorted(p.name for kind in OTHER_WEIGHTS for p in model.folder.glob(kind))
    if not any(name.startswith("pytorch_model") for name in others):
        have = f", but {', '.join(others)}" if others else ""
        return f"no model.safetensors in {model.folder}{have}"
    auto = (
        "AutoModelForCausalLM" if model.family and model.family.causal else "AutoModelForMaskedLM"
    )
    code = (
        f"from transformers import {auto} as M; f = {str(model.folder)!r}; "
        "M.from_pretrained(f, use_safetensors=False).save_pretrained(f)"
    )
    return (
        f"weights in {model.folder} are only in {others[0]}, a file that "
        "may run code when it is read; if you trust it, convert it to model.safetensors: "
        f"python -c {shlex.quote(code)}"
    )


def _shapes(model: ModelFolder, path: Path) -> dict[str, list[int]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        pointer = is_git_lfs_pointer(path)
        hint = "run `git lfs pull` where it was cloned" if pointer else "fetch the model again"
        what = "only points to the weights (git LFS)" if pointer else "is truncated or damaged"
        raise model.bad(f"{path} {what}: {first_line(error)}; {hint}") from None


def _check_architecture(model: ModelFolder, family: Family, shapes: dict[str, list[int]]) -> None:
    bare = family.embeddings.partition(".")[2]
    embeddings = next((n for n in (family.embeddings, bare) if n in shapes), None)
    where = f"its weights in {model.folder} do not match config.json"
    if embeddings is None:
        raise model.bad(
            f"{where}, which says {model.type}: they have no {family.embeddings}, but "
            f"{min(shapes, default='nothing')}"
        )
    positions = family.positions[0] if family.positions else None
    if positions and positions not in model.config:
        positions = "max_position_embeddings"
    rows = {
        "vocab_size": re.escape(embeddings),
        **ROWS,
        **({positions: POSITIONS} if positions else {}),
    }
    for setting, names in rows.items():
        size = model.number(setting)
        for name in (name for name in shapes if re.search(f"{names}$", name)):
            if size is not None and shapes[name][0] != size:
                raise model.bad(
                    f"{where}: config.json has {setting} {size}, but {name} has "
                    f"{shapes[name][0]} rows"
                )
    width = model.number(family.width) if family.width else None
    if width is not None and shapes[embeddings][1] != width:
        raise model.bad(
            f"{where}: config.json has {family.width} {width}, but {embeddings} has "
            f"{shapes[embeddings][1]} columns"
        )
    if family.layers:
        _check_layers(model, family, family.layers, list(shapes), where)


def _check_layers(
    model: ModelFolder, family: Family, setting: str, names: list[str], where: str
) -> None:
    """Raises BadInput unless there are as many as in config.json, each with the same tensors."""
    matches = [match for name in names if (match := LAYER.fullmatch(name))]
    if not matches:
        return
    layers, there = model.number(setting), {int(match["number"]) for match in matches}
    if layers is not None and max(there) + 1 != layers:
        raise model.bad(
            f"{where}: config.json has {setting} {layers}, but the weights have {max(there) + 1}"
        )
    holders: dict[tuple[str, str], set[int]] = {}
    for match in matches:
        holders.setdefault((match["before"], match["after"]), set()).add(int(match["number"]))
    for (before, after), have in holders.items():
        lacking = set(range(max(there) + 1)) - have
        if lacking and len(have) >= len(lacking) and not after.endswith(family.not_in_all):
            raise model.bad(
                f"its weights in {model.folder} lack {before}{min(lacking)}{after}, which would "
                "start from random numbers; fetch the model again"
            )
