"""A model's weights by the headers of their files: whole, and of the architecture that is said."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from trainables.assets import WEIGHTS_INDEX, is_git_lfs_pointer
from trainables.families import Family
from trainables.model_folder import ModelFolder, first_line

OTHER_WEIGHTS = ("*.bin", "*.h5", "*.msgpack", "*.pt", "*.pth", "*.ckpt*", "*.gguf", "*.onnx")
LAYER = re.compile(r"(?:^|\.)(?:layer|layers|h)\.(\d+)\.")


def check_weights(model: ModelFolder) -> None:
    """They are there, whole, and of the architecture that config.json names."""
    if "transformers_weights" in model.config:  # an explicit file name: transformers' to find
        return
    shapes: dict[str, list[int]] = {}
    for path, names in _weight_files(model):
        found = _shapes(model, path)
        if lacking := names - set(found):
            raise model.bad(
                f"{path} lacks {min(lacking)}, which {WEIGHTS_INDEX} "
                "says it has; fetch the model again"
            )
        shapes |= found
    if model.family is not None:
        _check_architecture(model, model.family, shapes)


def check_lm_head(model: ModelFolder) -> None:
    """The weights have a language-model head: without one it would start from random numbers.

    To be called after `check_weights`.
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
            f"({needed}), and label words would be scored by random numbers; take weights "
            "with one, or heads without prompts"
        )


def _weight_files(model: ModelFolder) -> Iterator[tuple[Path, set[str]]]:
    """The files of the weights, with tensors that each must have."""
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
            raise model.bad(
                f"no file {path}, a part of its weights by {index.name}; fetch the model again"
            )
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
        "may run code when it is read; if you trust it, make model.safetensors of it: "
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
        what = "only points to the weights (git LFS)" if pointer else "is cut or damaged"
        raise model.bad(f"{path} {what}: {first_line(error)}; {hint}") from None


def _check_architecture(model: ModelFolder, family: Family, shapes: dict[str, list[int]]) -> None:
    bare = family.embeddings.partition(".")[2]
    found = next((n for n in (family.embeddings, bare) if n in shapes), None)
    where = f"its weights in {model.folder} are not of what config.json says"
    if found is None:
        raise model.bad(
            f"{where}, a {model.type}: they have no {family.embeddings}, but "
            f"{min(shapes, default='nothing')}"
        )
    size = model.config.get("vocab_size")
    if isinstance(size, int) and shapes[found][0] != size:
        raise model.bad(
            f"{where}: config.json has vocab_size {size}, and {found} has {shapes[found][0]} rows"
        )
    layers = model.config.get(family.layers) if family.layers else None
    numbers = [int(match[1]) for name in shapes if (match := LAYER.search(name))]
    if isinstance(layers, int) and numbers and max(numbers) + 1 != layers:
        raise model.bad(
            f"{where}: config.json has {family.layers} {layers}, and the weights have "
            f"{max(numbers) + 1}"
        )
