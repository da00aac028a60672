"""`spark-mlx install` and `uninstall`: what they write, and that nothing else changes."""

from __future__ import annotations

import os
import plistlib
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from spark_mlx.cli import main
from spark_mlx.install import blocks, quick_action, speech_dispatcher
from spark_mlx.speechd.settings import Options

SYSTEM = b'# The system\'s own.\nLogLevel 3\n#AddModule "espeak-ng" "sd_espeak-ng"\n'


class Home:
    """A user's home with a speech-dispatcher that only tells its version.

    Args:
        version: of it; None for none at all.
    """

    def __init__(
        self,
        folder: Path,
        model: Path,
        patch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        version: str | None = "0.11.4",
    ) -> None:
        self._capsys = capsys
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.system = folder / "local" / "etc" / "speech-dispatcher" / "speechd.conf"
        self.system.parent.mkdir(parents=True)
        self.system.write_bytes(SYSTEM)
        self.config = self.home / ".config" / "speech-dispatcher" / "speechd.conf"
        programs = folder / "local" / "bin"
        programs.mkdir()
        if version is not None:
            program = programs / "speech-dispatcher"
            program.write_text(f"#!/bin/sh\necho 'speech-dispatcher {version}'\n")
            program.chmod(0o755)
        for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(self.home))
        patch.setenv("PATH", f"{programs}:/nowhere")
        patch.setenv("SPARK_MLX_HOME", str(folder / "spark home"))
        patch.setenv("SPARK_MLX_MODEL", str(model))

    def run(self, *args: str, status: int = 0) -> str:
        """Runs spark-mlx; what it printed, or its complaint."""
        found = main(args)
        out, err = self._capsys.readouterr()
        assert found == status, err
        return out if status == 0 else err

    def tree(self) -> dict[str, bytes | None]:
        """Every file with its bytes, and every folder."""
        return {
            str(path.relative_to(self.home)): path.read_bytes() if path.is_file() else None
            for path in self.home.rglob("*")
        }


@pytest.fixture
def home(
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Home:
    return Home(tmp_path / "user", model, monkeypatch, capsys)


def install(home: Home, *args: str) -> list[Path]:
    return [
        Path(line) for line in home.run("install", "speech-dispatcher", *args).split("\n") if line
    ]


def uninstall(home: Home) -> None:
    home.run("uninstall", "speech-dispatcher")


# speech-dispatcher.


def test_without_modules_in_the_configuration_there_is_none_written(home: Home) -> None:
    # A line for one module would take all others away.
    (home.home / ".local" / "share").mkdir(parents=True)
    (home.home / ".config").mkdir()
    before = home.tree()
    starter, options = install(home)
    assert starter == (
        home.home / ".local" / "libexec" / "speech-dispatcher-modules" / "sd_spark-mlx"
    )
    assert os.access(starter, os.X_OK)
    assert options.parent == home.config.parent / "modules"
    assert not home.config.exists()
    uninstall(home)
    assert home.tree() == before


def test_the_starter_needs_nothing_of_this_shell(home: Home) -> None:
    starter, options = install(home)
    done = subprocess.run(
        [starter, options],
        input=b"INIT\nLIST VOICES\nQUIT\n",
        capture_output=True,
        env={"HOME": str(home.home)},
        cwd="/",
        timeout=60,
        check=True,
    )
    assert b"200-default\ten" in done.stdout
    assert done.stdout.endswith(b"210 OK QUIT\n")


def test_a_configuration_with_modules_gets_a_line(home: Home) -> None:
    home.config.parent.mkdir(parents=True)
    for theirs in (
        b'AddModule "espeak-ng" "sd_espeak-ng" "espeak-ng.conf"\n',
        b'\taddmodule "espeak-ng" "sd_espeak-ng"\nDefaultModule espeak-ng',  # without an end
    ):
        home.config.write_bytes(theirs)
        home.config.chmod(0o640)
        before = home.tree()
        *_, config = install(home)
        assert config == home.config
        own = home.config.read_bytes()
        assert own.startswith(theirs)
        assert own.count(b"AddModule") - theirs.count(b"AddModule") == 1
        assert b"sd_spark-mlx" in own
        assert b"DefaultModule spark-mlx" not in own
        assert home.config.stat().st_mode & 0o777 == 0o640
        again = home.tree()
        install(home)
        assert home.tree() == again
        uninstall(home)
        after = home.tree()
        assert {k: v for k, v in after.items() if k in before} == before


def test_the_systems_configuration_is_copied_where_it_is_needed(home: Home) -> None:
    modules = SYSTEM + b'AddModule "espeak-ng" "sd_espeak-ng"\n'
    home.system.write_bytes(modules)
    (home.home / ".local" / "share").mkdir(parents=True)
    (home.home / ".config").mkdir()
    before = home.tree()
    install(home)
    assert home.config.read_bytes().startswith(modules)
    assert home.system.read_bytes() == modules
    uninstall(home)
    assert home.tree() == before


def test_the_default_module_on_request(home: Home) -> None:
    (home.home / ".local" / "share").mkdir(parents=True)
    (home.home / ".config").mkdir()
    before = home.tree()
    install(home, "--default")
    own = home.config.read_bytes()
    assert own.startswith(SYSTEM)
    assert b"\nDefaultModule spark-mlx\n" in own
    assert b"\nAddModule" not in own
    install(home)  # and no longer
    assert not home.config.exists()
    install(home, "--default")
    uninstall(home)
    assert home.tree() == before


def test_what_the_user_writes_later_stays(home: Home) -> None:
    install(home, "--default")
    home.config.write_bytes(home.config.read_bytes() + b"LogLevel 5\n")
    options = home.config.parent / "modules" / "spark-mlx.conf"
    options.write_bytes(b'Voice "bob"\n' + options.read_bytes() + b"Clips off\n")
    install(home, "--default")
    uninstall(home)
    assert home.config.read_bytes() == SYSTEM + b"LogLevel 5\n"
    assert options.read_bytes() == b'Voice "bob"\nClips off\n'


def test_a_backup_is_kept_while_it_differs(home: Home) -> None:
    home.config.parent.mkdir(parents=True)
    home.config.write_bytes(b"AddModule one\n")
    install(home)
    backup = home.config.with_name("speechd.conf.before-spark-mlx")
    assert backup.read_bytes() == b"AddModule one\n"
    home.config.write_bytes(b"AddModule two\n" + home.config.read_bytes())
    uninstall(home)
    assert home.config.read_bytes() == b"AddModule two\nAddModule one\n"
    assert backup.read_bytes() == b"AddModule one\n"


def test_options_reach_the_module(home: Home, model: Path) -> None:
    home.run("voice", "create", "--name", "alice")
    install(home, "--voice", "alice", "--model", str(model))
    options = home.config.parent / "modules" / "spark-mlx.conf"
    found = Options.load(str(options))
    assert (found.voice, found.model) == ("alice", str(model.resolve()))
    install(home)
    assert Options.load(str(options)) == Options()


@pytest.mark.parametrize(("version", "complaint"), [(None, "not installed"), ("0.9.1", "0.9")])
def test_without_a_fitting_speech_dispatcher(
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    version: str | None,
    complaint: str,
) -> None:
    home = Home(tmp_path / "user", model, monkeypatch, capsys, version)
    before = home.tree()
    line = home.run("install", "speech-dispatcher", status=1)
    assert complaint in line
    assert home.tree() == before


def test_what_cannot_be_is_refused(home: Home) -> None:
    before = home.tree()
    assert "nobody" in home.run("install", "speech-dispatcher", "--voice", "nobody", status=1)
    assert "gone" in home.run("install", "speech-dispatcher", "--model", "/gone/x", status=1)
    assert "nothing to undo" in home.run("uninstall", "speech-dispatcher", status=1)
    assert home.tree() == before


def test_a_folder_that_cannot_be_written(home: Home) -> None:
    (home.home / ".local").write_text("a file")
    line = home.run("install", "speech-dispatcher", status=1)
    assert str(home.home / ".local") in line


def test_blocks_leave_everything_else_alone() -> None:
    for data in (b"", b"a\n", b"a", b"\xff\x00\r\nb\n\n", b"\n"):
        once = blocks.with_block(data, ["x", "y"])
        assert blocks.block(once)[-2:] == ["x", "y"]
        assert blocks.without_block(once) == data
        assert blocks.with_block(once, ["x", "y"]) == once
        assert blocks.without_block(once + b"later\n").endswith(b"later\n")
    cut_off = b"a\n" + blocks.BEGIN + b"cut off"  # nothing tells our lines from the others
    assert blocks.without_block(cut_off) == cut_off


# macOS.


def test_a_quick_action_says_what_is_on_stdin(tmp_path: Path, home: Home, model: Path) -> None:
    bundle = Path(home.run("install", "quick-action", "--to", str(tmp_path)).strip())
    assert bundle == tmp_path / "Speak with spark-mlx.workflow"
    info = plistlib.loads((bundle / "Contents" / "Info.plist").read_bytes())
    (service,) = info["NSServices"]
    assert service["NSMessage"] == "runWorkflowAsService"
    assert service["NSSendTypes"] == ["public.utf8-plain-text"]
    document = plistlib.loads((bundle / "Contents" / "document.wflow").read_bytes())
    assert document == quick_action.workflow()
    assert document["AMDocumentVersion"] == "2"
    metadata = document["workflowMetaData"]
    assert metadata["workflowTypeIdentifier"] == "com.apple.Automator.servicesMenu"
    assert metadata["serviceInputTypeIdentifier"] == "com.apple.Automator.text"
    (action,) = [entry["action"] for entry in document["actions"]]
    assert action["BundleIdentifier"] == "com.apple.RunShellScript"
    parameters = action["ActionParameters"]
    assert parameters["inputMethod"] == 0
    assert set(action["AMParameterProperties"]) == set(parameters)
    command = shlex.split(parameters["COMMAND_STRING"])
    assert command[-3:] == ["say", "-f", "-"]
    # The script itself is run by any shell, with nothing in its environment.
    done = subprocess.run(
        [parameters["shell"], "-c", f"{parameters['COMMAND_STRING']} -o -"],
        input="Selected, 你好".encode(),
        capture_output=True,
        env={"SPARK_MLX_MODEL": str(model), "HOME": str(tmp_path)},
        check=True,
    )
    assert done.stdout.startswith(b"RIFF")


def test_a_quick_action_comes_and_goes(tmp_path: Path, home: Home) -> None:
    folder = tmp_path / "Services"
    home.run("install", "quick-action", "--to", str(folder))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    home.run("install", "quick-action", "--to", str(folder))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    home.run("uninstall", "quick-action", "--to", str(folder))
    assert list(folder.iterdir()) == []
    assert "nothing to undo" in home.run("uninstall", "quick-action", "--to", str(folder), status=1)


def test_somebody_elses_workflow_stays(tmp_path: Path, home: Home) -> None:
    contents = tmp_path / quick_action.BUNDLE / "Contents"
    contents.mkdir(parents=True)
    for data in (plistlib.dumps({"CFBundleIdentifier": "other"}), b"no plist", b""):
        (contents / "Info.plist").write_bytes(data)
        home.run("uninstall", "quick-action", "--to", str(tmp_path), status=1)
        assert (contents / "Info.plist").read_bytes() == data


@pytest.mark.skipif(sys.platform == "darwin", reason="it is a Mac")
def test_a_quick_action_is_for_a_mac(home: Home) -> None:
    assert "macOS" in home.run("install", "quick-action", status=1)


def test_every_error_names_a_place_speech_dispatcher_knows() -> None:
    places = speech_dispatcher.Files.find()
    assert places.starter.name == "sd_spark-mlx"
    assert places.options.parent == places.config.parent / "modules"


# Files of others.


@pytest.mark.parametrize("link", [False, True])
def test_a_starter_of_somebody_else_is_left_alone(home: Home, tmp_path: Path, link: bool) -> None:
    starter = home.home / ".local" / "libexec" / "speech-dispatcher-modules" / "sd_spark-mlx"
    starter.parent.mkdir(parents=True)
    theirs = tmp_path / "theirs" if link else starter
    theirs.write_text("#!/bin/sh\necho theirs\n")
    if link:
        starter.symlink_to(theirs)
    before = home.tree()
    assert "move it away" in home.run("install", "speech-dispatcher", status=1)
    home.run("uninstall", "speech-dispatcher", status=1)
    assert home.tree() == before
    assert theirs.read_text() == "#!/bin/sh\necho theirs\n"


@pytest.mark.parametrize("mark", [blocks.END, blocks.END.strip()])
def test_without_an_end_mark_nothing_is_removed(home: Home, mark: bytes) -> None:
    home.config.parent.mkdir(parents=True)
    home.config.write_bytes(b'AddModule "a" "sd_a" "a.conf"\nLogLevel 4\n')
    install(home)
    home.config.write_bytes(home.config.read_bytes().replace(mark, b"") + b"LogLevel 5\n")
    changed = home.config.read_bytes()
    for command in ("uninstall", "install"):
        complaint = home.run(command, "speech-dispatcher", status=1)
        assert "has lost its end" in complaint
        assert str(home.config) in complaint
    assert home.config.read_bytes() == changed


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_other_line_ends(home: Home, ending: bytes, last: bool) -> None:
    home.config.parent.mkdir(parents=True)
    lines = [b'AddModule "a" "sd_a" "a.conf"', b"LogLevel 4"]
    theirs = ending.join(lines) + (ending if last else b"")
    home.config.write_bytes(theirs)
    install(home)
    assert theirs in home.config.read_bytes()
    uninstall(home)
    assert home.config.read_bytes() == theirs
    # An editor gives the whole file other line ends, and the user adds a line.
    install(home)
    converted = home.config.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    home.config.write_bytes(converted + b"LogLevel 5\r\n")
    uninstall(home)
    assert home.config.read_bytes() == b"\r\n".join([*lines, b"LogLevel 5", b""])


def test_a_quick_action_of_somebody_else_is_left_alone(home: Home, tmp_path: Path) -> None:
    bundle = tmp_path / quick_action.BUNDLE / "Contents"
    bundle.mkdir(parents=True)
    (bundle / "Info.plist").write_bytes(plistlib.dumps({"CFBundleIdentifier": "theirs"}))
    for command in ("install", "uninstall"):
        assert "not of spark-mlx" in home.run(
            command, "quick-action", "--to", str(tmp_path), status=1
        )
    assert plistlib.loads((bundle / "Info.plist").read_bytes())["CFBundleIdentifier"] == "theirs"
