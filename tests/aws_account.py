"""An AWS account simulated by moto in this process, and completed cluster files.

AWS is the one service that is simulated. What moto lacks of CloudFormation is added: IPv6 rules of
security groups, and changes of rules.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parent.parent
AWS, OWNED = REPOSITORY / "cluster.yaml", REPOSITORY / "cluster-onprem.yaml"
REGION = "us-west-2"
RANGE = "203.0.113.7/32"
SET = {
    "YOUR-RANGE": RANGE,
    "YOUR-SECURITY-GROUP": "sg-0123456789abcdef0",
    "YOUR-IMAGE": "ami-0123456789abcdef0",
    "YOUR-BUCKET": "bucket",
    "YOUR-HEAD": "10.0.0.1",
    "YOUR-WORKER-1": "10.0.0.2",
    "YOUR-WORKER-2": "10.0.0.3",
    "YOUR-USER": "lab",
    "YOUR-KEY": "key",
    "YOUR-SHARED-FOLDER": "shared",
}


def filled_in(file: Path) -> str:
    text = file.read_text()
    for name, value in SET.items():
        text = text.replace(name, value)
    return text


def make_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home folder for the test, with an ssh key and without AWS credentials."""
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(REPOSITORY)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    (folder / ".ssh").mkdir()
    (folder / ".ssh" / "key").touch()


@contextlib.contextmanager
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty account; yields a function that makes a client of a service."""
    import boto3
    from moto import mock_aws
    from moto.ec2.models.security_groups import SecurityGroupIngress

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "of-the-test")
    monkeypatch.setattr(
        SecurityGroupIngress, "create_from_cloudformation_json", staticmethod(_add_rule)
    )
    monkeypatch.setattr(
        SecurityGroupIngress, "update_from_cloudformation_json", staticmethod(_replace_rule)
    )
    with mock_aws():
        yield lambda service: boto3.client(service, region_name=REGION)


def _permission(properties: dict[str, Any]) -> dict[str, Any]:
    ports = {name: properties[name] for name in ("FromPort", "ToPort") if name in properties}
    sources: dict[str, Any] = {}
    if cidr := properties.get("CidrIp"):
        sources["IpRanges"] = [{"CidrIp": cidr}]
    if cidr := properties.get("CidrIpv6"):
        sources["Ipv6Ranges"] = [{"CidrIpv6": cidr}]
    if group := properties.get("SourceSecurityGroupId"):
        sources["UserIdGroupPairs"] = [{"GroupId": group}]
    return {"IpProtocol": properties["IpProtocol"], **ports, **sources}


def _add_rule(
    name: str, resource: dict[str, Any], account_id: str, region_name: str, **more: Any
) -> Any:
    import boto3
    from moto.ec2.models.security_groups import SecurityGroupIngress

    properties = resource["Properties"]
    boto3.client("ec2", region_name=region_name).authorize_security_group_ingress(
        GroupId=properties["GroupId"], IpPermissions=[_permission(properties)]
    )
    return SecurityGroupIngress(properties["GroupId"], properties)


def _replace_rule(
    original_resource: Any,
    new_resource_name: str,
    cloudformation_json: dict[str, Any],
    account_id: str,
    region_name: str,
) -> Any:
    import boto3

    old = original_resource.properties
    made = _add_rule(new_resource_name, cloudformation_json, account_id, region_name)
    boto3.client("ec2", region_name=region_name).revoke_security_group_ingress(
        GroupId=old["GroupId"], IpPermissions=[_permission(old)]
    )
    return made
