"""What a cluster on AWS needs besides Ray: doors shut but for ssh, and machines that may use S3.

Ray's own security group lets ssh in from everywhere, and its role is the head's alone. So the file
names a group and roles of ours; `prepare` makes them, once.
"""

import contextlib
import ipaddress
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from search_spaces.errors import BadInput, nearest

Config = dict[str, Any]

PROVIDER_KEYS = {
    *("type", "region", "availability_zone", "cache_stopped_nodes", "use_internal_ips"),
    *("security_group", "key_pair", "cloudwatch", "aws_credentials"),
}
RAYS_OWN = {"SubnetIds"}  # in node_config, and no name of EC2's
HAS_GPUS = re.compile(r"(p|g|gr)\d")  # families of EC2's machines
SET_BY_RAY = {"MinCount", "MaxCount"}


def problems(config: Config) -> list[str]:
    """A line for each thing that is wrong with a file that fits Ray's schema."""
    found = [*_ssh_range(config), *_keys(config)]
    for name, node_type in config["available_node_types"].items():
        where = f"node type {name}: node_config"
        found += _node_config(where, node_type["node_config"])
        machine = str(node_type["node_config"].get("InstanceType", ""))
        if node_type["resources"].get("GPU", 0) and not HAS_GPUS.match(machine):
            found.append(f"node type {name}: resources promise a GPU, and {machine} has none")
    return found


def prepare(config: Config, bucket: str) -> list[str]:
    """Make what the file names and the account lacks; returns a line on each thing.

    A security group of the cluster's name, in the default network: ssh from `metadata.ssh_from`,
    everything from the group itself, nothing else; run again, it is set right again. The roles that
    the node types name, each with its instance profile: all may use the bucket, the head's may also
    start and end machines. Uses the AWS credentials of this machine.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    region = config["provider"]["region"]
    try:
        group = _security_group(
            boto3.client("ec2", region_name=region),
            config["cluster_name"],
            config["metadata"]["ssh_from"],
        )
        iam = boto3.client("iam", region_name=region)
        lines = [f"security group {group}: set it in the file as [{group}]"]
        head_type = config["head_node_type"]
        types = config["available_node_types"]
        workers = {_role(kind) for name, kind in types.items() if name != head_type}
        for role in sorted(workers | {_role(types[head_type])}):
            statements = [_may_use(bucket)]
            if role == _role(types[head_type]):
                statements += _may_run_machines(sorted(workers))
            lines.append(_make_role(iam, role, statements))
    except (BotoCoreError, ClientError) as error:
        raise BadInput(f"AWS refuses: {' '.join(str(error).split())}") from None
    return lines


# What is wrong with a file


def _ssh_range(config: Config) -> Iterator[str]:
    given = config.get("metadata", {}).get("ssh_from")
    if given is None:
        yield "metadata.ssh_from is missing: say who may ssh in, e.g. 203.0.113.7/32"
    elif not str(given).startswith("YOUR-"):
        try:
            if ipaddress.ip_network(str(given)).prefixlen == 0:
                yield f"metadata.ssh_from: {given} is the whole world: give your own range"
        except ValueError:
            yield f"metadata.ssh_from: {given} is no range of addresses, as 203.0.113.7/32 is"


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


# What the account lacks


def _security_group(ec2: Any, name: str, ssh_from: str) -> str:
    """The id of the group of that name in the default network, made if need be and set right."""
    networks = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not networks:
        raise BadInput("the account has no default network in this region; make a group by hand")
    network = networks[0]["VpcId"]
    named = [{"Name": "group-name", "Values": [name]}, {"Name": "vpc-id", "Values": [network]}]
    found = ec2.describe_security_groups(Filters=named)["SecurityGroups"]
    if found:
        group = found[0]["GroupId"]
        if old := found[0]["IpPermissions"]:
            ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=old)
    else:
        made = ec2.create_security_group(GroupName=name, Description=name, VpcId=network)
        group = made["GroupId"]
    version = ipaddress.ip_network(ssh_from).version
    ranges: Config = {
        4: {"IpRanges": [{"CidrIp": ssh_from}]},
        6: {"Ipv6Ranges": [{"CidrIpv6": ssh_from}]},
    }[version]
    ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, **ranges},
            {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]},
        ],
    )
    return str(group)


def _role(node_type: Config) -> str:
    profile = node_type["node_config"]["IamInstanceProfile"]
    if "Name" not in profile:
        raise BadInput(
            "IamInstanceProfile: `prepare` makes profiles by Name; with an Arn make yours"
        )
    return str(profile["Name"])


def _make_role(iam: Any, name: str, statements: list[Config]) -> str:
    """Make a role and an instance profile of the same name, where they are not; set its policy."""
    may_assume = _policy([_allow(["sts:AssumeRole"], Principal={"Service": "ec2.amazonaws.com"})])
    there = iam.exceptions.EntityAlreadyExistsException
    with contextlib.suppress(there):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=may_assume)
    with contextlib.suppress(there):
        iam.create_instance_profile(InstanceProfileName=name)
    with contextlib.suppress(there, iam.exceptions.LimitExceededException):
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    iam.put_role_policy(RoleName=name, PolicyName="sweep", PolicyDocument=_policy(statements))
    return f"role {name}, with an instance profile: set right"


def _policy(statements: list[Config]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _allow(actions: list[str], **more: Any) -> Config:
    return {"Effect": "Allow", "Action": actions, **more}


def _may_use(bucket: str) -> Config:
    actions = ["ListBucket", "GetBucketLocation", "GetObject", "PutObject", "DeleteObject"]
    whole = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    return _allow([f"s3:{a}" for a in [*actions, "AbortMultipartUpload"]], Resource=whole)


def _may_run_machines(roles: list[str]) -> list[Config]:
    """For the autoscaler on the head: machines come and go, with the workers' roles on them."""
    actions = ["Describe*", "RunInstances", "TerminateInstances", "StopInstances", "StartInstances"]
    return [
        _allow([f"ec2:{a}" for a in [*actions, "CreateTags", "DeleteTags"]], Resource="*"),
        _allow(["iam:PassRole"], Resource=[f"arn:aws:iam::*:role/{role}" for role in roles]),
    ]
