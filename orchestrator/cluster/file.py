"""What is wrong with a file for `ray up`, before machines cost money or a sweep loses results.

Works offline. Ray's own code checks its part; here is what Ray does not check: unknown names, a
store that is not shared, machines too small for the space, ports open to the network. What concerns
only AWS is in aws.py.
"""

import contextlib
import copy
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.cluster.aws import PROVIDER_KEYS, aws_problems
from search_spaces.errors import nearest
from search_spaces.space import Resources

Config = dict[str, Any]

PLACEHOLDER = re.compile(r"YOUR-[A-Z0-9-]*[A-Z0-9]")
STORE = re.compile(r"\bSWEEP_STORE=['\"]?([^\s'\"]+)")
SHARED = re.compile(r"\bmountpoint\s+-q\s+(/\S+)")
OPEN = re.compile(r"--(?:dashboard-)?host[= ]+(?:0\.0\.0\.0|::|\*)")
COMMANDS = [
    *("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands"),
    *("head_start_ray_commands", "worker_start_ray_commands"),
]
PROVIDERS = {
    "aws": PROVIDER_KEYS,
    "local": {"type", "head_ip", "worker_ips", "external_head_ip"},
}


def problems(path: Path, config: Config, needs: Resources, store: str | None) -> list[str]:
    """A line for each problem: where, what, and what to do.

    config: the file's content. needs: what a trial holds. store: in place of the file's.
    """
    found, misfits = list(_placeholders(path.read_text())), list(_schema(config))
    if misfits:
        return found + misfits  # What follows assumes that shape.
    provider = config["provider"]
    found += _provider(provider)
    if provider["type"] == "aws":
        found += aws_problems(config)
    found += [*_store(config, store or store_of(config)), *_size(config, needs)]
    return [*found, *_open_doors(config)]


def store_of(config: Config) -> str | None:
    """The store that the file's commands set as SWEEP_STORE."""
    found = [match[1] for command in _commands(config) for match in STORE.finditer(command)]
    return found[-1] if found else None


def missing_files(config: Config) -> Iterator[str]:
    """A line for each file that `ray up` needs on this machine and that is missing."""
    files = {f"file_mounts {name}": path for name, path in config.get("file_mounts", {}).items()}
    if "ssh_private_key" in config.get("auth", {}):
        files["auth.ssh_private_key"] = config["auth"]["ssh_private_key"]
    for where, path in files.items():
        if not PLACEHOLDER.search(path) and not Path(path).expanduser().exists():
            yield f"{where}: there is no {path} on this machine"


def _placeholders(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), start=1):
        for name in dict.fromkeys(PLACEHOLDER.findall(re.sub(r"(^|\s)#.*", "", line))):
            yield f"line {number}: {name} is still to be set; the comment there says how"


def _schema(config: Config) -> Iterator[str]:
    """What Ray's schema and Ray's own preparation of the file find."""
    import jsonschema
    import ray.autoscaler
    from ray.autoscaler._private.util import prepare_config, validate_config

    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    wrong = list(jsonschema.Draft7Validator(schema).iter_errors(config))
    for error in wrong:
        where = ".".join(str(part) for part in error.absolute_path) or "the file"
        if error.validator == "additionalProperties" and isinstance(error.instance, dict):
            known = error.schema["properties"]
            for name in error.instance.keys() - known:
                yield f"Ray's schema: {where}: unknown name {name}; {nearest(str(name), known)}"
        else:
            yield f"Ray's schema: {where}: {_cut(error.message)}"
    kind = None if wrong else config["provider"]["type"]
    if wrong or kind not in PROVIDERS:
        if kind:
            yield f"Ray's schema: provider.type: {kind} is not known here; use aws or local"
        return
    logging.getLogger("ray.autoscaler").setLevel(logging.ERROR)
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            validate_config(prepare_config(copy.deepcopy(config)))
    except Exception as error:
        yield f"Ray's schema: {_cut(str(error))}"


def _provider(provider: Config) -> Iterator[str]:
    known = PROVIDERS[provider["type"]]
    for name in provider.keys() - known:
        yield f"provider: unknown name {name}; {nearest(str(name), known)}"


def _store(config: Config, store: str | None) -> Iterator[str]:
    if store is None:
        yield (
            "no store: add to head_setup_commands: "
            'echo "export SWEEP_STORE=s3://BUCKET/FOLDER" >> ~/.bashrc'
        )
        return
    scheme, separator, rest = store.partition("://")
    if separator and scheme != "file":
        if "@" in rest.split("/")[0]:
            yield "the store's URL holds a secret: leave it out, and let the machines' role have it"
        return
    path = rest if separator else store
    shared = [
        match[1] for command in config["setup_commands"] for match in SHARED.finditer(command)
    ]
    if not any(Path(path).is_relative_to(folder) for folder in shared):
        yield (
            f"the store {store} is a folder that machines do not share: use s3://, or a "
            "folder that all mount, with `mountpoint -q /FOLDER` in setup_commands"
        )


def _size(config: Config, needs: Resources) -> Iterator[str]:
    """Whether a machine that the file can bring is large enough for each phase of a trial.

    The file does not describe machines of one's own: they are checked when the cluster is up.
    """
    types = config.get("available_node_types", {})
    known = {name: kind["resources"] for name, kind in types.items()}
    for name in [name for name, resources in known.items() if "CPU" not in resources]:
        yield f"node type {name}: resources name no CPU; give it {{CPU: n, GPU: n}} to be checked"
        return
    for phase, need in (("fit", needs.fit), ("attack", needs.attack)):
        enough = [
            name
            for name, has in known.items()
            if has["CPU"] >= need.cpus and has.get("GPU", 0) >= need.gpus
        ]
        if types and not enough:
            have = ", ".join(f"{n} {r['CPU']} and {r.get('GPU', 0)}" for n, r in known.items())
            yield (
                f"no node type has room for the space's {phase}: it needs {need.cpus} CPUs and "
                f"{need.gpus:g} GPUs (here: {have}); change InstanceType and resources"
            )


def _open_doors(config: Config) -> Iterator[str]:
    for command in _commands(config):
        if match := OPEN.search(command):
            yield (
                f"`{match[0]}` lets the whole network in: use 127.0.0.1 and a tunnel "
                "(ray dashboard, ray attach -p 5000)"
            )


def _commands(config: Config) -> list[str]:
    return [command for name in COMMANDS for command in config.get(name, [])]


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:197]}..."
