"""The cluster files that ship: valid except for what the user sets; invalid ones are refused."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aws_account import AWS, OWNED, SET, filled_in, make_home

from orchestrator.cluster.__main__ import main

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_home(tmp_path, monkeypatch)


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
    (AWS, lambda c: c["metadata"].update(ssh_from="office"), "office is not a range of addresses"),
    (AWS, lambda c: (c["metadata"].pop("store"), c.pop("head_setup_commands")), "no store: add"),
    (AWS, store_is("/home/ubuntu/results"), "a folder that machines do not share"),
    (AWS, store_is("file:///home/ubuntu/results"), "a folder that machines do not share"),
    (AWS, store_is("results"), "a folder that machines do not share"),
    (AWS, store_is("s3://key:secret@bucket/results"), "the store's URL holds a secret"),
    (AWS, small_nodes, "has room for the space's fit: it needs 4 CPUs and 1 GPUs"),
    (
        AWS,
        lambda c: c["available_node_types"]["gpu_spot"].update(resources={}),
        "node type gpu_spot: resources name no CPU",
    ),
    (
        AWS,
        lambda c: c["head_start_ray_commands"].append("ray start --dashboard-host=0.0.0.0"),
        "`--dashboard-host=0.0.0.0` lets the whole network in",
    ),
    (AWS, lambda c: c["file_mounts"].update({"~/x": "/no/such"}), "there is no /no/such on this"),
    (OWNED, lambda c: c["provider"].update(head="10.0.0.1"), "unknown name head; did you mean"),
    (OWNED, lambda c: c["provider"].pop("head_ip"), "Please supply a `head_ip`"),
    (OWNED, lambda c: c.update(setup_commands=[]), "`mountpoint -q /FOLDER` in setup_commands"),
    (OWNED, store_is("/sharedother/results"), "a folder that machines do not share"),
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
    assert code == 2 and "a folder that machines do not share" in lines[0]


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
