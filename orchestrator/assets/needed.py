"""Which data sets, models and attack resources a space needs, and where each is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from search_spaces.catalog import Dataset, LanguageModel
from search_spaces.errors import BadInput
from search_spaces.space import Space
from trainables.assets import (
    EMBEDDED,
    MODEL_PATTERNS,
    Assets,
    NotDownloaded,
    dataset_digest,
    digest,
    model_files,
)
from trainables.attacks.downloads import (
    ARCHIVES,
    MASKED_LM,
    MASKED_LM_HUB,
    Archive,
    on_this_machine,
)
from trainables.attacks.resources import MASKED_LM_ENTRY, identity, why_not_importable


@dataclass(frozen=True)
class Located:
    """The files of an asset on this machine, by their path in its own folder.

    digest: of their content; for data sets and models the one in keys.
    """

    folder: Path
    files: dict[str, Path]
    digest: str

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(path.stat().st_size for path in self.files.values())

    @property
    def commit(self) -> str | None:
        """The commit of the hub's repository, if the files are in the hub's cache."""
        path = next(iter(self.files.values()))
        return next((up.name for up in path.parents if up.parent.name == "snapshots"), None)


@dataclass(frozen=True)
class Asset:
    """One asset of a space. name: its path in an assets folder.

    ships: it comes with the package. origin: where on the internet it comes from, if it does.
    locate: find it in an asset source; raises BadInput where it is missing. archive: what to
    download if TextAttack has not done so on this machine.
    """

    name: str
    locate: Callable[[Assets], Located]
    ships: bool = False
    origin: dict[str, str] = field(default_factory=dict)
    archive: Archive | None = None


def needed(space: Space, assets: Assets) -> Iterator[Asset]:
    """Every asset that a cell of a space reads, once. Raises BadInput for unknown resources."""
    catalog = space.catalog
    used = space.used("dataset")
    others = [other for name in used for other in space.evaluate_also.get(name, [])]
    for name in dict.fromkeys([*used, *others]):
        data = catalog.dataset(name)
        yield Asset(
            f"datasets/{name}",
            partial(_dataset, name, data),
            ships=assets.source == "embedded",
            origin=_from_hub(data.hub.repository, data.hub.revision) if data.hub else {},
        )
    for name in dict.fromkeys(space.used("model")):
        model = catalog.model(name)
        yield Asset(
            f"models/{name}",
            partial(_model, name, model),
            ships=model.packaged is not None,
            origin=_from_hub(model.hub, model.revision) if model.hub else {},
        )
    resources = attack_resources(space)
    for name in resources:
        identity(name)
    if "embedded" in resources:
        yield Asset("attack resources", _embedded_resources, ships=True)
    if "textattack" not in resources:
        return
    masked_lm = _from_hub(MASKED_LM_HUB, "main")
    yield Asset(f"textattack/{MASKED_LM}", _masked_lm, origin=masked_lm)
    for archive in ARCHIVES:
        yield Asset(
            f"textattack/{archive.name}",
            partial(_unpacked, archive),
            origin={"url": archive.url},
            archive=archive,
        )


def check_attack_resources(space: Space, assets: Assets, planning: bool) -> list[str]:
    """Raises BadInput where TextAttack's own resources, which attacks need, are missing.

    planning: another machine may run them, so a package that this one lacks is a note, returned.
    """
    if "textattack" not in attack_resources(space):
        return []
    if assets.folder is not None or assets.url is not None:
        for asset in needed(space, assets):
            if asset.name.startswith("textattack/"):
                try:
                    asset.locate(assets)
                except NotDownloaded:  # From a URL it is copied, or TextAttack downloads it.
                    continue
                except BadInput as error:
                    raise BadInput(
                        f"attack.resources textattack: {error}; put it there, or give "
                        "--set attack.resources=embedded"
                    ) from None
    if why := why_not_importable("textattack"):
        line = (
            "attack.resources textattack has a sentence encoder that runs on TensorFlow, which "
            f"cannot be imported ({why}): install the extra `textattack`, or give "
            "--set attack.resources=embedded"
        )
        if not planning:
            raise BadInput(line)
        return [line]
    return []


def attack_resources(space: Space) -> set[str]:
    """Of the attacks on a space's cells, and of those within its fits."""
    on_cells = {settings.attack.resources for settings in space.all_settings()}
    return on_cells | {each.settings.resources for each in space.attacks_in_fits()}


def _from_hub(repository: str, revision: str) -> dict[str, str]:
    return {"repository": repository, "revision": revision}


def _dataset(name: str, data: Dataset, assets: Assets) -> Located:
    files = assets.dataset_files(name, data)
    paths = [path for parts in files.values() for path in parts]
    return Located(paths[0].parent, {path.name: path for path in paths}, dataset_digest(files))


def _model(name: str, model: LanguageModel, assets: Assets) -> Located:
    return _model_in(assets.model_folder(name, model))


def _masked_lm(assets: Assets) -> Located:
    if assets.textattack_folder is None:
        return _model_in(Assets("hub", assets.local_only).model_folder(MASKED_LM, MASKED_LM_ENTRY))
    folder = assets.textattack_folder / MASKED_LM
    if not (folder / "config.json").is_file():
        raise BadInput(f"no {folder / 'config.json'}")
    return _model_in(folder)


def _model_in(folder: Path) -> Located:
    files = {
        path.name: path
        for path in sorted(folder.iterdir())
        if path.is_file() and any(fnmatch(path.name, pattern) for pattern in MODEL_PATTERNS)
    }
    return Located(folder, files, digest(model_files(folder)))


def _unpacked(archive: Archive, assets: Assets) -> Located:
    if assets.textattack_folder is not None:
        folder = assets.textattack_folder / archive.name
        if not folder.is_dir():
            raise BadInput(f"no folder {folder}")
    else:
        unpacked = on_this_machine(archive)
        if unpacked is None:
            raise NotDownloaded(f"not downloaded yet from {archive.url}")
        folder = unpacked
    files = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    if not files:
        raise BadInput(f"{folder} is empty")
    return Located(folder, files, digest(files.values()))


def _embedded_resources(assets: Assets) -> Located:
    words = [EMBEDDED / "word_vectors.npz", EMBEDDED / "nltk_data/corpora/stopwords/english"]
    paths = [*words, *model_files(EMBEDDED / "bert")]
    files = {path.relative_to(EMBEDDED).as_posix(): path for path in paths}
    return Located(EMBEDDED, files, digest(paths))
