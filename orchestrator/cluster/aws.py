"""What is wrong with a cluster's file for AWS, beyond what Ray checks.

Ray's own security group lets ssh in from everywhere, and its role is the head's alone. So the file
names a group and roles of its own; stack.py makes them.
"""

import ipaddress
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from search_spaces.errors import nearest

Config = dict[str, Any]

PROVIDER_KEYS = {
    *("type", "region", "availability_zone", "cache_stopped_nodes", "use_internal_ips"),
    *("security_group", "key_pair", "cloudwatch", "aws_credentials"),
}
RAYS_OWN = {"SubnetIds"}  # in node_config, but not a name of EC2's
HAS_GPUS = re.compile(r"(p|g|gr)\d")  # families of EC2's machines
SIZE = re.compile(r"(\d+)?xlarge")  # 4 virtual CPUs, times the number
GPUS_AS_G5 = {"g4dn", "g5", "g6", "g6e"}  # one GPU in all sizes but
GPUS_BY_SIZE = {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8, "metal": 8}
SET_BY_RAY = {"MinCount", "MaxCount"}


def aws_problems(config: Config) -> list[str]:
    """A line for each problem of a file that fits Ray's schema."""
    found = [*_ssh_range(config), *_keys(config)]
    for name, node_type in config["available_node_types"].items():
        where = f"node type {name}: node_config"
        found += _node_config(where, node_type["node_config"])
        machine = str(node_type["node_config"].get("InstanceType", ""))
        found += _promises(f"node type {name}", node_type["resources"], machine)
    return found


def _promises(where: str, resources: Config, machine: str) -> Iterator[str]:
    """Whether a machine has what the file tells Ray; trials would wait for what it has not."""
    gpus, cpus = resources.get("GPU", 0), resources.get("CPU", 0)
    if gpus and not HAS_GPUS.match(machine):
        yield f"{where}: resources promise a GPU, and {machine} has none"
    family, _, size = machine.partition(".")
    if family in GPUS_AS_G5 and gpus > GPUS_BY_SIZE.get(size, 1):
        has = GPUS_BY_SIZE.get(size, 1)
        yield f"{where}: resources promise {gpus} GPUs, and {machine} has {has}"
    if (match := SIZE.fullmatch(size)) and cpus > 4 * int(match[1] or 1):
        yield f"{where}: resources promise {cpus} CPUs, and {machine} has {4 * int(match[1] or 1)}"


def _ssh_range(config: Config) -> Iterator[str]:
    given = config.get("metadata", {}).get("ssh_from")
    if given is None:
        yield "metadata.ssh_from is missing: say who may ssh in, e.g. 203.0.113.7/32"
    elif not str(given).startswith("YOUR-"):
        try:
            if ipaddress.ip_network(str(given)).prefixlen == 0:
                yield f"metadata.ssh_from: {given} is the whole world: give your own range"
        except ValueError:
            yield f"metadata.ssh_from: {given} is not a range of addresses such as 203.0.113.7/32"


def _keys(config: Config) -> Iterator[str]:
    if "region" not in config["provider"]:
        yield "provider.region is missing, e.g. us-west-2"
    if "aws_credentials" in config["provider"]:
        yield "provider.aws_credentials: no keys in files: leave it out, and sign in as for `aws`"


def _node_config(where: str, node_config: Config) -> Iterator[str]:
    shape = _run_instances()
    asked = {name: value for name, value in node_config.items() if name not in RAYS_OWN}
    wrong = list(_unknown_names(where, asked, shape))
    yield from wrong or _wrong_types(where, asked, shape)
    if "SecurityGroupIds" not in node_config:
        yield (
            f"{where}: no SecurityGroupIds: Ray would make a group that lets ssh in from "
            "everywhere; run `python -m orchestrator.cluster prepare` and give its group"
        )
    if "IamInstanceProfile" not in node_config:
        yield f"{where}: no IamInstanceProfile: without a role it cannot reach the store on S3"
    image = str(node_config.get("ImageId", ""))
    if not re.fullmatch(r"ami-[0-9a-f]+|YOUR-.*", image):
        yield (
            f"{where}: ImageId {image or 'is missing'}: give an ami-... of your region with Python "
            "3.10 or newer; Ray's default has none"
        )


@cache
def _run_instances() -> Any:
    """The shape of EC2's RunInstances call, from the description that botocore ships with."""
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    description = Loader().load_service_model("ec2", "service-2")
    return ServiceModel(description, "ec2").operation_model("RunInstances").input_shape


def _unknown_names(where: str, value: Any, shape: Any) -> Iterator[str]:
    if shape.type_name == "structure" and isinstance(value, dict):
        for name, inner in value.items():
            if name in shape.members:
                yield from _unknown_names(f"{where}.{name}", inner, shape.members[name])
            else:
                yield f"{where}: unknown name {name}; {nearest(name, shape.members)}"
    elif shape.type_name == "list" and isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _unknown_names(f"{where}.{number}", inner, shape.member)


def _wrong_types(where: str, value: Config, shape: Any) -> Iterator[str]:
    from botocore.validate import ParamValidator

    report = ParamValidator().validate({**dict.fromkeys(SET_BY_RAY, 1), **value}, shape)
    if report.has_errors():
        yield from (f"{where}: {line}" for line in report.generate_report().splitlines())
