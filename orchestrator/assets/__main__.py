"""What a space needs, for machines without internet: list it, fetch it into a folder, verify that.

    python -m orchestrator.assets list --space paper --assets hub
    python -m orchestrator.assets fetch --space paper --to FOLDER
    python -m orchestrator.assets verify FOLDER
    python -m orchestrator.assets upload FOLDER s3://BUCKET/assets

`list` uses no network: with `--assets hub` it shows what is in this machine's caches. `fetch` fills
a folder for `--assets FOLDER`, which then gives the same cells as the hub. Run again it fetches
only what is missing, damaged or from elsewhere; it does not notice when the hub's `main` has
moved on. `upload` copies such a folder to a URL, from where machines with `--assets URL` copy what
they need.

Exit codes: 0 all is well, 1 something is missing or damaged, 2 bad input.
"""

import argparse
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from orchestrator.assets.needed import Asset, Located, needed
from orchestrator.assets.upload import upload
from orchestrator.cli.arguments import Parser, not_empty
from orchestrator.cli.command import called, reports_bad_input, run
from search_spaces.errors import BadInput
from search_spaces.space import Space, load
from trainables import manifest
from trainables.assets import Assets, NotDownloaded
from trainables.attacks.downloads import downloaded
from trainables.manifest import Fetched, File, Manifest
from trainables.scratch import remove_leftovers

WIDTH = 60  # of the names' column


@reports_bad_input
def main(argv: list[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    if arguments.command == "verify":
        return _verify(Path(arguments.folder))
    if arguments.command == "upload":
        for line in upload(Path(arguments.folder), arguments.url):
            print(line, flush=True)
        return 0
    space = load(arguments.space, arguments.only)
    source = arguments.assets or space.assets
    if arguments.command == "list":
        return _list(space, Assets(source, local_only=True))
    return _fetch(space, Assets(source), Path(arguments.to).absolute())


def _list(space: Space, assets: Assets) -> int:
    assets.check()
    missing = 0
    for asset in needed(space, assets):
        try:
            print(_described(asset, asset.locate(assets)), flush=True)
        except BadInput as error:
            missing += 1
            print(f"{asset.name:<{WIDTH}} missing: {_why_missing(asset, error)}", flush=True)
    if missing:
        print(f"{missing} missing")
    return 1 if missing else 0


def _why_missing(asset: Asset, error: BadInput) -> str:
    if isinstance(error, NotDownloaded):
        return f"incomplete on this machine; from {', '.join(asset.origin.values())}"
    return str(error)


def _described(asset: Asset, located: Located) -> str:
    size = f"{located.size / 1e6:.1f} MB"
    return f"{asset.name:<{WIDTH}} {size:>10}  {located.digest[:10]}  {located.folder}"


def _fetch(space: Space, assets: Assets, to: Path) -> int:
    assets.check()
    have = manifest.read(to) or Manifest()
    remove_leftovers(to)
    for asset in needed(space, assets):
        if asset.ships:
            print(f"{asset.name:<{WIDTH}} ships with the package: nothing to fetch", flush=True)
        elif _is_whole(asset, assets, to, have.assets.get(asset.name)):
            print(f"{asset.name:<{WIDTH}} is already there", flush=True)
        else:
            try:
                have.assets[asset.name] = _fetch_one(asset, assets, to, have)
                manifest.write(to, have)
            except OSError as error:
                raise BadInput(f"{to} cannot be filled with {asset.name}: {error}") from error
            print(_described(asset, asset.locate(Assets(str(to)))), flush=True)
    return 0


def _is_whole(asset: Asset, assets: Assets, to: Path, fetched: Fetched | None) -> bool:
    """Whether an asset was fetched from the same place, and all its files are unchanged."""
    if fetched is None or not fetched.is_from(_origin(asset, assets)):
        return False
    if any(manifest.missing_or_damaged(to, fetched)):
        return False
    try:
        asset.locate(Assets(str(to)))  # It may need more splits than before.
    except BadInput:
        return False
    return True


def _fetch_one(asset: Asset, assets: Assets, to: Path, have: Manifest) -> Fetched:
    """Bring an asset's files into the folder. Raises BadInput where they cannot be fetched."""
    origin, there = _origin(asset, assets), Assets(str(to))
    before = have.assets.get(asset.name)
    located = _located(asset, assets)
    if located is None:
        assert asset.archive is not None
        to.mkdir(parents=True, exist_ok=True)
        with downloaded(asset.archive, to) as unpacked:
            paths = (path for path in sorted(unpacked.rglob("*")) if path.is_file())
            sources = {path.relative_to(unpacked).as_posix(): path for path in paths}
            files = _copied(asset, sources, to, before)
    else:
        files = _copied(asset, located.files, to, before)
        if located.commit:
            origin = {**origin, "commit": located.commit}
    earlier = before.files if before else {}
    for name in earlier.keys() - files.keys():
        if (to / name).is_file() and manifest.of(to / name) == earlier[name]:
            (to / name).unlink()
    read = asset.locate(there)
    if located is None:
        strange = {f"{asset.name}/{name}" for name in read.files} != files.keys()
    else:
        strange = read.digest != located.digest
    if strange:
        raise BadInput(
            f"{to / asset.name} holds other files than those of {asset.name}, which would be read "
            "with them; empty it and fetch again"
        )
    return Fetched(origin=origin, files=files)


def _copied(
    asset: Asset, sources: Mapping[str, Path], to: Path, before: Fetched | None
) -> dict[str, File]:
    """Copy an asset's files into the folder; only files that were fetched before are replaced.

    Raises BadInput, before anything is copied, where a file that was not fetched is in the way.
    """
    fetched = before.files if before else {}
    for name, path in sources.items():
        target, listed = to / asset.name / name, f"{asset.name}/{name}"
        if not os.path.lexists(target) or listed in fetched:
            continue
        if not target.is_file() or manifest.of(target) != manifest.of(path):
            raise BadInput(
                f"{target} already exists, differs from the file of {asset.name}, and was "
                "not fetched; move it away, or fetch into another folder"
            )
    return {
        f"{asset.name}/{name}": manifest.copy(path, to / asset.name / name)
        for name, path in sources.items()
    }


def _located(asset: Asset, assets: Assets) -> Located | None:
    """The asset in its source, None where it is an archive still to be downloaded."""
    try:
        return asset.locate(assets)
    except NotDownloaded:
        if asset.archive is None:
            raise
        return None


def _origin(asset: Asset, assets: Assets) -> dict[str, str]:
    if assets.url is not None:
        return {"url": assets.url}
    return asset.origin if assets.folder is None else {"folder": str(assets.folder)}


def _verify(folder: Path) -> int:
    """Print a line for each file that is missing or damaged."""
    fetched = manifest.read(folder)
    if fetched is None:
        raise BadInput(f"no {folder / manifest.NAME}: nothing was fetched into that folder")
    wrong = list(_wrong(folder, fetched))
    print("\n".join(wrong) or f"{_count(fetched)} files of {len(fetched.assets)} assets are whole")
    return 1 if wrong else 0


def _wrong(folder: Path, fetched: Manifest) -> Iterator[str]:
    for asset in fetched.assets.values():
        yield from manifest.missing_or_damaged(folder, asset)


def _count(fetched: Manifest) -> int:
    return sum(len(asset.files) for asset in fetched.assets.values())


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=called("assets"),
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="what a space needs, and where it is")
    fetching = commands.add_parser("fetch", help="bring what a space needs into a folder")
    for command in (listing, fetching):
        add = command.add_argument
        add("--space", default="embedded", metavar="NAME|FILE", help="(embedded)")
        add("--only", action="append", default=[], metavar="AXIS=VALUE[,VALUE]",
            help="keep only these values of an axis; repeatable")  # fmt: skip
        add("--assets", type=not_empty, metavar="embedded|hub|FOLDER|URL",
            help="from where (the space's)")  # fmt: skip
    fetching.add_argument("--to", required=True, metavar="FOLDER", help="the folder to fill")
    verifying = commands.add_parser("verify", help="whether a folder is as it was fetched")
    verifying.add_argument("folder", metavar="FOLDER")
    uploading = commands.add_parser("upload", help="copy a fetched folder to a URL")
    uploading.add_argument("folder", metavar="FOLDER")
    uploading.add_argument("url", metavar="URL", help="e.g. s3://bucket/assets")
    return parser


if __name__ == "__main__":
    run(main)
