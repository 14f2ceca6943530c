"""The command as a program: help, exit codes, streams, and the verbs beside ``detect``."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import onnx
import pytest
import torch
from click.testing import CliRunner

from aasist.cli import VERBS, aasist, main
from aasist.export import onnx as exporting
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.runtime import modelfile
from aasist.runtime.modelfile import Calibration
from aasist.runtime.models import shipped, shipped_folder
from aasist.runtime.points import NamedPoint

WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from aasist.cli import main
main()
"""


def run(
    *arguments: str | os.PathLike[str], absent: Sequence[str] = (), given: bytes = b"", **options: object
) -> subprocess.CompletedProcess[bytes]:
    """Run ``aasist`` in a process of its own, as if the ``absent`` packages were not installed."""
    start = ["-c", WITHOUT.format(absent=set(absent))] if absent else ["-m", "aasist"]
    words = [sys.executable, "-W", "error", *start, *map(os.fspath, arguments)]
    return subprocess.run(words, input=given, capture_output=True, timeout=120, check=False, **options)  # type: ignore[call-overload]


def test_python_m_aasist_shows_every_verb_with_its_line_of_help() -> None:
    result = run("--help")
    assert (result.returncode, result.stderr) == (0, b"")
    shown = " ".join(result.stdout.decode().split())
    assert all(f"{name} {line}" in shown for name, line in VERBS.items())
    assert "Usage: aasist [OPTIONS]" in shown


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_shows_every_default(verb: str) -> None:
    result = CliRunner().invoke(aasist, [verb, "--help"])
    assert result.exit_code == 0
    command = aasist.get_command(None, verb)  # type: ignore[arg-type]
    assert command is not None
    assert command.help
    for option in command.params:
        default = option.default
        if isinstance(default, str | int | float) and not isinstance(default, bool) and default != "":
            assert f"[default: {default}" in " ".join(result.stdout.split()), option.name


def test_an_unknown_verb_is_wrong_usage() -> None:
    result = CliRunner().invoke(aasist, ["detekt"])
    assert result.exit_code == 2
    assert "detekt" in result.stderr


def test_the_version_is_that_of_the_package() -> None:
    from aasist import __version__

    assert CliRunner().invoke(aasist, ["--version"]).stdout.strip() == __version__


def test_exit_code_and_streams_of_the_program_are_those_of_the_contract(
    recording: Path, loudness_onnx: Path, tmp_path: Path
) -> None:
    model = ("--model", loudness_onnx, "--threads", "1")
    judged = run("detect", "--json", *model, recording)
    assert (judged.returncode, judged.stderr) == (0, b"")
    assert json.loads(judged.stdout)["error"] is None

    failed = run("detect", "--json", *model, tmp_path / "none.wav", recording)
    assert failed.returncode == 1
    assert [json.loads(line)["error"] is None for line in failed.stdout.splitlines()] == [False, True]
    assert failed.stderr.decode().splitlines() == [f"aasist: {tmp_path / 'none.wav'}: no such file"]

    wrong = run("detect")
    assert (wrong.returncode, wrong.stdout) == (2, b"")
    assert b"Traceback" not in judged.stderr + failed.stderr + wrong.stderr


def test_standard_input_is_a_pipe_to_the_program(recording: Path, loudness_onnx: Path) -> None:
    result = run("detect", "--json", "--model", loudness_onnx, "-", given=recording.read_bytes())
    assert (result.returncode, json.loads(result.stdout)["path"]) == (0, "-")


def test_closed_standard_input_is_an_error_object(loudness_onnx: Path) -> None:
    command = f'exec "{sys.executable}" -m aasist detect --json --model "{loudness_onnx}" - <&-'
    result = subprocess.run(["sh", "-c", command], capture_output=True, timeout=120, check=False)
    assert (result.returncode, json.loads(result.stdout)["error"]["code"]) == (1, "empty")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_end_in_no_traceback_and_the_file_is_written_all_the_same(
    closed: str, recording: Path, loudness_onnx: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    for options in ("", "--json"):
        words = f'-X dev -W error -m aasist detect {options} --model "{loudness_onnx}" -o "{output}" "{recording}"'
        command = f'exec "{sys.executable}" {words} {closed}'
        result = subprocess.run(["sh", "-c", command], capture_output=True, timeout=120, check=False)
        assert (result.returncode, result.stderr) == (0, b"")
        assert json.loads(output.read_text())["error"] is None
        output.unlink()


def test_output_onto_what_a_stream_leads_to_is_wrong_usage(
    recording: Path, loudness_onnx: Path, tmp_path: Path
) -> None:
    taken, given = tmp_path / "taken", tmp_path / "given"
    given.write_bytes(recording.read_bytes())
    for stream, source in ((f'>"{taken}"', recording), (f'2>"{taken}"', recording), (f'<"{given}"', "-")):
        output = given if source == "-" else taken
        words = f'-m aasist detect --model "{loudness_onnx}" -o "{output}" "{source}" {stream}'
        command = f'exec "{sys.executable}" {words}'
        result = subprocess.run(["sh", "-c", command], capture_output=True, timeout=120, check=False)
        assert result.returncode == 2, stream
        said = result.stderr + (taken.read_bytes() if stream.startswith("2") else b"")
        assert (b"already goes there" in said) or (b"would be replaced" in said and source == "-")
    assert given.read_bytes() == recording.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"taken", "given"}


INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from aasist.cli import main
main()
"""
"""A job in the background starts with Ctrl-C ignored, and hands that on: the tests may be one."""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_program_that_is_stopped_keeps_the_finished_lines_as_a_part(
    how: signal.Signals, recording: Path, loudness_onnx: Path, tmp_path: Path
) -> None:
    """It judges one recording and then waits for standard input, which holds more than a pipe takes unread."""
    output = tmp_path / "out.jsonl"
    words = ["-c", INTERRUPTIBLE, "detect", "--model", loudness_onnx, "-o", output, recording, "-"]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, *map(str, words)], **streams) as process:  # type: ignore[call-overload]
        process.stdin.write(bytes(4 << 20))
        process.send_signal(how)
        complaints = process.communicate(timeout=120)[1].decode()
    assert process.returncode == 128 + how
    part = tmp_path / "out.jsonl.part"
    assert json.loads(part.read_text())["path"] == str(recording)
    assert f"the lines so far (1) are in {part}" in complaints
    assert "Traceback" not in complaints
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl.part"]


@pytest.mark.parametrize("options", [["--json"], []], ids=["json", "table"])
def test_a_reader_that_leaves_early_ends_the_program_quietly_with_the_exit_code_of_any_other_tool(
    options: list[str], recording: Path, loudness_onnx: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    words = ["-m", "aasist", "detect", *options, "--model", str(loudness_onnx), "-o", str(output)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-u", *words, *[str(recording)] * 8], **streams) as process:  # type: ignore[call-overload]
        assert process.stdout.readline()
        process.stdout.close()
        complaints = process.stderr.read().decode()
        assert process.wait(timeout=120) == 128 + signal.SIGPIPE
    part = tmp_path / "out.jsonl.part"
    assert [path.name for path in tmp_path.iterdir()] == [part.name]
    judged = part.read_text().splitlines()
    assert 1 <= len(judged) < 8
    assert complaints == f"aasist: stopped; the lines so far ({len(judged)}) are in {part}\n"


def test_a_reader_that_has_left_before_the_last_flush_is_told_apart_from_success() -> None:
    """All that ``models`` prints fits into the buffer, which is written out at the end."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-W", "error", "-m", "aasist", "models"]
    result = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert (result.returncode, result.stderr) == (128 + signal.SIGPIPE, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_under_standard_output_is_one_line_and_exit_code_1() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-W", "error", "-m", "aasist", "models"]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (1, b"aasist: cannot write: No space left on device\n")


def test_a_name_that_is_no_utf_8_is_printed_by_the_program(
    recording: Path, loudness_onnx: Path, tmp_path: Path
) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.flac"
    Path(os.fsdecode(path)).write_bytes(recording.read_bytes())
    for options in (["--json"], []):
        result = run("detect", *options, "--model", loudness_onnx, os.fsdecode(path))
        assert (result.returncode, b"Traceback" in result.stderr) == (0, False)
        assert b"caf" in result.stdout


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_checkpoint_without_torch_prints_the_command_that_installs_it(
    suffix: str, recording: Path, tmp_path: Path
) -> None:
    model = tmp_path / f"model{suffix}"
    model.write_bytes(b"weights")
    result = run("detect", "--json", "--model", model, recording, absent=["torch"])
    assert result.returncode == 1
    (line,) = result.stderr.decode().splitlines()
    assert "pip install '.[train]'" in line
    assert json.loads(result.stdout)["error"]["code"] == "missing_extra"


def test_without_torch_a_shipped_model_judges(recording: Path) -> None:
    absent = ["torch", "onnx", "onnxscript", "safetensors", "matplotlib"]
    result = run("detect", "--json", recording, absent=absent)
    assert (result.returncode, result.stderr) == (0, b"")
    assert json.loads(result.stdout)["score"] is not None


def test_plots_without_matplotlib_print_the_command_that_installs_it(recording: Path, tmp_path: Path) -> None:
    result = run("detect", "--plot", tmp_path / "plots", recording, absent=["matplotlib"])
    assert result.returncode == 1
    assert "pip install '.[plots]'" in result.stderr.decode().splitlines()[0]


def test_export_without_torch_prints_the_command_that_installs_it(tmp_path: Path) -> None:
    result = run("export", tmp_path / "a.pth", "-o", tmp_path / "a.onnx", absent=["torch"])
    assert result.returncode != 0
    assert result.stderr.decode().splitlines() == [
        "aasist: export needs the extra 'export': pip install '.[export]' in the folder of aasist"
    ]


def test_models_lists_what_is_shipped_with_the_hashes_of_the_files() -> None:
    lines = CliRunner().invoke(aasist, ["models", "--json"]).stdout.splitlines()
    listed = {facts["name"]: facts for facts in map(json.loads, lines)}
    assert listed.keys() == shipped().keys()
    assert [name for name, facts in listed.items() if facts["default"]] == ["efficient"]
    for facts in listed.values():
        content = (shipped_folder() / facts["file"]).read_bytes()
        assert facts["sha256"] == hashlib.sha256(content).hexdigest()
        assert facts["bytes"] == len(content)
        points = modelfile.notes_of(content).points
        assert [point.name for point in points] == ["eer", "miss-5", "miss-1"]
        assert tuple(map(NamedPoint.from_json, facts["points"])) == points


def test_models_for_people_show_name_hash_licence_and_every_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"test": {"eer": 0.281, "eer_95": [0.25, 0.31], "bonafide": 900, "spoof": 1_100, "systems": 40}}
    facts = {**next(iter(shipped().values())), "figures": figures, "summary": "in one line"}
    monkeypatch.setattr("aasist.runtime.models.shipped", lambda: {"efficient": facts})
    shown = CliRunner().invoke(aasist, ["models"]).stdout
    assert "efficient (default)" in shown
    for part in (facts["sha256"], facts["licence"], "in one line", "28.1%", "25.0% to 31.0%", "40 systems"):
        assert part in shown
    for point in facts["points"]:
        (line,) = [line for line in shown.splitlines() if f"--threshold {point['name']} " in line]
        assert f"{point['threshold']:+.2f}" in line and f"{100 * point['miss']:.1f} % (" in line


def test_export_writes_a_file_that_detect_takes(
    small_model: Aasist, small_onnx: Path, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "small.safetensors", tmp_path / "out.onnx"
    checkpoint.save(small_model, source)
    # The graph is the one that was made already; what is checked here is the verb.
    monkeypatch.setattr(exporting, "to_onnx", lambda model: onnx.load(str(small_onnx)))
    options = ["--name", "mine", "--model-version", "3", "--slope", "2", "--offset", "-1", "--threshold", "0.5"]
    options += ["--hop-seconds", "0.25", "--training", "none", "--licence", "CC0"]
    result = CliRunner().invoke(aasist, ["export", str(source), "-o", str(target), *options])
    assert result.exit_code == 0, result.output
    assert str(target) in result.stdout
    notes = modelfile.read(target)[1]
    assert (notes.name, notes.version, notes.training, notes.licence) == ("mine", "3", "none", "CC0")
    assert (notes.calibration, notes.threshold) == (Calibration(2.0, -1.0), 0.5)
    assert (notes.window_samples, notes.hop_samples) == (8_000, 4_000)
    judged = CliRunner().invoke(aasist, ["detect", "--json", "--model", str(target), str(recording)])
    verdict = json.loads(judged.stdout)
    assert (verdict["model"]["name"], verdict["threshold"], verdict["error"]) == ("mine", 0.5, None)
    assert "uncalibrated" not in {warning["code"] for warning in verdict["warnings"]}


@pytest.mark.parametrize("options", [["--slope", "1"], ["--offset", "1"]], ids=" ".join)
def test_half_a_calibration_is_wrong_usage(options: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(aasist, ["export", "a.pth", "-o", str(tmp_path / "a.onnx"), *options])
    assert result.exit_code == 2
    assert "go together" in result.stderr


WRONG_EXPORTS = {
    "-o the checkpoint": ["-o", "a.pth"],
    "-o a link to the checkpoint": ["-o", "link.onnx"],
    "-o in a missing folder": ["-o", "none/a.onnx"],
    "-o in a file": ["-o", "a.pth/a.onnx"],
    "-o a folder": ["-o", "."],
    "-o a pipe": ["-o", "pipe"],
    "--slope nan": ["-o", "a.onnx", "--slope", "nan", "--offset", "0"],
    "--slope 0": ["-o", "a.onnx", "--slope", "0", "--offset", "0"],
    "--slope -1": ["-o", "a.onnx", "--slope", "-1", "--offset", "0"],
    "--offset inf": ["-o", "a.onnx", "--slope", "1", "--offset", "inf"],
    "--threshold nan": ["-o", "a.onnx", "--threshold", "nan"],
    "--hop-seconds 0": ["-o", "a.onnx", "--hop-seconds", "0"],
    "--hop-seconds nan": ["-o", "a.onnx", "--hop-seconds", "nan"],
    "--hop-seconds -1": ["-o", "a.onnx", "--hop-seconds", "-1"],
}


@pytest.mark.parametrize("options", WRONG_EXPORTS.values(), ids=WRONG_EXPORTS)
def test_an_export_that_could_not_be_written_or_used_is_wrong_usage_before_any_work(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(path: object) -> None:
        pytest.fail("the checkpoint was loaded")

    monkeypatch.setattr(checkpoint, "load", loaded)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pth").write_bytes(b"weights")
    (tmp_path / "link.onnx").symlink_to("a.pth")
    os.mkfifo(tmp_path / "pipe")
    result = CliRunner().invoke(aasist, ["export", "a.pth", *options])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr
    assert (tmp_path / "a.pth").read_bytes() == b"weights"
    assert (tmp_path / "pipe").is_fifo()
    assert {path.name for path in tmp_path.iterdir()} == {"a.pth", "link.onnx", "pipe"}


def test_export_of_what_is_no_checkpoint_is_one_line_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, target = tmp_path / "bad.pth", tmp_path / "out.onnx"
    torch.save([1, 2], bad)
    for source in (bad, tmp_path / "none.pth"):
        with pytest.raises(SystemExit) as caught:
            main(["export", str(source), "-o", str(target)])
        assert caught.value.code not in (0, None)
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("aasist: ")
        assert str(source) in line
    assert not target.exists()
