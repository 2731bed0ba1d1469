"""How many bytes a space takes: weights in the store, models and data on each machine. Estimates.

Nothing is downloaded for it. Sizes are of the files that are read (parquet, safetensors and
tokenizers), as the hub and TextAttack's servers list them.
"""

from dataclasses import dataclass
from itertools import product

from search_spaces.catalog import LanguageModel
from search_spaces.space import Space
from trainables.assets import EMBEDDED

MB = 1e6
MODELS = {
    "FacebookAI/roberta-base": 502 * MB,
    "google-bert/bert-base-uncased": 442 * MB,
    "openai-community/gpt2": 552 * MB,
}
DATASETS = {
    "fancyzhx/ag_news": 20 * MB,
    "fancyzhx/dbpedia_14": 200 * MB,
    "google/boolq": 6 * MB,
    "nyu-mll/glue": 7 * MB,  # each of its data sets here
}
OTHER_MODEL, OTHER_DATASET = 500 * MB, 100 * MB
# Word vectors, sentence encoder and tagger, packed and unpacked, and the masked language model.
TEXTATTACK = 4000 * MB
# Beside models and data: an image with NVIDIA's driver and CUDA, the packages, logs.
IMAGE_AND_PACKAGES = 60_000 * MB


@dataclass(frozen=True)
class Estimate:
    """Bytes that a space takes.

    fits: how many there are at most. weights: of all fits, in the store. on_a_machine: models, data
    and attack resources. assumed: what has no known size.
    """

    fits: int
    weights: float
    on_a_machine: float
    assumed: tuple[str, ...]

    def __str__(self) -> str:
        said = (
            f"{self.fits} fits, {_size(self.weights)} of weights in the store; "
            f"{_size(self.on_a_machine)} of models and data on each machine"
        )
        return f"{said} ({', '.join(self.assumed)}: assumed)" if self.assumed else said


def estimate(space: Space) -> Estimate:
    catalog = space.catalog
    models = {name: catalog.model(name) for name in space.used("model")}
    fits = {name: _fits(space, name, entry) for name, entry in models.items()}
    weights = {name: _weights(entry) for name, entry in models.items()}
    others = [
        other for name in space.used("dataset") for other in space.evaluate_also.get(name, [])
    ]
    datasets = dict.fromkeys([*space.used("dataset"), *others])
    hubs = {name: catalog.dataset(name).hub for name in datasets}
    data = sum(DATASETS.get(hub.repository, OTHER_DATASET) for hub in hubs.values() if hub)
    fetched = sum(weights[name] for name, entry in models.items() if entry.hub)
    textattack = any(each.attack.resources == "textattack" for each in space.all_settings())
    return Estimate(
        fits=sum(fits.values()),
        weights=sum(fits[name] * weights[name] for name in models),
        on_a_machine=(data if space.assets != "embedded" else 0)
        + fetched
        + TEXTATTACK * textattack,
        assumed=(
            *(name for name, entry in models.items() if entry.hub and entry.hub not in MODELS),
            *(name for name, hub in hubs.items() if hub and hub.repository not in DATASETS),
        ),
    )


def _fits(space: Space, model: str, entry: LanguageModel) -> int:
    """How many fits of a model there are: some may turn out not to apply."""
    axes = space.axes
    places = product(axes.dataset, axes.head, axes.training, space.seeds)
    heads = {name: space.catalog.head(name) for name in axes.head}
    return sum(
        entry.kind not in heads[head].not_for
        and not all(
            space.excluded(
                {
                    **{"dataset": dataset, "model": model, "head": head, "training": training},
                    **{"seed": seed, "attack": attack},
                }
            )
            for attack in axes.attack
        )
        for dataset, head, training, seed in places
    )


def _weights(entry: LanguageModel) -> float:
    """Bytes of a model's weights; a fit's are about as many."""
    if entry.packaged is not None:
        return sum(
            path.stat().st_size for path in (EMBEDDED / entry.packaged).glob("*.safetensors")
        )
    return MODELS.get(str(entry.hub), OTHER_MODEL)


def _size(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size < 10e9 else f"{size / 1e9:.0f} GB"
