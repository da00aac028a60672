"""The real client against a small hub on loopback: a checkpoint comes whole or not at all.

The client reads its environment once, when it is imported, so each of its runs has a process of its
own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hub_server import Fault, HubServer
from spark_mlx import cli, paths
from spark_mlx.checkpoints import hub
from spark_mlx.checkpoints.model_config import ModelConfig
from spark_mlx.checkpoints.model_files import MODEL_FILES
from spark_mlx.cli import models
from spark_mlx.convert import published
from spark_mlx.errors import ConfigError, ModelError, SparkError

LM, CODEC = "LLM/model.safetensors", "BiCodec/model.safetensors"
CONVERTED = "somebody/voices-mlx"

# The client waits up to 23 seconds between its attempts, and nothing here is worth waiting for.
CLIENT = """
import json, sys, time
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.01))
from spark_mlx.checkpoints import hub
from spark_mlx.convert import published
from spark_mlx.errors import SparkError
function, arguments, before = json.loads(sys.argv[1])
exec(before)
said = []
if function == "download":
    arguments |= {"say": said.append, "progress": False}
try:
    module = published if function == "download" else hub
    answer = {"path": str(getattr(module, function)(**arguments))}
except SparkError as error:
    answer = {"error": type(error).__name__, "message": str(error)}
except KeyboardInterrupt:
    answer = {"error": "KeyboardInterrupt", "message": ""}
print(json.dumps(answer | {"said": said}))
"""


@dataclass
class Client:
    """Runs a function of `spark_mlx.hub` as a user of the hub at `url` would."""

    url: str
    folder: Path

    def __call__(
        self, function: str, *, offline: bool = False, before: str = "", **arguments: Any
    ) -> dict[str, Any]:
        """What the function gave: {"path", "said"} or {"error", "message", "said"}."""
        environment = os.environ | {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(self.folder),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_ETAG_TIMEOUT": "2",
            "HF_HUB_DOWNLOAD_TIMEOUT": "1",
            "HF_HUB_OFFLINE": "1" if offline else "0",
            "NO_PROXY": "127.0.0.1",
        }
        environment.pop("HF_TOKEN", None)
        call = [function, arguments, before]
        done = subprocess.run(
            [sys.executable, "-c", CLIENT, json.dumps(call)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


@pytest.fixture
def server(checkpoint: Path, model: Path) -> Iterator[HubServer]:
    """Holds the tiny checkpoint under the published name and revision, and a converted model."""
    repos = {hub.REPO: checkpoint, CONVERTED: model, "somebody/original": checkpoint}
    with HubServer(repos, published.REVISION) as server:
        yield server


@pytest.fixture
def client(server: HubServer, tmp_path: Path) -> Client:
    return Client(server.url, tmp_path / "client")


def fails(answer: dict[str, Any], *words: str) -> None:
    """Asserts that a download failed with a sentence that holds `words`, and made no model."""
    assert answer.get("error") == "DownloadError", answer
    assert "\n" not in answer["message"]
    for word in words:
        assert word in answer["message"], answer["message"]
    assert not paths.models().exists() or not list(paths.models().iterdir())


def test_download_makes_the_default_model(server: HubServer, client: Client, model: Path) -> None:
    answer = client("download", quantize=None)
    folder = paths.models() / "Spark-TTS-0.5B"
    assert answer["path"] == str(folder)
    assert answer["said"][0] == published.LICENCE
    assert (folder / "lm.safetensors").read_bytes() == (model / "lm.safetensors").read_bytes()
    assert hub.resolve(None) == hub.resolve(hub.REPO) == folder
    assert not (paths.home() / "fetched").exists()

    server.requests.clear()
    assert client("download", quantize=None)["path"] == str(folder)
    assert server.requests == []
    assert client("download", quantize=None, force=True)["path"] == str(folder)
    assert len(server.asked("GET", LM)) == 1


def test_download_chooses_the_fastest_weights_of_this_device(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {}

    def download(**arguments: Any) -> Path:
        asked.update(arguments)
        return tmp_path

    monkeypatch.setattr(published, "download", download)
    for on_cpu, choice, bits in ((True, "auto", 8), (False, "auto", None), (True, "none", None)):
        chosen = SimpleNamespace(default_bits=8 if on_cpu else None)
        monkeypatch.setattr(models.backends, "choose", lambda chosen=chosen: chosen)
        assert cli.main(["download", "--quantize", choice]) == 0
        assert asked["quantize"] == bits
        out, err = capsys.readouterr()
        assert out == f"{tmp_path}\n"
        assert (models.AUTO_QUANTIZE in err) == (on_cpu and choice == "auto")


def test_two_downloads_at_once_make_one_whole_model(server: HubServer, client: Client) -> None:
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(client, "download") for _ in range(2)]
    answers = [call.result() for call in calls]
    folder = paths.models() / "Spark-TTS-0.5B"
    assert [answer.get("path") for answer in answers] == [str(folder)] * 2, answers
    assert hub.is_complete(folder)
    assert len(server.asked("GET", LM)) == 1
    assert sum("Another spark-mlx" in line for answer in answers for line in answer["said"]) == 1


@pytest.mark.parametrize("model_id", [hub.REPO, CONVERTED])
@pytest.mark.parametrize("etag", ['"../../../../outside"', '"/outside"', '".."', '"a/b"'])
def test_an_etag_cannot_name_a_file_outside_the_cache(
    server: HubServer, client: Client, model_id: str, etag: str, tmp_path: Path
) -> None:
    server.etags = {"config.yaml": etag, "config.json": etag}
    function = "download" if model_id == hub.REPO else "resolve"
    arguments = {} if model_id == hub.REPO else {"model": model_id}
    fails(client(function, **arguments), "no hash", "HF_ENDPOINT")
    assert not list(tmp_path.rglob("outside*"))


@pytest.mark.parametrize("commit", ["../../../outside", "x" * 40, ""])
def test_a_commit_cannot_name_a_folder_outside_the_cache(
    server: HubServer, client: Client, commit: str, tmp_path: Path
) -> None:
    server.commit = commit
    assert client("resolve", model=CONVERTED)["error"] == "DownloadError"
    assert not list(tmp_path.rglob("outside*"))


def test_a_damaged_file_of_a_hub_id_is_noticed(server: HubServer, client: Client) -> None:
    server.faults["lm.safetensors"] = Fault(spoilt=True)
    answer = client("resolve", model=CONVERTED)
    assert answer.get("error") == "DownloadError", answer
    assert "lm.safetensors" in answer["message"]
    server.faults.clear()
    assert "path" in client("resolve", model=CONVERTED)


def test_only_the_files_of_a_model_are_fetched(
    server: HubServer, client: Client, model: Path, tmp_path: Path
) -> None:
    server.repos = {CONVERTED: shutil.copytree(model, tmp_path / "repo")}
    (tmp_path / "repo" / "deep").mkdir()
    for name in ("more.safetensors", "deep/lm.safetensors"):
        (tmp_path / "repo" / name).write_bytes(b"")
    assert "path" in client("resolve", model=CONVERTED)
    fetched = {request.name for request in server.requests if request.method == "GET"}
    assert fetched - {"tree", "info"} == set(MODEL_FILES)


@pytest.mark.parametrize("name", MODEL_FILES)
def test_an_incomplete_model_is_not_taken_for_the_downloaded_one(model: Path, name: str) -> None:
    folder = shutil.copytree(model, paths.models() / "Spark-TTS-0.5B")
    assert hub.resolve(hub.REPO) == folder
    data = (folder / name).read_bytes()
    for damaged in (data[:-1], data[:4], b""):
        (folder / name).write_bytes(damaged)
        if name.endswith(".json") and damaged == data[:-1]:
            continue  # the line feed at its end
        with pytest.raises(ModelError, match="spark-mlx download"):
            hub.resolve(hub.REPO)
    (folder / name).unlink()
    with pytest.raises(ModelError, match="spark-mlx download"):
        hub.resolve(hub.REPO)


def test_only_what_a_conversion_reads_is_fetched(
    server: HubServer, client: Client, checkpoint: Path, tmp_path: Path
) -> None:
    server.repos = {hub.REPO: shutil.copytree(checkpoint, tmp_path / "repo")}
    (tmp_path / "repo" / "LLM" / "vocab.json").write_text("{}")
    (tmp_path / "repo" / "src").mkdir()
    (tmp_path / "repo" / "src" / "demo.wav").write_text("")
    assert "path" in client("download")
    fetched = {request.name for request in server.requests if request.method == "GET"}
    assert fetched - {"tree", "info"} == set(published.PUBLISHED_FILES)


def test_a_kept_source_serves_another_model(server: HubServer, client: Client) -> None:
    first = client("download", quantize=None, keep_source=True)["path"]
    server.requests.clear()
    second = client("download", quantize=8, offline=True)["path"]
    assert server.requests == []
    assert ModelConfig.load(Path(second)).quantize == 8
    assert hub.resolve(None) == Path(second)
    # Asking for the first again makes it the default again.
    assert client("download", quantize=None)["path"] == first
    assert hub.resolve(None) == Path(first)


@pytest.mark.parametrize("fault", [Fault(cut_at=12_000_000), Fault(silent_at=12_000_000)])
def test_a_transfer_that_breaks_off_is_resumed(
    server: HubServer, client: Client, fault: Fault
) -> None:
    fault.times = 1
    server.faults[CODEC] = fault
    assert "path" in client("download")
    first, second = server.asked("GET", CODEC)
    assert first is None
    assert second is not None and second.startswith("bytes=")


def test_whole_files_outlast_a_failed_download(server: HubServer, client: Client) -> None:
    server.faults[CODEC] = Fault(cut_at=1000)
    fails(client("download"), hub.REPO, "again", "HF_ENDPOINT")
    server.faults.clear()
    server.requests.clear()
    assert "path" in client("download")
    assert server.asked("GET", LM) == []
    assert len(server.asked("GET", CODEC)) == 1


@pytest.mark.parametrize("name", [LM, "LLM/tokenizer.json"])
def test_a_damaged_file_is_noticed_and_fetched_again(
    server: HubServer, client: Client, name: str
) -> None:
    server.faults[name] = Fault(spoilt=True)
    fails(client("download"), name, "damaged", "again")
    server.faults.clear()
    server.requests.clear()
    assert "path" in client("download")
    assert [r.name for r in server.requests if r.method == "GET" and r.name != "tree"] == [name]


def test_a_hiccup_of_the_hub_is_waited_for(server: HubServer, client: Client) -> None:
    server.faults["tree"] = Fault(status=500, times=1)
    assert "path" in client("download")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(status=404, code="RevisionNotFound"), ["revision", "update spark-mlx"]),
        (Fault(status=401, code="RepoNotFound"), ["HF_TOKEN"]),
        (Fault(status=403, code="GatedRepo"), ["ask for access", "HF_TOKEN"]),
        (Fault(status=503), ["503", "again"]),
        (Fault(page=True), ["not a hub", "HF_ENDPOINT"]),
    ],
)
def test_a_hub_that_refuses(
    server: HubServer, client: Client, fault: Fault, words: list[str]
) -> None:
    server.faults["tree"] = fault
    fails(client("download"), hub.REPO, *words)


def test_a_repository_without_a_needed_file(
    server: HubServer, client: Client, checkpoint: Path, tmp_path: Path
) -> None:
    server.repos = {hub.REPO: shutil.copytree(checkpoint, tmp_path / "repo")}
    (tmp_path / "repo" / CODEC).unlink()
    fails(client("download"), CODEC)


def test_offline(client: Client) -> None:
    fails(client("download", offline=True), "HF_HUB_OFFLINE")
    with HubServer({}) as gone:
        client.url = gone.url
    fails(client("download"), hub.REPO, "connection", "HF_ENDPOINT")


def test_a_full_disk(client: Client) -> None:
    full = (
        "import errno, os\n"
        "from huggingface_hub import file_download\n"
        "def http_get(*_, **__): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n"
        "file_download.http_get = http_get\n"
    )
    fails(client("download", before=full), "disk is full", "SPARK_MLX_HOME")


def test_a_cache_that_cannot_be_written(client: Client) -> None:
    paths.home().write_text("a file where a folder is needed")
    fails(client("download"), "cannot write", str(paths.home()), "SPARK_MLX_HOME")


def test_an_interrupted_conversion_goes_on_without_the_hub(
    server: HubServer, client: Client
) -> None:
    interrupt = (
        "from spark_mlx.convert.writer import SafetensorsWriter\n"
        "def append(*_): raise KeyboardInterrupt\n"
        "SafetensorsWriter.append = append\n"
    )
    assert client("download", before=interrupt)["error"] == "KeyboardInterrupt"
    assert list(paths.models().iterdir()) == []
    server.requests.clear()
    assert "path" in client("download")
    assert server.requests == []


def test_a_hub_id_of_a_converted_model(server: HubServer, client: Client, model: Path) -> None:
    folder = Path(client("resolve", model=CONVERTED)["path"])
    assert folder.is_relative_to(client.folder)
    assert {path.name for path in folder.iterdir()} == {
        path.name for path in model.iterdir() if path.name != "README.md"
    }
    assert client("resolve", model=CONVERTED, offline=True)["path"] == str(folder)


def test_a_hub_id_of_something_else(server: HubServer, client: Client) -> None:
    answer = client("resolve", model="somebody/original")
    assert answer["error"] == "ModelError"
    assert "somebody/original" in answer["message"]
    assert server.asked("GET", LM) == []
    answer = client("resolve", model="somebody/nothing")
    assert answer["error"] == "DownloadError"
    assert "check the name" in answer["message"]


def test_the_environment_names_the_default(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_MLX_MODEL", str(model))
    assert hub.resolve(None) == model
    monkeypatch.setenv("SPARK_MLX_MODEL", f"{model}s")
    with pytest.raises(ModelError, match=r"^\$SPARK_MLX_MODEL: there is no folder"):
        hub.resolve(None)


def test_no_model_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hub, "BUILT_IN", tmp_path)
    for model in (None, hub.REPO):
        with pytest.raises(ModelError, match="spark-mlx download"):
            hub.resolve(model)


def test_the_built_in_model_is_the_last_resort(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "BUILT_IN", model)
    assert hub.resolve(None) == model


def test_a_checkpoint_as_published_is_not_a_model(checkpoint: Path) -> None:
    with pytest.raises(ModelError) as caught:
        hub.resolve(checkpoint)
    assert f"spark-mlx convert {checkpoint} {checkpoint}-mlx" in str(caught.value)


@pytest.mark.parametrize(
    "model", ["nowhere", "./nowhere", "/nowhere", "~/nowhere", "a/b/c", "tests/nowhere", "nowhere/"]
)
def test_a_mistyped_folder_is_not_asked_of_the_hub(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    for given in (model, Path(model), Path("owner/name")):
        with pytest.raises(ModelError, match="there is no folder"):
            hub.resolve(given)


def test_a_precision_that_does_not_exist() -> None:
    with pytest.raises(ConfigError, match="float16"):
        published.download(dtype="float16")


def test_a_newer_model_is_not_taken_for_the_downloaded_one(model: Path) -> None:
    folder = shutil.copytree(model, paths.models() / "Spark-TTS-0.5B")
    assert hub.resolve(None) == folder
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"format_version": 99}))
    with pytest.raises(SparkError, match="spark-mlx download"):
        hub.resolve(hub.REPO)
