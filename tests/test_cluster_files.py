"""The cluster files that ship: valid except for what the user sets; invalid ones are refused."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aws_account import AWS, OWNED, SET, filled_in, make_home
from safetensors.numpy import load_file

from orchestrator.cluster.__main__ import main
from orchestrator.cluster.sizes import estimate
from orchestrator.plan.plan import make_plan
from search_spaces.catalog import PACKAGED
from search_spaces.space import load
from trainables.assets import EMBEDDED, Assets
from trainables.store import Store

# 225 fits are those of 5 data sets, 3 seeds, 6 heads on two models and 3 on GPT-2.
ESTIMATED = {
    "paper": "225 fits, 106 GB of weights in the store, and up to 2.0 GB more for each fit in "
    "training; 5.7 GB of models and data on each machine",
    "embedded": "105 fits, 2.5 GB of weights in the store, and up to 0.1 GB more for each fit in "
    "training; 0.0 GB of models and data on each machine",
}
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_home(tmp_path, monkeypatch)
    # What this machine has downloaded would be as large as it is there.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


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
    code, lines, out = check(own, capsys, "--space", space)
    assert (code, lines) == (0, [])
    nothing_wrong, estimated = out.splitlines()
    assert nothing_wrong == f"{own}: nothing wrong; store: {store}"
    assert estimated == f"{space}, estimated: {ESTIMATED[space]}"


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


def pip_installs(*extras: str, key: str = "setup_commands") -> Change:
    """The file installs these extras alone, in commands of a kind."""

    def change(config: dict[str, Any]) -> None:
        commands = config["setup_commands"]
        (line,) = [line for line in commands if ".venv/bin/pip install" in line]
        commands.remove(line)
        installs = line.replace("[embedded,textattack,cluster]", f"[{','.join(extras)}]")
        config[key] = [installs, *config.get(key, [])]

    return change


def without_node(config: dict[str, Any]) -> None:
    for key in ("setup_commands", "worker_setup_commands"):
        config[key] = [line for line in config.get(key, []) if "cluster node" not in line]


def node_for(space: str) -> Change:
    def change(config: dict[str, Any]) -> None:
        without_node(config)
        config["worker_setup_commands"] = [f"python -m orchestrator.cluster node --space {space}"]

    return change


def disk(gib: int) -> Change:
    mapping = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": gib}}
    return lambda config: node(config).update(BlockDeviceMappings=[mapping])


def machine(name: str, **resources: int) -> Change:
    def change(config: dict[str, Any]) -> None:
        node(config).update(InstanceType=name)
        config["available_node_types"]["gpu_spot"]["resources"] = resources

    return change


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
    (
        AWS,
        pip_installs("embedded", "cluster"),
        "the extra `textattack` on the head or on the workers, which paper's attacks need: write "
        "'.[cluster,textattack]'",
    ),
    (OWNED, pip_installs("textattack"), "do not install the extra `cluster` on the head or"),
    (AWS, without_node, "no command asks each machine for TensorFlow and a GPU that torch can use"),
    (OWNED, without_node, "cluster node --space paper"),
    (AWS, node_for("embedded"), "no command asks each machine for TensorFlow and a GPU that torch"),
    (AWS, node_for("papre"), "unknown space 'papre'"),
    (AWS, disk(30), "gpu_spot: a disk of 30 GiB is too small: the image and packages take about"),
    (
        AWS,
        lambda c: c["setup_commands"].append("uv venv --python 3.13 .venv"),
        "`python 3.13`: Python 3.13 is not",
    ),
    (AWS, machine("p3.2xlarge", CPU=8, GPU=1), "for CUDA 13, which knows the V100 of p3.2xlarge"),
    (AWS, machine("g5.2xlarge", CPU=16, GPU=1), "promise 16 CPUs, and g5.2xlarge has 8"),
    (AWS, machine("g5.16xlarge", CPU=64, GPU=4), "promise 4 GPUs, and g5.16xlarge has 1"),
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


@pytest.mark.parametrize(
    "change",
    [
        lambda c: pip_installs("embedded", "cluster", "textattack")(c),
        lambda c: c.update(setup_commands=[]),  # an image has all of it
        machine("g5.12xlarge", CPU=48, GPU=4),
        machine("p4d.24xlarge", CPU=96, GPU=8),
        disk(100),
        node_for("'paper'"),
    ],
)
def test_other_files_that_could_run_the_space_are_right(
    change: Change, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = yaml.safe_load(filled_in(AWS))
    change(config)
    own = tmp_path / "mine.yaml"
    own.write_text(yaml.safe_dump(config))
    assert check(own, capsys, "--space", "paper")[:2] == (0, [])


def test_an_extra_for_the_head_alone_is_not_on_the_workers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = yaml.safe_load(filled_in(AWS))
    more = "cd ~/robustness-sweep && .venv/bin/pip install -e '.[textattack]'"
    pip_installs("embedded", "cluster")(config)
    config["head_setup_commands"].append(more)
    own = tmp_path / "mine.yaml"
    own.write_text(yaml.safe_dump(config))
    code, (line,), _ = check(own, capsys, "--space", "paper")
    assert code == 2 and "do not install the extra `textattack` on the workers, which" in line
    assert check(own, capsys)[:2] == (0, [])  # the embedded space needs no TensorFlow


def test_a_store_without_room_for_the_weights_is_said_before_ray_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text(filled_in(OWNED))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=50e9))
    code, (line,), _ = check(own, capsys, "--space", "paper", "--ray-address", "auto")
    assert code == 2
    said = "50.0 GB are free; the weights of 225 fits, and one fit in training, take about 107.7 GB"
    assert f"/shared/results: {said}" in line


def test_models_and_data_of_unknown_size_are_named(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog"
    for axis, name, entry in (
        ("models", "mine", {"about": "A model.", "hub": "me/mine"}),
        ("datasets", "sst2", {**yaml.safe_load((PACKAGED / "datasets/sst2.yaml").read_text())}),
    ):
        entry = {**entry, **({"hub": {"repository": "me/data"}} if axis == "datasets" else {})}
        (catalog / axis).mkdir(parents=True)
        (catalog / axis / f"{name}.yaml").write_text(yaml.safe_dump(entry))
    space = yaml.safe_load((PACKAGED.parent / "paper.yaml").read_text())
    space["axes"] |= {"dataset": ["sst2"], "model": ["mine"], "head": ["mlp_ft"]}
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(space))
    assert str(estimate(load(str(tmp_path / "space.yaml")))) == (
        "3 fits, 1.3 GB of weights in the store, and up to 1.7 GB more for each fit in training; "
        "4.5 GB of models and data on each machine (data set sst2 is taken to have 10,000 "
        "training rows of 40 words: its files are not here; model mine is taken to be as large as "
        "BERT base: its config.json is not here)"
    )


def test_a_cluster_counts_the_fits_that_a_plan_has(tmp_path: Path) -> None:
    space = load("embedded", only=["model=gpt2-embedded,bert-embedded", "dataset=sst2,mrpc"])
    plan = make_plan(space, Assets("embedded"), Store(str(tmp_path)))
    assert estimate(space).fits == len(plan.fits) > 0


def test_a_fits_weights_and_snapshot_are_as_large_as_estimated() -> None:
    """Within a fifth of the weights of the packaged models, which are kept as float16."""
    for name in ("bert-embedded", "gpt2-embedded", "roberta-embedded"):
        space = load("embedded", only=[f"model={name}", "dataset=sst2", "head=mlp_ft"])
        folder = EMBEDDED / str(space.catalog.model(name).packaged)
        kept = load_file(folder / "model.safetensors").values()
        there = 4 * sum(tensor.size for tensor in kept)
        expected = estimate(space)
        assert expected.weights / expected.fits == pytest.approx(there, rel=0.2), name
        assert expected.in_training == pytest.approx(4 * there, rel=0.2)


APT = """#!/bin/sh
echo "$*" >> calls
case "$*" in
  *update*) if test -e tried; then touch lists; else touch tried; exit 100; fi ;;
  *install*) test -e lists || { echo "E: Unable to locate package python3-venv"; exit 100; } ;;
esac
"""


def test_a_fresh_machine_has_its_list_of_packages_before_any_is_installed(tmp_path: Path) -> None:
    """`apt-get` finds nothing on a fresh image, and the first `update` a lock in its way."""
    for name, script in (("sudo", '#!/bin/sh\nexec "$@"\n'), ("apt-get", APT), ("sleep", "")):
        (tmp_path / name).write_text(script or "#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    commands = [c for c in yaml.safe_load(AWS.read_text())["setup_commands"] if "apt-get" in c]
    for command in commands:
        path = f"{tmp_path}:/usr/bin:/bin"
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env={"PATH": path}, capture_output=True
        )
        assert done.returncode == 0, done.stdout
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [("update" in call, "install" in call) for call in calls] == [
        (True, False),
        (True, False),
        (False, True),
    ]


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
