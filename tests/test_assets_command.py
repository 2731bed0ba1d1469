"""An assets folder for machines without internet: listed, fetched, verified, and then swept on.

The hub is its cache on this machine, laid out as huggingface_hub keeps it; what TextAttack would
download comes from a server on this machine.
"""

import hashlib
import http.server
import io
import json
import os
import pickle
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from commands import run
from test_sources import REVISION, put_in_hub_cache

from orchestrator.assets import __main__ as command
from orchestrator.assets import needed
from search_spaces.catalog import PACKAGED
from trainables.assets import EMBEDDED
from trainables.attacks.downloads import ARCHIVES, Archive

GLUE, BERT = "nyu-mll/glue", "google-bert/bert-base-uncased"
BIG = 256 * 2**20  # bytes of a file whose copying takes long enough to be killed


def write_space(folder: Path, resources: str, *attacks: str) -> str:
    space = yaml.safe_load((PACKAGED.parent / "embedded.yaml").read_text())
    space |= {"name": "from-the-hub", "assets": "hub"}
    space["axes"] |= {"dataset": ["sst2"], "model": ["bert-base-uncased"], "head": ["mlp_ft"]}
    space["axes"]["attack"] = list(attacks)
    space["attack"] |= {"resources": resources, "examples": 2}
    space["fit"] |= {"train_examples": 32, "max_epochs": 1, "max_length": 48}
    (folder / "space.yaml").write_text(yaml.safe_dump(space))
    return str(folder / "space.yaml")


@pytest.fixture
def hub(tiny_bert: Path, tmp_path: Path) -> dict[str, str]:
    """The environment in which the hub is a cache with SST-2, in three files, and a BERT."""
    rows = EMBEDDED / "datasets" / "sst2"
    train = pq.read_table(rows / "train.parquet")
    half = train.num_rows // 2
    parts = [tmp_path / "first.parquet", tmp_path / "second.parquet"]
    pq.write_table(train.slice(0, half), parts[0])
    pq.write_table(train.slice(half), parts[1])
    files = {
        "sst2/train-00000-of-00002.parquet": parts[0],
        "sst2/train-00001-of-00002.parquet": parts[1],
        "sst2/validation-00000-of-00001.parquet": rows / "validation.parquet",
    }
    cache = tmp_path / "cache"
    put_in_hub_cache(cache, "datasets--nyu-mll--glue", files)
    model = {path.name: path for path in tiny_bert.iterdir()}
    put_in_hub_cache(cache, "models--google-bert--bert-base-uncased", model)
    return {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1"}


def fetch(space: str, to: Path, hub: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return run("assets", "fetch", "--space", space, "--to", str(to), **hub)


def cells(space: str, source: str, hub: dict[str, str]) -> list[dict[str, str]]:
    planned = run("sweep", "--space", space, "--assets", source, "--dry-run", "--json", **hub)
    assert planned.returncode == 0, planned.stderr
    return json.loads(planned.stdout)["cells"]


def test_a_fetched_folder_gives_the_same_keys_as_the_hub(
    hub: dict[str, str], tmp_path: Path
) -> None:
    space, folder = write_space(tmp_path, "embedded", "misspellings"), tmp_path / "assets"
    done = fetch(space, folder, hub)
    assert done.returncode == 0, done.stdout + done.stderr
    listed = {
        source: run("assets", "list", "--space", space, "--assets", source, **hub)
        for source in ("hub", str(folder))
    }
    digests = {}
    for source, said in listed.items():
        assert said.returncode == 0, said.stdout
        lines = [line.split() for line in said.stdout.splitlines()]
        digests[source] = [(name, digest) for name, _, _, digest, _ in lines[:2]]
    assert digests["hub"] == digests[str(folder)]
    there, here = cells(space, "hub", hub), cells(space, str(folder), hub)
    assert there == here
    assert not any("not downloaded" in str(cell) for cell in here)

    manifest = json.loads((folder / "assets.json").read_text())["assets"]
    origin = {"repository": GLUE, "revision": "main", "commit": REVISION}
    assert manifest["datasets/sst2"]["origin"] == origin
    on_disk = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and path.name != "assets.json"
    }
    recorded = {
        name: file["size"] for asset in manifest.values() for name, file in asset["files"].items()
    }
    assert recorded == on_disk


def test_verify_names_what_is_damaged_and_fetch_mends_only_that(
    hub: dict[str, str], tmp_path: Path
) -> None:
    space, folder = write_space(tmp_path, "embedded", "misspellings"), tmp_path / "assets"
    assert fetch(space, folder, hub).returncode == 0
    verified = run("assets", "verify", str(folder))
    assert verified.returncode == 0 and "files of 2 assets are whole" in verified.stdout
    weights = folder / "models" / "bert-base-uncased" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    (weights.parent / "config.json").unlink()
    verified = run("assets", "verify", str(folder))
    assert verified.returncode == 1
    assert sorted(verified.stdout.splitlines()) == [
        "damaged: models/bert-base-uncased/model.safetensors has other content than was fetched",
        "missing: models/bert-base-uncased/config.json",
    ]
    untouched = (folder / "datasets/sst2/validation-00000-of-00001.parquet").stat().st_mtime_ns
    again = fetch(space, folder, hub)
    assert again.returncode == 0, again.stderr
    assert "datasets/sst2" in again.stdout and "is already there" in again.stdout.splitlines()[0]
    assert run("assets", "verify", str(folder)).returncode == 0
    now = (folder / "datasets/sst2/validation-00000-of-00001.parquet").stat().st_mtime_ns
    assert now == untouched


def test_a_fetch_that_is_killed_goes_on_and_no_half_file_is_taken_for_a_whole_one(
    hub: dict[str, str], tmp_path: Path
) -> None:
    space, folder = write_space(tmp_path, "embedded", "misspellings"), tmp_path / "assets"
    (snapshot,) = Path(hub["HF_HOME"]).glob("hub/models--*/snapshots/*")
    with (snapshot / "model.safetensors").open("r+b") as weights:
        weights.truncate(BIG)
    arguments = ["orchestrator.assets", "fetch", "--space", space, "--to", str(folder)]
    killed = subprocess.Popen(
        [sys.executable, "-m", *arguments], env={**os.environ, **hub}, stdout=subprocess.DEVNULL
    )
    model = folder / "models" / "bert-base-uncased"
    while killed.poll() is None and not list(model.glob("model.safetensors.*.part")):
        time.sleep(0.001)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (model / "model.safetensors").exists()
    verified = run("assets", "verify", str(folder))
    assert verified.returncode == 0 and "of 1 assets" in verified.stdout  # the data set

    again = fetch(space, folder, hub)
    assert again.returncode == 0, again.stderr
    assert "is already there" in again.stdout.splitlines()[0]
    assert (model / "model.safetensors").stat().st_size == BIG
    assert not list(folder.rglob("*.part"))
    assert run("assets", "verify", str(folder)).returncode == 0
    for big in (snapshot, model):
        (big / "model.safetensors").unlink()  # pytest would keep them


def test_what_is_missing_is_listed_and_fetching_it_names_the_repository(
    hub: dict[str, str], tmp_path: Path
) -> None:
    space = write_space(tmp_path, "embedded", "misspellings")
    (weights,) = Path(hub["HF_HOME"]).glob("hub/models--*/snapshots/*/model.safetensors")
    weights.unlink()
    listed = run("assets", "list", "--space", space, **hub)
    assert listed.returncode == 1
    (missing,) = (line for line in listed.stdout.splitlines() if "missing:" in line)
    assert missing.startswith("models/bert-base-uncased") and BERT in missing
    done = fetch(space, tmp_path / "assets", {**hub, "HF_HOME": str(tmp_path / "nothing")})
    assert done.returncode == 2
    assert GLUE in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_another_revision_takes_the_place_of_the_one_that_was_fetched(
    hub: dict[str, str], tmp_path: Path
) -> None:
    """Also if it comes in fewer files; other files there are never read with it."""
    space, folder = write_space(tmp_path, "embedded", "misspellings"), tmp_path / "assets"
    assert fetch(space, folder, hub).returncode == 0
    (repository,) = Path(hub["HF_HOME"]).glob("hub/datasets--*")
    newer = repository / "snapshots" / "newer" / "sst2"
    newer.mkdir(parents=True)
    (repository / "refs" / "v2").write_text("newer")
    for split in ("train", "validation"):
        content = (EMBEDDED / "datasets" / "sst2" / f"{split}.parquet").read_bytes()
        (newer / f"{split}-00000-of-00001.parquet").write_bytes(content)
    entry = yaml.safe_load((PACKAGED / "datasets" / "sst2.yaml").read_text())
    entry["hub"]["revision"] = "v2"
    own = tmp_path / "catalog" / "datasets"
    own.mkdir(parents=True)
    (own / "sst2.yaml").write_text(yaml.safe_dump(entry))
    rows = folder / "datasets" / "sst2"
    (rows / "train.parquet").write_bytes((newer / "train-00000-of-00001.parquet").read_bytes())
    refused = fetch(space, folder, hub)
    assert refused.returncode == 2 and "holds both train.parquet" in refused.stderr
    (rows / "train.parquet").unlink()
    assert fetch(space, folder, hub).returncode == 0
    assert sorted(path.name for path in rows.iterdir()) == [
        "train-00000-of-00001.parquet",
        "validation-00000-of-00001.parquet",
    ]
    manifest = json.loads((folder / "assets.json").read_text())["assets"]
    assert manifest["datasets/sst2"]["origin"]["commit"] == "newer"
    assert run("assets", "verify", str(folder)).returncode == 0
    assert cells(space, "hub", hub) == cells(space, str(folder), hub)


def test_half_of_a_split_is_never_read_as_all_of_it(hub: dict[str, str], tmp_path: Path) -> None:
    space, folder = write_space(tmp_path, "embedded", "misspellings"), tmp_path / "assets"
    assert fetch(space, folder, hub).returncode == 0
    part = folder / "datasets" / "sst2" / "train-00001-of-00002.parquet"
    content = part.read_bytes()
    part.unlink()
    arguments = ["--space", space, "--assets", str(folder), "--dry-run"]
    planned = run("sweep", *arguments, **hub)
    assert planned.returncode == 2 and "is one of 2 files, but 1 are there" in planned.stderr
    part.write_bytes(content)
    (part.parent / "train.parquet").write_bytes(content)
    planned = run("sweep", *arguments, **hub)
    assert planned.returncode == 2 and "holds both train.parquet and train-00000" in planned.stderr
    (cached,) = Path(hub["HF_HOME"]).glob("hub/datasets--*/snapshots/*/sst2/train-00001*")
    cached.unlink()
    planned = run("sweep", "--space", space, "--store", str(tmp_path / "store"), **hub)
    assert planned.returncode == 2 and "is incomplete in the local hub cache" in planned.stderr


def test_the_space_that_ships_with_the_package_needs_nothing_fetched(tmp_path: Path) -> None:
    listed = run("assets", "list")
    assert listed.returncode == 0 and "missing" not in listed.stdout
    done = run("assets", "fetch", "--to", str(tmp_path / "assets"))
    assert done.returncode == 0 and "ships with the package" in done.stdout
    assert not (tmp_path / "assets").exists()


def test_a_folder_is_filled_from_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "assets")
    filling = ["fetch", "--only", "dataset=sst2,mrpc", "--assets", str(EMBEDDED), "--to", folder]
    assert command.main(filling) == 0
    listing = ["list", "--only", "dataset=sst2,mrpc", "--assets", folder]
    assert command.main(listing) == 0
    assert command.main(["list", "--assets", folder]) == 1
    listed = capsys.readouterr().out
    assert "datasets/ag_news" in listed and "3 missing" in listed
    for name in ("sst2", "mrpc"):
        original = EMBEDDED / "datasets" / name / "train.parquet"
        copied = Path(folder) / "datasets" / name / "train.parquet"
        assert copied.read_bytes() == original.read_bytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "nothing was fetched into that folder"),
        ("{", "is not a list of fetched files"),
        (
            '{"assets": {"a": {"origin": {}, "files": {"../b": {"sha256": "", "size": 1}}}}}',
            "leads out of the folder",
        ),
    ],
)
def test_a_folder_without_a_sound_list_cannot_be_verified(
    content: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "assets.json").write_text(content)
    assert command.main(["verify", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err


# What TextAttack downloads


def packed(name: str, files: dict[str, bytes]) -> bytes:
    """As its server sends it: a zip of the folder itself, or a tar of what is in it."""
    content = io.BytesIO()
    if name == "universal-sentence-encoder":
        with tarfile.open(fileobj=content, mode="w:gz") as tar:
            for path, data in files.items():
                member = tarfile.TarInfo(f"./{path}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    else:
        with zipfile.ZipFile(content, "w") as archive:
            for path, data in files.items():
                archive.writestr(f"{Path(name).name}/{path}", data)
    return content.getvalue()


def array(values: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, values)
    return content.getvalue()


def small_resources() -> dict[str, dict[str, bytes]]:
    words = ["film", "movie", "good", "great", "bad", "dull", "plot", "cast", "is", "was"]
    vectors = np.random.default_rng(0).normal(size=(len(words), 4)).astype(np.float32)
    neighbours = np.argsort(((vectors[:, None] - vectors) ** 2).sum(2), axis=1)
    tagger = "averaged_perceptron_tagger_eng"
    return {
        "word_embeddings/paragramcf": {
            "paragram.npy": array(vectors),
            "wordlist.pickle": pickle.dumps({word: n for n, word in enumerate(words)}),
            "nn.npy": array(neighbours),
            "mse_dist.p": pickle.dumps({n: {} for n in range(len(words))}),
            "cos_sim.p": pickle.dumps({n: {} for n in range(len(words))}),
        },
        "nltk_data/corpora/stopwords": {"english": b"the\na\n"},
        f"nltk_data/taggers/{tagger}": {
            f"{tagger}.weights.json": b"{}",
            f"{tagger}.tagdict.json": b"{}",
            f"{tagger}.classes.json": b'["NN"]',
        },
        "nltk_data/taggers/universal_tagset": {"en-ptb.map": b"NN\tNOUN\n"},
        "universal-sentence-encoder": {"saved_model.pb": b"x", "variables/variables.index": b"y"},
    }


@dataclass
class Server:
    """What a server on this machine sends, by path, and where it closes the connection midway."""

    content: dict[str, bytes] = field(default_factory=dict)
    cut_at: dict[str, int] = field(default_factory=dict)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The archives' addresses point to it."""
    sent = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/")
            content = sent.content.get(name, b"")
            self.send_response(200 if content else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: sent.cut_at.get(name)])

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{listening.server_port}"
        archives = tuple(Archive(a.name, f"{base}/{a.name}") for a in ARCHIVES)
        monkeypatch.setattr(needed, "ARCHIVES", archives)
        yield sent
        listening.shutdown()


# TensorFlow is not installed here: these stand for what is called of it, and for
# `tensorflow_hub.load` of a local folder.
TENSORFLOW = """
calls = []

class config:
    set_visible_devices = lambda *given: calls.append(["set_visible_devices", *given])

    class threading:
        set_intra_op_parallelism_threads = lambda count: calls.append(
            ["set_intra_op_parallelism_threads", count]
        )
        set_inter_op_parallelism_threads = lambda count: calls.append(
            ["set_inter_op_parallelism_threads", count]
        )
"""
TENSORFLOW_HUB = """
import os
import numpy as np
import tensorflow

class Encoded:
    def __init__(self, count):
        self.count = count
    def numpy(self):
        return np.ones((self.count, 4), dtype=np.float32)

def load(handle):
    tensorflow.calls.append(["load", handle])
    assert os.path.isfile(os.path.join(handle, "saved_model.pb")), f"would download {handle}"
    return lambda sentences: {"outputs": Encoded(len(sentences))}
"""


@pytest.fixture
def paper_like(hub: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A space with TextAttack's own resources, on a machine that has the hub's cache only."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "tfhub"))
    monkeypatch.delenv("TA_CACHE_DIR", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", f"{hub['HF_HOME']}/hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("nltk.data.path", [str(tmp_path / "home" / "nltk_data")])
    attacks = ("textfooler", "textbugger", "bert_attack", "misspellings")
    return write_space(tmp_path, "textattack", *attacks)


def test_what_textattack_downloads_is_fetched_whole_or_not_at_all(
    paper_like: str, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "assets"
    fetching = ["fetch", "--space", paper_like, "--to", str(folder)]
    listing = ["list", "--space", paper_like, "--assets", str(folder)]
    server.content |= {name: packed(name, files) for name, files in small_resources().items()}
    encoder = "universal-sentence-encoder"
    whole = server.content.pop(encoder)
    assert command.main(fetching) == 2
    assert f"{encoder} is not on this machine" in capsys.readouterr().err
    server.content[encoder] = whole[: len(whole) // 2]
    assert command.main(fetching) == 2
    assert "is not a complete zip or tar file" in capsys.readouterr().err
    server.content[encoder], server.cut_at[encoder] = whole, len(whole) - 1
    assert command.main(fetching) == 2
    assert f"{len(whole) - 1} of {len(whole)} bytes received" in capsys.readouterr().err
    assert command.main(listing) == 1
    server.cut_at.clear()
    assert command.main(fetching) == 0
    assert command.main(listing) == 0
    assert command.main(["verify", str(folder)]) == 0
    server.content.clear()
    assert command.main(fetching) == 0  # nothing is requested from the server again
    assert not list(folder.rglob("*.part"))
    for name, files in small_resources().items():
        for path, content in files.items():
            assert (folder / "textattack" / name / path).read_bytes() == content


def test_what_textattack_has_downloaded_on_this_machine_is_copied(
    paper_like: str, server: Server, tmp_path: Path
) -> None:
    url = "https://tfhub.dev/google/universal-sentence-encoder/3"
    kept = {
        "word_embeddings": tmp_path / "home" / ".cache" / "textattack",
        "nltk_data": tmp_path / "home",
        "universal-sentence-encoder": tmp_path / "tfhub" / hashlib.sha1(url.encode()).hexdigest(),
    }
    for name, files in small_resources().items():
        top = name.split("/")[0]
        for path, content in files.items():
            file = kept[top] / path if top == name else kept[top] / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    assert command.main(["list", "--space", paper_like]) == 0
    folder = tmp_path / "assets"
    assert command.main(["fetch", "--space", paper_like, "--to", str(folder)]) == 0
    assert command.main(["list", "--space", paper_like, "--assets", str(folder)]) == 0
    for name, files in small_resources().items():
        for path, content in files.items():
            assert (folder / "textattack" / name / path).read_bytes() == content


@pytest.mark.slow
def test_attacks_read_textattacks_own_resources_from_a_fetched_folder(
    paper_like: str, server: Server, tmp_path: Path
) -> None:
    """On a machine with nothing else; nothing is written to the folder."""
    folder = tmp_path / "assets"
    server.content |= {name: packed(name, files) for name, files in small_resources().items()}
    assert command.main(["fetch", "--space", paper_like, "--to", str(folder)]) == 0
    before = sorted(folder.rglob("*"))
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "tensorflow.py").write_text(TENSORFLOW)
    (tmp_path / "modules" / "tensorflow_hub.py").write_text(TENSORFLOW_HUB)
    done = run(
        "sweep", "--space", paper_like, "--assets", str(folder),
        "--store", str(tmp_path / "store"), NLTK_DATA="", HF_HOME=str(tmp_path / "no-cache"),
        HF_HUB_OFFLINE="1", PYTHONPATH=f"{tmp_path / 'modules'}:{PACKAGED.parent.parent}",
    )  # fmt: skip
    errors = [path.read_text() for path in tmp_path.glob("store/cells/*/error.txt")]
    assert done.returncode == 0, done.stdout + done.stderr + "\n".join(errors)
    assert "4 of 4 cells done" in done.stdout
    logs = [path.read_text() for path in tmp_path.glob("store/attacks/*/examples.jsonl")]
    assert len(logs) == 4
    for log in logs:
        assert {json.loads(line)["status"] for line in log.splitlines()} & {"successful", "failed"}
    assert sorted(folder.rglob("*")) == before
