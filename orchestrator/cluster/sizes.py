"""How many bytes a space takes: weights in the store, models and data on each machine. Estimates.

Nothing is downloaded for it: sizes are those by which a plan estimates costs (plan/sizes.py).
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from orchestrator.assets.needed import attack_resources
from orchestrator.plan.cells import ThisMachine, resolve
from orchestrator.plan.sizes import Network, Sizes, Texts
from search_spaces.errors import BadInput
from search_spaces.space import Space
from trainables.assets import Assets
from trainables.attacks.downloads import ARCHIVES, on_this_machine

BYTES_A_NUMBER = 4  # float32
BYTES_A_WORD = 6  # of an English text with its spaces
IN_TRAINING = 4  # a snapshot has the weights, the best ones, and two numbers of AdamW for each
# Word vectors, sentence encoder and tagger, packed and unpacked, and the masked language model.
TEXTATTACK = 4e9
# Beside models and data: an image with NVIDIA's driver and CUDA, the packages, logs.
IMAGE_AND_PACKAGES = 60e9


@dataclass(frozen=True)
class Estimate:
    """Bytes that a space takes.

    fits: how many there are. weights: of all fits, in the store. in_training: of the largest fit's
    snapshot, in the store while it is trained. on_a_machine: models, data and attack resources.
    assumed: a line on each size that is not known.
    """

    fits: int
    weights: float
    in_training: float
    on_a_machine: float
    assumed: tuple[str, ...]

    def __str__(self) -> str:
        said = (
            f"{self.fits} fits, {_size(self.weights)} of weights in the store, and up to "
            f"{_size(self.in_training)} more for each fit in training; "
            f"{_size(self.on_a_machine)} of models and data on each machine"
        )
        return f"{said} ({'; '.join(self.assumed)})" if self.assumed else said


@dataclass(frozen=True)
class Fetched:
    """What a machine fetches before it runs trials. find: raises BadInput where it is not here."""

    size: float
    find: Callable[[], object]

    @property
    def is_here(self) -> bool:
        with suppress(BadInput, OSError):
            self.find()
            return True
        return False


def estimate(space: Space) -> Estimate:
    """Counts the fits as a plan does, on a machine that may lack models and data."""
    sizes = _sizes(space)
    nothing = ThisMachine(Assets("embedded"), provisional=True, reading=True)
    fits = {cell.fit.key: cell.fit for cell, why in resolve(space, nothing) if not why}
    weights = [_weights(sizes.network(fit.model, fit.language_model)) for fit in fits.values()]
    on_a_machine = sum(each.size for each in fetched(space, sizes))
    return Estimate(
        fits=len(fits),
        weights=sum(weights),
        in_training=IN_TRAINING * max(weights, default=0.0),
        on_a_machine=on_a_machine,
        assumed=tuple(sizes.assumed),
    )


def fetched(space: Space, sizes: Sizes | None = None) -> list[Fetched]:
    """What does not ship with the package, nor lie in an assets folder."""
    sizes, assets = sizes or _sizes(space), Assets(space.assets, local_only=True)
    if assets.folder is not None:
        return []
    found = []
    for name in space.used("model"):
        model = space.catalog.model(name)
        if model.packaged is None:
            find: Callable[[], object] = partial(assets.model_folder, name, model)
            found.append(Fetched(_weights(sizes.network(name, model)), find))
    others = [o for name in space.used("dataset") for o in space.evaluate_also.get(name, [])]
    for name in dict.fromkeys([*space.used("dataset"), *others]):
        data = space.catalog.dataset(name)
        if assets.source != "embedded":
            find = partial(assets.dataset_files, name, data)
            found.append(Fetched(_bytes(sizes.texts(name, data)), find))
    if "textattack" in attack_resources(space):
        found.append(Fetched(TEXTATTACK, partial(_textattack, assets)))
    return found


def _sizes(space: Space) -> Sizes:
    """Of a URL's models and data nothing is asked."""
    return Sizes(Assets("hub" if "://" in space.assets else space.assets, local_only=True))


def _textattack(assets: Assets) -> None:
    """Raises BadInput where a part is not here."""
    if assets.textattack_folder is None:
        for archive in ARCHIVES:
            if on_this_machine(archive) is None:
                raise BadInput(f"{archive.name} is not on this machine")


def _weights(network: Network) -> float:
    """Of a language model; a fit's are about as many."""
    return BYTES_A_NUMBER * (network.weights + network.vocabulary * network.width)


def _bytes(texts: Texts) -> float:
    words = texts.train * texts.train_words + (texts.validation + texts.test) * texts.test_words
    return BYTES_A_WORD * words


def _size(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size < 10e9 else f"{size / 1e9:.0f} GB"
