"""What a cluster on AWS needs besides Ray: a security group and roles, as one CloudFormation stack.

The stack has the name of the cluster, and the template stack.yaml says what is in it. For spot
machines an account also needs a role of AWS's own, once: it is not part of a stack, and stays.
"""

import contextlib
import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.cluster import cloudformation
from orchestrator.cluster.cloudformation import Resource
from search_spaces.errors import BadInput

Config = dict[str, Any]

SPOT = "spot.amazonaws.com"
TEMPLATE = Path(__file__).with_suffix(".yaml")


def prepare(config: Config, bucket: str) -> Iterator[str]:
    """Create the stack or update it; yields a line on each thing that was done.

    config: a cluster file's content, without mistakes. Uses the AWS credentials of this machine.
    """
    name, region = config["cluster_name"], config["provider"]["region"]
    template, parameters = TEMPLATE.read_text(), _parameters(config, bucket)
    with _aws_errors_in_a_line():
        cloud, ec2 = _client("cloudformation", region), _client("ec2", region)
        stack = cloudformation.find(cloud, name)
        if stack is None:
            _check_names_are_free(ec2, region, parameters)
            yield f"stack {name}: creating it, which takes some minutes"
            cloudformation.create(cloud, name, template, parameters)
            yield f"stack {name}: created"
        elif cloudformation.update(cloud, stack, template, parameters):
            yield f"stack {name}: updated"
        else:
            yield f"stack {name}: nothing to change"
        group = cloudformation.outputs(cloud, name)["SecurityGroupId"]
        yield f"security group {group}: set it in the file as [{group}]"
        yield from (f"role {each}, with an instance profile" for each in _roles(parameters))
        if _has_spot(config):
            yield from _spot_role(_client("iam", region))
        _check_rules(ec2, group, parameters["SshFrom"])


def release(name: str, region: str) -> Iterator[str]:
    """Delete the stack with all that is in it; yields a line on each thing that was done."""
    with _aws_errors_in_a_line():
        cloud = _client("cloudformation", region)
        stack = cloudformation.find(cloud, name)
        if stack is None:
            raise BadInput(f"nothing to release: there is no stack {name} in {region}")
        resources = cloudformation.resources(cloud, stack)
        _check_no_instances(_client("ec2", region), resources)
        yield f"stack {name}: deleting it, which takes some minutes"
        cloudformation.delete(cloud, stack)
        yield from (f"deleted {each}" for each in resources)
        yield f"stack {name}: deleted"


def _parameters(config: Config, bucket: str) -> dict[str, str]:
    """The template's parameters, by name."""
    name, head_type = config["cluster_name"], config["head_node_type"]
    if not re.fullmatch(r"[a-zA-Z][-a-zA-Z0-9]{0,127}", name):
        raise BadInput(
            f"cluster_name: {name} cannot be the name of a CloudFormation stack: use letters, "
            "digits and hyphens, a letter first"
        )
    roles = {each: _role(kind) for each, kind in config["available_node_types"].items()}
    head = roles.pop(head_type)
    workers = sorted(set(roles.values()))
    if len(workers) > 1:
        raise BadInput(
            f"IamInstanceProfile: the workers have several ({', '.join(workers)}), and `prepare` "
            "makes one role for them: give all the same Name"
        )
    ssh_from = ipaddress.ip_network(str(config["metadata"]["ssh_from"]))
    return {
        "ClusterName": name,
        "SshFrom": str(ssh_from),
        "SshFromFamily": f"IPv{ssh_from.version}",
        "Bucket": bucket,
        "HeadRoleName": head,
        "WorkerRoleName": workers[0] if workers else head,
    }


def _role(node_type: Config) -> str:
    profile = node_type["node_config"]["IamInstanceProfile"]
    if "Name" not in profile:
        raise BadInput(
            "IamInstanceProfile: `prepare` makes profiles by Name; with an Arn make yours"
        )
    return str(profile["Name"])


def _roles(parameters: dict[str, str]) -> list[str]:
    return sorted({parameters["HeadRoleName"], parameters["WorkerRoleName"]})


def _has_spot(config: Config) -> bool:
    options = (
        each["node_config"].get("InstanceMarketOptions", {})
        for each in config["available_node_types"].values()
    )
    return any(each.get("MarketType") == "spot" for each in options)


def _spot_role(iam: Any) -> Iterator[str]:
    """Create the role by which EC2 starts spot machines, if the account never had one.

    The head may not create it: without it only machines on demand would come.
    """
    if not iam.list_roles(PathPrefix=f"/aws-service-role/{SPOT}/")["Roles"]:
        role = iam.create_service_linked_role(AWSServiceName=SPOT)["Role"]["RoleName"]
        yield f"role {role}, for spot machines: created for the account; `release` keeps it"


def _client(service: str, region: str) -> Any:
    import boto3

    return boto3.client(service, region_name=region)


@contextlib.contextmanager
def _aws_errors_in_a_line() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise BadInput(f"AWS refuses: {' '.join(str(error).split())}") from None


def _check_names_are_free(ec2: Any, region: str, parameters: dict[str, str]) -> None:
    """Raises BadInput where something has a name that the new stack needs."""
    networks = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not networks:
        raise BadInput("the account has no default network in this region; make a group by hand")
    named = [
        {"Name": "group-name", "Values": [parameters["ClusterName"]]},
        {"Name": "vpc-id", "Values": [networks[0]["VpcId"]]},
    ]
    groups = ec2.describe_security_groups(Filters=named)["SecurityGroups"]
    taken = [f"security group {group['GroupId']}" for group in groups]
    iam = _client("iam", region)
    for role in _roles(parameters):
        with contextlib.suppress(iam.exceptions.NoSuchEntityException):
            iam.get_role(RoleName=role)
            taken.append(f"role {role}")
        with contextlib.suppress(iam.exceptions.NoSuchEntityException):
            iam.get_instance_profile(InstanceProfileName=role)
            taken.append(f"instance profile {role}")
    if taken:
        raise BadInput(
            f"there is no stack {parameters['ClusterName']} in {region}, but there are already "
            f"{', '.join(taken)}: use them as they are (set the group in the file, without "
            "`prepare`), or delete them, or choose other names in the file"
        )


def _check_rules(ec2: Any, group: str, ssh_from: str) -> None:
    """Raises BadInput where rules were changed by hand, which CloudFormation does not notice."""
    (found,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    rules = set(_rules(found["IpPermissions"]))
    expected = {("tcp 22", ssh_from), ("everything", group)}
    wrong = [
        *(f"it lets in {what} from {source}" for what, source in sorted(rules - expected)),
        *(f"it does not let in {what} from {source}" for what, source in sorted(expected - rules)),
    ]
    if wrong:
        raise BadInput(f"security group {group} was changed by hand, undo that: {', '.join(wrong)}")


def _rules(permissions: list[Config]) -> Iterator[tuple[str, str]]:
    """What is let in, and from where."""
    sources = {
        "IpRanges": "CidrIp",
        "Ipv6Ranges": "CidrIpv6",
        "UserIdGroupPairs": "GroupId",
        "PrefixListIds": "PrefixListId",
    }
    for rule in permissions:
        ports = dict.fromkeys(str(rule[end]) for end in ("FromPort", "ToPort") if end in rule)
        protocol = "everything" if rule["IpProtocol"] == "-1" else rule["IpProtocol"]
        what = " ".join([protocol, *(["-".join(ports)] if ports else [])])
        for kind, key in sources.items():
            yield from ((what, source[key]) for source in rule.get(kind, []))


def _check_no_instances(ec2: Any, resources: list[Resource]) -> None:
    """Raises BadInput where instances use the stack's group or instance profiles.

    CloudFormation would take the roles from them before it finds that the group is in use.
    """
    ids = {resource.id for resource in resources}
    states = ["pending", "running", "shutting-down", "stopping", "stopped"]
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "instance-state-name", "Values": states}]
    )
    used_by: dict[str, list[str]] = {}
    for instance in (i for page in pages for r in page["Reservations"] for i in r["Instances"]):
        uses = {g["GroupId"]: "security group" for g in instance.get("SecurityGroups", [])}
        if profile := instance.get("IamInstanceProfile"):
            uses[profile["Arn"].rpartition("/")[2]] = "instance profile"
        who = f"{instance['InstanceId']} ({instance['State']['Name']})"
        for used in sorted(uses.keys() & ids):
            used_by.setdefault(f"{uses[used]} {used}", []).append(who)
    if used_by:
        lines = [f"{used} is used by {', '.join(who)}" for used, who in used_by.items()]
        raise BadInput(f"nothing was deleted: {'; '.join(lines)}: run `ray down` on the file first")
