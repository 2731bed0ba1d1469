"""What `prepare` makes in an AWS account, and what `release` leaves there."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aws_account import AWS, OWNED, RANGE, SET, account, filled_in, make_home

from orchestrator.cluster.__main__ import main
from orchestrator.cluster.stack import TEMPLATE

NAME = "robustness-sweep"
HEAD, WORKER = f"{NAME}-head", f"{NAME}-worker"
BUCKET = {
    (f"s3:{action}", resource)
    for action in (
        *("ListBucket", "GetBucketLocation", "GetObject", "PutObject", "DeleteObject"),
        "AbortMultipartUpload",
    )
    for resource in ("arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*")
}
INSTANCES = {
    (f"ec2:{action}", "*")
    for action in (
        *("Describe*", "RunInstances", "TerminateInstances", "StopInstances", "StartInstances"),
        *("CreateTags", "DeleteTags"),
    )
}
Said = Callable[..., tuple[int, list[str], list[str]]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_home(tmp_path, monkeypatch)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with account(monkeypatch) as client:
        yield client


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file as a user has it before `prepare`, without the group."""
    own = tmp_path / "mine.yaml"
    group = SET["YOUR-SECURITY-GROUP"]
    own.write_text(filled_in(AWS).replace(group, "YOUR-SECURITY-GROUP"))
    return own


@pytest.fixture
def cluster(file: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    """Runs a command on the file; returns the exit code, and lines of output and of errors."""

    def run(command: str, path: Path = file) -> tuple[int, list[str], list[str]]:
        capsys.readouterr()
        code = main([command, str(path)])
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err.splitlines()

    return run


def group_in(lines: list[str]) -> str:
    (line,) = [line for line in lines if line.startswith("security group ")]
    return line.split()[2].rstrip(":")


def stacks(client: Any) -> list[str]:
    return [stack["StackName"] for stack in client("cloudformation").describe_stacks()["Stacks"]]


def let_in(client: Any, group: str) -> list[tuple[Any, ...]]:
    """Protocol, ports and source of each rule of a group."""
    (found,) = client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
    return [
        (rule["IpProtocol"], rule.get("FromPort"), rule.get("ToPort"), source)
        for rule in found["IpPermissions"]
        for source in [
            *(each["CidrIp"] for each in rule["IpRanges"]),
            *(each["CidrIpv6"] for each in rule["Ipv6Ranges"]),
            *(each["GroupId"] for each in rule["UserIdGroupPairs"]),
        ]
    ]


def may(client: Any, role: str) -> set[tuple[str, str]]:
    """Action and resource of all that a role allows."""
    iam = client("iam")
    assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
    found = set()
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for statement in policy["Statement"]:
            assert statement["Effect"] == "Allow"
            found |= {(a, r) for a in statement["Action"] for r in statement["Resource"]}
    return found


def in_account(client: Any) -> dict[str, set[str]]:
    """The names of what a stack is made of, whoever made it."""
    iam = client("iam")
    return {
        "groups": {
            g["GroupName"] for g in client("ec2").describe_security_groups()["SecurityGroups"]
        },
        "roles": {r["RoleName"] for r in iam.list_roles()["Roles"] if r["Path"] == "/"},
        "profiles": {
            each["InstanceProfileName"] for each in iam.list_instance_profiles()["InstanceProfiles"]
        },
    }


def spot_roles(client: Any) -> list[str]:
    """ARNs of the roles by which EC2 may start spot machines in the account."""
    return [r["Arn"] for r in client("iam").list_roles()["Roles"] if "spot.amazonaws" in r["Path"]]


def start(client: Any, **more: Any) -> str:
    run = client("ec2").run_instances
    (instance,) = run(ImageId="ami-12c6146b", MinCount=1, MaxCount=1, **more)["Instances"]
    return str(instance["InstanceId"])


def change(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = yaml.safe_load(file.read_text())
    change(config)
    file.write_text(yaml.safe_dump(config))


# prepare


def test_prepare_twice_is_one_stack(client: Any, cluster: Said) -> None:
    code, first, _ = cluster("prepare")
    assert code == 0
    assert f"stack {NAME}: created" in first
    code, second, _ = cluster("prepare")
    assert code == 0
    assert f"stack {NAME}: nothing to change" in second
    assert group_in(first) == group_in(second)
    assert stacks(client) == [NAME]


def test_the_printed_group_makes_the_file_right(
    client: Any, cluster: Said, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, lines, _ = cluster("prepare")
    file.write_text(file.read_text().replace("YOUR-SECURITY-GROUP", group_in(lines)))
    assert main(["check", str(file), "--space", "paper"]) == 0


@pytest.mark.parametrize("other", ["198.51.100.0/24", "2001:db8::/48", "198.51.100.7"])
def test_only_ssh_from_the_given_range_is_let_in(
    other: str, client: Any, cluster: Said, file: Path
) -> None:
    _, lines, _ = cluster("prepare")
    group = group_in(lines)
    assert let_in(client, group) == [("tcp", 22, 22, RANGE), ("-1", None, None, group)]
    change(file, lambda c: c["metadata"].update(ssh_from=other))
    code, lines, _ = cluster("prepare")
    assert code == 0
    assert f"stack {NAME}: updated" in lines
    assert group_in(lines) == group
    range_ = other if "/" in other else f"{other}/32"
    assert set(let_in(client, group)) == {("tcp", 22, 22, range_), ("-1", None, None, group)}


def test_workers_may_use_the_bucket_and_start_no_machines(client: Any, cluster: Said) -> None:
    assert cluster("prepare")[0] == 0
    iam = client("iam")
    assert may(client, WORKER) == BUCKET
    passes_on = {("iam:PassRole", f"arn:aws:iam::*:role/{WORKER}")}
    assert may(client, HEAD) == BUCKET | INSTANCES | passes_on
    for name in (HEAD, WORKER):
        profile = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
        assert [role["RoleName"] for role in profile["Roles"]] == [name]
        (statement,) = profile["Roles"][0]["AssumeRolePolicyDocument"]["Statement"]
        assert statement == {
            "Effect": "Allow",
            "Principal": {"Service": "ec2.amazonaws.com"},
            "Action": ["sts:AssumeRole"],
        }


def test_an_account_that_never_had_spot_machines_gets_their_role_and_keeps_it(
    client: Any, cluster: Said
) -> None:
    assert spot_roles(client) == []
    _, first, _ = cluster("prepare")
    (made,) = spot_roles(client)
    assert len([line for line in first if made.rpartition("/")[2] in line]) == 1
    _, second, _ = cluster("prepare")
    assert not [line for line in second if "spot" in line]
    assert cluster("release")[0] == 0
    assert spot_roles(client) == [made]


def test_a_file_without_spot_machines_needs_no_role_for_them(
    client: Any, cluster: Said, file: Path
) -> None:
    change(
        file,
        lambda c: c["available_node_types"]["gpu_spot"]["node_config"].pop("InstanceMarketOptions"),
    )
    assert cluster("prepare")[0] == 0
    assert spot_roles(client) == []


def test_one_role_may_serve_head_and_workers(client: Any, cluster: Said, file: Path) -> None:
    file.write_text(file.read_text().replace(WORKER, HEAD))
    assert cluster("prepare")[0] == 0
    assert in_account(client)["roles"] == {HEAD}
    passes_on = {("iam:PassRole", f"arn:aws:iam::*:role/{HEAD}")}
    assert may(client, HEAD) == BUCKET | INSTANCES | passes_on
    assert cluster("release")[0] == 0
    assert in_account(client)["roles"] == set()


def test_the_template_is_what_cloudformation_expects(client: Any) -> None:
    """By cfn-lint, which moto asks: it knows each resource's properties."""
    client("cloudformation").validate_template(TemplateBody=TEMPLATE.read_text())


def test_what_was_made_without_a_stack_is_named_and_left_as_it_is(
    client: Any, cluster: Said
) -> None:
    ec2, iam = client("ec2"), client("iam")
    group = ec2.create_security_group(GroupName=NAME, Description=NAME)["GroupId"]
    iam.create_role(RoleName=HEAD, AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName=HEAD)
    before = in_account(client)
    code, out, errors = cluster("prepare")
    assert (code, out, len(errors)) == (2, [], 1)
    assert f"security group {group}, role {HEAD}, instance profile {HEAD}" in errors[0]
    assert "use them as they are" in errors[0] and "or delete them" in errors[0]
    assert (in_account(client), stacks(client)) == (before, [])


def test_a_rule_that_somebody_added_is_named(client: Any, cluster: Said) -> None:
    group = group_in(cluster("prepare")[1])
    world = {"IpProtocol": "tcp", "FromPort": 5000, "ToPort": 5001}
    client("ec2").authorize_security_group_ingress(
        GroupId=group, IpPermissions=[{**world, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    )
    code, _, errors = cluster("prepare")
    assert (code, len(errors)) == (2, 1)
    assert f"{group} was changed by hand" in errors[0]
    assert errors[0].endswith("it lets in tcp 5000-5001 from 0.0.0.0/0")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda c: c["metadata"].update(ssh_from="YOUR-RANGE"), "YOUR-RANGE is still to be set"),
        (lambda c: c.update(cluster_name="my_sweep"), "my_sweep cannot be the name of a CloudForm"),
        (
            lambda c: c["available_node_types"]["gpu_spot"]["node_config"].update(
                IamInstanceProfile={"Name": "other"}
            ),
            f"the workers have several (other, {WORKER})",
        ),
        (
            lambda c: c["available_node_types"]["gpu_spot"]["node_config"].update(
                IamInstanceProfile={"Arn": "arn:aws:iam::1:instance-profile/other"}
            ),
            "`prepare` makes profiles by Name",
        ),
    ],
)
def test_what_prepare_cannot_use_is_said_in_a_line(
    wrong: Callable[[dict[str, Any]], object],
    message: str,
    client: Any,
    cluster: Said,
    file: Path,
) -> None:
    change(file, wrong)
    code, out, errors = cluster("prepare")
    assert (code, out, len(errors)) == (2, [], 1)
    assert message in errors[0]
    assert stacks(client) == []


def test_without_credentials_aws_refuses_in_a_line(
    cluster: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):  # of the tests' own store
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # It remembers them.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for command in ("prepare", "release"):
        code, out, errors = cluster(command)
        assert (code, out) == (2, [])
        assert errors == ["error: AWS refuses: Unable to locate credentials"]


# Failures of stacks: moto's stacks never fail, so these write the events that AWS would.


def add_events(stack: Any, *events: tuple[str, str, str, str | None]) -> None:
    """events: type, id, status and reason of each."""
    from moto.cloudformation.models import Event

    for type_, id_, status, reason in events:
        stack.events.append(
            Event(
                stack.stack_id, stack.name, type_.split(":")[-1], id_, type_, status, reason, None
            )
        )


def test_a_stack_that_is_not_created_says_the_first_reason(
    client: Any, cluster: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.cloudformation.models import Stack

    def fail(stack: Any) -> None:
        limit = "Cannot exceed quota for\nRolesPerAccount: 1000"
        add_events(
            stack,
            ("AWS::IAM::Role", HEAD, "CREATE_FAILED", limit),
            ("AWS::IAM::Role", WORKER, "CREATE_FAILED", "Resource creation cancelled"),
            ("AWS::CloudFormation::Stack", stack.stack_id, "DELETE_IN_PROGRESS", "failed: [Role]"),
            ("AWS::CloudFormation::Stack", stack.stack_id, "DELETE_COMPLETE", None),
        )
        stack.status = "DELETE_COMPLETE"

    monkeypatch.setattr(Stack, "create_resources", fail)
    code, _, errors = cluster("prepare")
    assert (code, errors) == (
        2,
        [
            f"error: stack {NAME} was not created: AWS::IAM::Role {HEAD}: "
            "Cannot exceed quota for RolesPerAccount: 1000"
        ],
    )


def test_a_stack_that_is_not_deleted_says_what_keeps_it(
    client: Any, cluster: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.cloudformation.models import Stack

    group = group_in(cluster("prepare")[1])
    why = f"resource {group} has a dependent object"

    def fail(stack: Any) -> None:
        whole = ("AWS::CloudFormation::Stack", stack.stack_id)
        failed = ("AWS::EC2::SecurityGroup", group, "DELETE_FAILED")
        add_events(
            stack,
            (*whole, "DELETE_IN_PROGRESS", "User Initiated"),
            (*failed, "of an earlier `release`"),
            (*whole, "DELETE_FAILED", "The following resource(s) failed to delete: [Group]."),
            (*whole, "DELETE_IN_PROGRESS", "User Initiated"),
            (*failed, why),
            (*whole, "DELETE_FAILED", "The following resource(s) failed to delete: [Group]."),
        )
        stack.status = "DELETE_FAILED"

    monkeypatch.setattr(Stack, "delete", fail)
    code, _, errors = cluster("release")
    assert code == 2
    assert errors == [
        f"error: stack {NAME} was not deleted: AWS::EC2::SecurityGroup {group}: {why}"
    ]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("CREATE_IN_PROGRESS", "run this again in some minutes"),
        ("DELETE_FAILED", "orchestrator.cluster release"),
        ("ROLLBACK_COMPLETE", "orchestrator.cluster release"),
    ],
)
def test_a_stack_that_cannot_be_updated_says_what_to_do(
    status: str, message: str, client: Any, cluster: Said
) -> None:
    from moto.cloudformation.models import cloudformation_backends

    assert cluster("prepare")[0] == 0
    (stack,) = cloudformation_backends["123456789012"]["us-west-2"].stacks.values()
    stack.status = status
    code, out, errors = cluster("prepare")
    assert (code, out, len(errors)) == (2, [], 1)
    assert f"({status})" in errors[0] and message in errors[0]


# release


def test_release_leaves_nothing_of_ours_and_all_of_others(client: Any, cluster: Said) -> None:
    ec2, iam = client("ec2"), client("iam")
    ec2.create_security_group(GroupName="others", Description="others")
    iam.create_role(RoleName="others", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="others")
    client("cloudformation").create_stack(
        StackName="others",
        TemplateBody='{"Resources": {"Role": {"Type": "AWS::IAM::Role", "Properties": {"RoleName":'
        ' "of-others-stack", "AssumeRolePolicyDocument": {}}}}}',
    )
    before = in_account(client)
    group = group_in(cluster("prepare")[1])
    assert in_account(client)["roles"] == before["roles"] | {HEAD, WORKER}
    code, lines, _ = cluster("release")
    assert code == 0
    assert f"deleted AWS::EC2::SecurityGroup {group}" in lines
    assert lines[-1] == f"stack {NAME}: deleted"
    assert in_account(client) == before
    assert stacks(client) == ["others"]
    assert cluster("prepare")[0] == 0, "after `release` all can be prepared again"


def test_release_without_a_stack_is_refused(client: Any, cluster: Said) -> None:
    code, out, errors = cluster("release")
    assert (code, out) == (2, [])
    assert errors == [f"error: nothing to release: there is no stack {NAME} in us-west-2"]


def test_release_is_for_aws(client: Any, cluster: Said) -> None:
    code, out, errors = cluster("release", OWNED)
    assert (code, out) == (2, [])
    assert errors == [f"error: {OWNED}: nothing to release: provider.type is not aws"]


def test_release_works_on_a_file_with_other_mistakes(
    client: Any, cluster: Said, file: Path
) -> None:
    assert cluster("prepare")[0] == 0
    change(file, lambda c: (c.pop("available_node_types"), c.pop("metadata")))
    assert cluster("release")[0] == 0
    assert stacks(client) == []


@pytest.mark.parametrize("command", ["prepare", "release"])
def test_a_stack_of_the_same_name_that_is_not_ours_is_left_alone(
    command: str, client: Any, cluster: Said
) -> None:
    template = '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}'
    client("cloudformation").create_stack(StackName=NAME, TemplateBody=template)
    code, out, errors = cluster(command)
    assert (code, out, len(errors)) == (2, [], 1)
    assert f"stack {NAME} exists, and `prepare` did not make it" in errors[0]
    assert stacks(client) == [NAME]
    assert client("cloudformation").get_template(StackName=NAME)["TemplateBody"]
    assert len(client("sns").list_topics()["Topics"]) == 1


@pytest.mark.parametrize("by", ["group", "profile"])
def test_release_names_the_instances_that_use_the_stack(
    by: str, client: Any, cluster: Said
) -> None:
    group = group_in(cluster("prepare")[1])
    before = in_account(client)
    if by == "group":
        machine, used = start(client, SecurityGroupIds=[group]), f"security group {group}"
    else:
        machine = start(client, IamInstanceProfile={"Name": WORKER})
        used = f"instance profile {WORKER}"
    other = start(client)
    code, out, errors = cluster("release")
    assert (code, out, len(errors)) == (2, [], 1)
    assert f"nothing was deleted: {used} is used by {machine} (running)" in errors[0]
    assert "`ray down`" in errors[0] and other not in errors[0]
    assert in_account(client) == before
    client("ec2").terminate_instances(InstanceIds=[machine])
    assert cluster("release")[0] == 0
    assert stacks(client) == []


# Ray


def test_ray_fills_in_the_file_and_runs_a_spot_machine(
    client: Any, cluster: Said, file: Path
) -> None:
    from ray.autoscaler._private.commands import _bootstrap_config
    from ray.autoscaler._private.providers import _get_node_provider

    group = group_in(cluster("prepare")[1])
    file.write_text(file.read_text().replace("YOUR-SECURITY-GROUP", group))
    config = _bootstrap_config(yaml.safe_load(file.read_text()), no_config_cache=True)
    for name, kind in config["available_node_types"].items():
        assert kind["node_config"]["SecurityGroupIds"] == [group], name
        assert kind["node_config"]["SubnetIds"] and kind["node_config"]["KeyName"]
    assert let_in(client, group) == [("tcp", 22, 22, RANGE), ("-1", None, None, group)]
    provider = _get_node_provider(config["provider"], config["cluster_name"])
    spot = config["available_node_types"]["gpu_spot"]["node_config"]
    provider.create_node(spot, {"ray-node-type": "worker"}, 1)
    (machine,) = provider.non_terminated_nodes({})
    (reservation,) = client("ec2").describe_instances(InstanceIds=[machine])["Reservations"]
    (instance,) = reservation["Instances"]
    assert instance["InstanceLifecycle"] == "spot"
    assert [found["GroupId"] for found in instance["SecurityGroups"]] == [group]
    assert cluster("release")[0] == 2
    provider.terminate_node(machine)
    assert provider.non_terminated_nodes({}) == []
    assert cluster("release")[0] == 0
