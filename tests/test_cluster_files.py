"""The cluster files that ship: right but for what is the user's to set, and wrong ones found out.

AWS is moto's, in this process: the one thing here that cannot be had for real.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.cluster.__main__ import main

REPOSITORY = Path(__file__).parent.parent
AWS, OWNED = REPOSITORY / "cluster.yaml", REPOSITORY / "cluster-onprem.yaml"
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
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, with an ssh key in it, and no AWS account."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(REPOSITORY)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "key").touch()
    return tmp_path


def filled_in(file: Path) -> str:
    text = file.read_text()
    for name, value in SET.items():
        text = text.replace(name, value)
    return text


def check(
    file: Path, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, list[str], str]:
    """Exit code, lines on standard error without the file's name, and standard output."""
    code = main(["check", str(file), *arguments])
    said = capsys.readouterr()
    return code, [line.removeprefix(f"{file}: ") for line in said.err.splitlines()], said.out


@pytest.mark.parametrize(("file", "count"), [(AWS, 4), (OWNED, 7)])
def test_a_shipped_file_lacks_only_what_is_the_users_to_set(
    file: Path, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines, _ = check(file, capsys, "--space", "paper")
    assert code == 2
    assert len(lines) == count
    for line in lines:
        number = int(line.removeprefix("line ").split(":")[0])
        name = line.split(": ")[1].split()[0]
        assert name in SET and name in file.read_text().splitlines()[number - 1]


@pytest.mark.parametrize(
    ("file", "space", "store"),
    [
        (AWS, "paper", "s3://bucket/results"),
        (AWS, "embedded", "s3://bucket/results"),
        (OWNED, "paper", "/shared/results"),
    ],
)
def test_a_file_with_all_set_is_right(
    file: Path, space: str, store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text(filled_in(file))
    assert check(own, capsys, "--space", space) == (
        0, [], f"{own}: nothing wrong; store: {store}\n",
    )  # fmt: skip


def node(config: dict[str, Any], name: str = "gpu_spot") -> dict[str, Any]:
    config["available_node_types"][name]["node_config"] = {
        **config["available_node_types"][name]["node_config"]
    }
    return config["available_node_types"][name]["node_config"]


def small_nodes(config: dict[str, Any]) -> None:
    for name in ("gpu_spot", "gpu_on_demand"):
        config["available_node_types"][name]["resources"] = {"CPU": 8, "GPU": 0}


def store_is(url: str) -> Change:
    line = f'echo "export SWEEP_STORE={url}" >> ~/.bashrc'
    return lambda config: config.update(head_setup_commands=[line])


WRONG: list[tuple[Path, Change, str]] = [
    (AWS, lambda c: c.update(max_worker=3), "unknown name max_worker; did you mean max_workers"),
    (AWS, lambda c: c.update(max_workers="many"), "max_workers: 'many' is not of type 'integer'"),
    (AWS, lambda c: c.update(head_node_type="haed"), "`head_node_type` must be one of"),
    (AWS, lambda c: c["available_node_types"]["gpu_spot"].update(min_workers=40), "`max_workers`"),
    (AWS, lambda c: c.pop("provider"), "'provider' is a required property"),
    (AWS, lambda c: c["provider"].update(type="gcp"), "gcp is not known here; use aws or local"),
    (AWS, lambda c: c["provider"].update(regoin="x"), "name regoin; did you mean region"),
    (AWS, lambda c: c["provider"].pop("region"), "provider.region is missing"),
    (AWS, lambda c: c["provider"].update(aws_credentials={}), "no keys in files"),
    (AWS, lambda c: node(c).update(InstanceTyp="x"), "InstanceTyp; did you mean InstanceType"),
    (
        AWS,
        lambda c: node(c).update(InstanceMarketOptions={"MarketTyp": "spot"}),
        "node_config.InstanceMarketOptions: unknown name MarketTyp; did you mean MarketType",
    ),
    (
        AWS,
        lambda c: node(c).update(BlockDeviceMappings=[{"Ebs": {"VolumeSise": 9}}]),
        "BlockDeviceMappings.0.Ebs: unknown name VolumeSise; did you mean VolumeSize",
    ),
    (AWS, lambda c: node(c).update(InstanceType=4), "Invalid type for parameter InstanceType"),
    (AWS, lambda c: node(c).update(InstanceType="m5.large"), "a GPU, and m5.large has none"),
    (AWS, lambda c: node(c).update(ImageId="ubuntu"), "ImageId ubuntu: give an ami-"),
    (AWS, lambda c: node(c).pop("ImageId"), "ImageId is missing: give an ami-"),
    (AWS, lambda c: node(c).pop("SecurityGroupIds"), "gpu_spot: node_config: no SecurityGroupIds"),
    (AWS, lambda c: node(c).pop("IamInstanceProfile"), "no IamInstanceProfile"),
    (AWS, lambda c: c.pop("metadata"), "metadata.ssh_from is missing"),
    (AWS, lambda c: c["metadata"].update(ssh_from="0.0.0.0/0"), "0.0.0.0/0 is the whole world"),
    (AWS, lambda c: c["metadata"].update(ssh_from="::/0"), "::/0 is the whole world"),
    (AWS, lambda c: c["metadata"].update(ssh_from="office"), "office is no range of addresses"),
    (AWS, lambda c: (c["metadata"].pop("store"), c.pop("head_setup_commands")), "no store: add"),
    (AWS, store_is("/home/ubuntu/results"), "a folder that each machine has for itself"),
    (AWS, store_is("file:///home/ubuntu/results"), "a folder that each machine has for itself"),
    (AWS, store_is("results"), "a folder that each machine has for itself"),
    (AWS, store_is("s3://key:secret@bucket/results"), "the store's URL holds a secret"),
    (AWS, small_nodes, "has room for the space's fit: it needs 4 CPUs and 1 GPUs"),
    (
        AWS,
        lambda c: c["available_node_types"]["gpu_spot"].update(resources={}),
        "node type gpu_spot: resources say no CPU",
    ),
    (
        AWS,
        lambda c: c["head_start_ray_commands"].append("ray start --dashboard-host=0.0.0.0"),
        "`--dashboard-host=0.0.0.0` lets the whole network in",
    ),
    (AWS, lambda c: c["file_mounts"].update({"~/x": "/no/such"}), "there is no /no/such on this"),
    (OWNED, lambda c: c["provider"].update(head="10.0.0.1"), "unknown name head; did you mean"),
    (OWNED, lambda c: c["provider"].pop("head_ip"), "Please supply a `head_ip`"),
    (OWNED, lambda c: c.update(setup_commands=[]), "said in setup_commands by `mountpoint -q"),
    (OWNED, store_is("/sharedother/results"), "a folder that each machine has for itself"),
    (OWNED, lambda c: c["auth"].update(ssh_private_key="~/.ssh/none"), "there is no ~/.ssh/none"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "change", "message"), WRONG, ids=[line for *_, line in WRONG])
def test_what_is_wrong_is_said_in_a_line(
    file: Path, change: Change, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = yaml.safe_load(filled_in(file))
    change(config)
    own = tmp_path / "mine.yaml"
    own.write_text(yaml.safe_dump(config))
    code, lines, out = check(own, capsys, "--space", "paper")
    assert (code, out) == (2, "")
    assert [line for line in lines if message in line], lines
    assert len(lines) <= 2, "one mistake is not to be said in many lines"


def test_a_store_from_the_command_line_is_checked_in_place_of_the_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text(filled_in(AWS))
    code, lines, _ = check(own, capsys, "--store", "results")
    assert code == 2 and "a folder that each machine has for itself" in lines[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "line 1: not valid YAML"), ("- a", "expected `name: value` lines")],
)
def test_what_is_no_yaml_mapping_is_said(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text(text)
    code, lines, _ = check(own, capsys)
    assert code == 2 and len(lines) == 1 and message in lines[0]


def test_without_the_extra_the_check_says_what_to_install() -> None:
    code = (
        "import importlib.util as util; found = util.find_spec;"
        "util.find_spec = lambda name, *more: None if name == 'boto3' else found(name, *more);"
        "from orchestrator.cluster.__main__ import main;"
        "raise SystemExit(main(['check', 'cluster.yaml']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "needs boto3: pip install" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@contextlib.contextmanager
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """EC2 in the file's region, of moto's make."""
    import boto3
    from moto import mock_aws

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "of-the-test")
    with mock_aws():
        yield boto3.client("ec2", region_name="us-west-2")


def prepared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The file with the group that `prepare` made, as a user would get to it."""
    own = tmp_path / "mine.yaml"
    group = SET["YOUR-SECURITY-GROUP"]
    own.write_text(filled_in(AWS).replace(group, "YOUR-SECURITY-GROUP"))
    assert main(["prepare", str(own)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "security group" in line]
    own.write_text(own.read_text().replace("YOUR-SECURITY-GROUP", line.split()[2].rstrip(":")))
    assert main(["check", str(own), "--space", "paper"]) == 0
    return own


def from_the_world(ec2: Any, group: str) -> list[tuple[Any, ...]]:
    """Protocol, ports and range of each rule that lets in more than the group itself."""
    (found,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    return [
        (rule["IpProtocol"], rule.get("FromPort"), rule.get("ToPort"), span["CidrIp"])
        for rule in found["IpPermissions"]
        for span in rule["IpRanges"]
    ]


def test_only_ssh_from_the_given_range_is_let_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with aws(monkeypatch) as ec2:
        own = prepared(tmp_path, capsys)
        (group,) = yaml.safe_load(own.read_text())["metadata"]["security_groups"]
        assert from_the_world(ec2, group) == [("tcp", 22, 22, RANGE)]
        own.write_text(own.read_text().replace(RANGE, "198.51.100.0/24"))
        assert main(["prepare", str(own)]) == 0
        assert from_the_world(ec2, group) == [("tcp", 22, 22, "198.51.100.0/24")]


def test_workers_may_use_the_bucket_and_start_no_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import boto3

    with aws(monkeypatch):
        prepared(tmp_path, capsys)
        iam = boto3.client("iam")
        may = {
            name: [
                (action, resource)
                for statement in iam.get_role_policy(
                    RoleName=f"robustness-sweep-{name}", PolicyName="sweep"
                )["PolicyDocument"]["Statement"]
                for action in statement["Action"]
                for resource in statement["Resource"]
            ]
            for name in ("head", "worker")
        }
        profile = iam.get_instance_profile(InstanceProfileName="robustness-sweep-worker")
    assert {resource for _, resource in may["worker"]} == {
        "arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*",
    }  # fmt: skip
    assert ("s3:PutObject", "arn:aws:s3:::bucket/*") in may["worker"]
    assert set(may["worker"]) < set(may["head"])
    assert ("iam:PassRole", "arn:aws:iam::*:role/robustness-sweep-worker") in may["head"]
    assert [role["RoleName"] for role in profile["InstanceProfile"]["Roles"]] == [
        "robustness-sweep-worker"
    ]


def test_prepare_wants_the_range_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text(filled_in(AWS).replace(RANGE, "YOUR-RANGE"))
    assert main(["prepare", str(own)]) == 2
    assert "YOUR-RANGE is still to be set" in capsys.readouterr().err


def test_ray_fills_in_the_file_and_runs_a_spot_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ray.autoscaler._private.commands import _bootstrap_config
    from ray.autoscaler._private.providers import _get_node_provider

    with aws(monkeypatch) as ec2:
        own = prepared(tmp_path, capsys)
        written = yaml.safe_load(own.read_text())
        config = _bootstrap_config(written, no_config_cache=True)
        (group,) = written["metadata"]["security_groups"]
        for name, kind in config["available_node_types"].items():
            assert kind["node_config"]["SecurityGroupIds"] == [group], name
            assert kind["node_config"]["SubnetIds"] and kind["node_config"]["KeyName"]
        assert from_the_world(ec2, group) == [("tcp", 22, 22, RANGE)]
        provider = _get_node_provider(config["provider"], config["cluster_name"])
        spot = config["available_node_types"]["gpu_spot"]["node_config"]
        provider.create_node(spot, {"ray-node-type": "worker"}, 1)
        (machine,) = provider.non_terminated_nodes({})
        (reservation,) = ec2.describe_instances(InstanceIds=[machine])["Reservations"]
        (instance,) = reservation["Instances"]
        assert instance["InstanceLifecycle"] == "spot"
        assert [found["GroupId"] for found in instance["SecurityGroups"]] == [group]
        provider.terminate_node(machine)
        assert provider.non_terminated_nodes({}) == []
