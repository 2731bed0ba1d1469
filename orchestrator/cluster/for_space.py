"""Whether the machines that a cluster's file describes could run a space. Works offline.

The file says which extras are installed, which machines are asked for and how large their disks
are. What only a machine knows (driver, GPU, what can be imported) is asked there, by a command that
the file must have: `python -m orchestrator.cluster node` (node.py).
"""

import re
from collections.abc import Iterator
from typing import Any

from packaging.specifiers import SpecifierSet

from orchestrator.cluster.node import needs_of
from orchestrator.cluster.sizes import IMAGE_AND_PACKAGES, estimate
from search_spaces.errors import BadInput
from search_spaces.space import Space, load
from trainables.node import OURS, wanted_python

Config = dict[str, Any]

INSTALLS = re.compile(rf"(?:\.|{OURS})\[([\w,\s-]*)\]")  # '.[embedded,cluster]'
NODE = re.compile(r"orchestrator\.cluster node\b(?:.*?--space[= ]+(\S+))?")
PYTHON = re.compile(r"\bpython ?=*(3\.\d+)")  # python3.12 -m venv, --python 3.12
GIB = 2**30
TOO_OLD = {"p2": "K80", "p3": "V100", "p3dn": "V100", "g3": "M60", "g3s": "M60"}


def space_problems(config: Config, name: str, space: Space) -> list[str]:
    """A line for each thing that keeps the machines of a file from running a space.

    config: a file that fits Ray's schema. name: what the space was asked for by.
    """
    found = [*_python(config), *_extras(config, space), *_asked_there(config, name, space)]
    for kind, node_type in config.get("available_node_types", {}).items():
        found += [*_disk(kind, node_type, space), *_old_gpus(kind, node_type)]
    return found


def _python(config: Config) -> Iterator[str]:
    wanted = wanted_python()
    for command in _on_workers(config):
        for match in PYTHON.finditer(command):
            if f"{match[1]}.0" not in SpecifierSet(wanted):
                yield f"`{match[0]}`: Python {match[1]} is not {wanted}: name another one"


def _extras(config: Config, space: Space) -> Iterator[str]:
    """Whether what is installed has the extras; a file that installs nothing may use an image."""
    needed = {"cluster": "clusters", **{each: f"{space.name}'s attacks" for each in _names(space)}}
    commands = {
        "on the head": [*config["setup_commands"], *config.get("head_setup_commands", [])],
        "on the workers": _on_workers(config),
    }
    lacking: dict[str, list[str]] = {}
    for where, lines in commands.items():
        groups = [match[1] for line in lines for match in INSTALLS.finditer(line)]
        has = {extra.strip() for group in groups for extra in group.split(",")}
        for extra in needed if groups else ():
            if extra not in has:
                lacking.setdefault(extra, []).append(where)
    for extra, places in lacking.items():
        yield (
            f"setup_commands do not install the extra `{extra}` {' or '.join(places)}, which "
            f"{needed[extra]} need: write '.[{','.join(needed)}]'"
        )


def _names(space: Space) -> list[str]:
    return sorted(needs_of(space).resources)


def _asked_there(config: Config, name: str, space: Space) -> Iterator[str]:
    """Whether each machine is asked, when it starts, for what cannot be known before."""
    wanted = _known_there(space)
    if not wanted:
        return
    found = [match for line in _on_workers(config) for match in NODE.finditer(line)]
    asked: set[str] = set()
    for match in found:
        try:
            asked |= _known_there(load((match[1] or "embedded").strip("'\"")))
        except BadInput as error:
            yield f"`{match[0]}`: {error}"
            return
    if missing := sorted(wanted - asked):
        command = f".venv/bin/python -m orchestrator.cluster node --space {name}"
        yield (
            f"no command asks each machine for {' and '.join(missing)}, which {space.name} needs: "
            f"add to worker_setup_commands: cd ~/{OURS} && {command}"
        )


def _known_there(space: Space) -> set[str]:
    needs = needs_of(space)
    libraries = {"TensorFlow"} if "textattack" in needs.resources else set()
    return libraries | ({"a GPU that torch can use"} if needs.gpus else set())


def _disk(kind: str, node_type: Config, space: Space) -> Iterator[str]:
    needed = IMAGE_AND_PACKAGES + estimate(space).on_a_machine
    for disk in node_type["node_config"].get("BlockDeviceMappings", []):
        size = disk.get("Ebs", {}).get("VolumeSize")
        if isinstance(size, int) and size * GIB < needed:
            yield (
                f"node type {kind}: a disk of {size} GiB is too small: the image and packages take "
                f"about {IMAGE_AND_PACKAGES / 1e9:.0f} GB, models and data about "
                f"{estimate(space).on_a_machine / 1e9:.1f} GB (estimated): set VolumeSize to "
                f"{needed / GIB + 1:.0f} or more"
            )


def _old_gpus(kind: str, node_type: Config) -> Iterator[str]:
    machine = str(node_type["node_config"].get("InstanceType", ""))
    if gpu := TOO_OLD.get(machine.partition(".")[0]):
        yield (
            f"node type {kind}: torch of constraints.txt is made for CUDA 13, which knows the "
            f"{gpu} of {machine} no more: use g4dn, g5, g6, p4d or newer"
        )


def _on_workers(config: Config) -> list[str]:
    return [*config["setup_commands"], *config.get("worker_setup_commands", [])]
