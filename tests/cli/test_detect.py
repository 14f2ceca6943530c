"""``aasist detect`` in this process: what is judged, in which order, and what is printed."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from aasist.cli import aasist

from ..runtime.contract import CONTRACT_KEYS

Detect = Callable[..., Result]


@pytest.fixture
def detect(loudness_onnx: Path) -> Detect:
    """Runs ``aasist detect`` with a model that scores loudness, so that labels are known."""

    def run(
        *arguments: str | os.PathLike[str], model: str | os.PathLike[str] = loudness_onnx, **options: Any
    ) -> Result:
        words = ["detect", "--threads", "1", "--model", os.fspath(model), *map(os.fspath, arguments)]
        result = CliRunner().invoke(aasist, words, **options)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result

    return run


@pytest.fixture(scope="module")
def clip(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two and a half seconds of speech as WAV."""
    samples, rate = soundfile.read(recording, dtype="float32")
    path = tmp_path_factory.mktemp("clip") / "clip.wav"
    soundfile.write(path, samples[: int(2.5 * rate)], rate)
    return path


@pytest.fixture
def folder(clip: Path, tmp_path: Path) -> Path:
    """Recordings at two depths, a text beside them, and names that sort otherwise than they were made."""
    root = tmp_path / "calls"
    for name in ("b.wav", "a.wav", "inner/z.wav", "inner/c.WAV", "inner/deep/d.wav", "B.wav"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, root / name)
    (root / "notes.txt").write_text("not audio")
    (root / ".hidden.wav").write_bytes(clip.read_bytes())
    return root


def objects(result: Result) -> list[dict[str, Any]]:
    """The JSON lines on stdout; NaN and Infinity are failures."""
    lines = result.stdout.splitlines()
    return [json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} in JSON")) for line in lines]


def test_json_has_the_keys_of_the_contract_and_goes_to_stdout_alone(detect: Detect, clip: Path) -> None:
    result = detect("--json", clip)
    assert result.exit_code == 0
    (verdict,) = objects(result)
    assert list(verdict) == CONTRACT_KEYS
    assert verdict["path"] == str(clip)
    assert (verdict["sample_rate"], verdict["channels"], verdict["error"]) == (16_000, 1, None)
    assert verdict["model"]["name"] == "loudness"
    assert result.stderr == ""


def test_timeline_adds_the_raw_windows(detect: Detect, clip: Path, tmp_path: Path) -> None:
    (verdict,) = objects(detect("--json", "--timeline", clip))
    assert detect("--timeline", "-o", tmp_path / "out.jsonl", clip).exit_code == 0
    assert json.loads((tmp_path / "out.jsonl").read_text()) == verdict
    assert list(verdict) == [*CONTRACT_KEYS, "windows"]
    assert len(verdict["windows"]) > 3
    assert all(window["end"] - window["start"] == pytest.approx(0.5, abs=1e-3) for window in verdict["windows"])


@pytest.mark.parametrize(("threshold", "label"), [("-100", "bonafide"), ("100", "spoof")])
def test_the_threshold_moves_the_label_and_not_the_exit_code(
    threshold: str, label: str, detect: Detect, clip: Path
) -> None:
    result = detect("--json", "--threshold", threshold, clip)
    (verdict,) = objects(result)
    assert (verdict["label"], verdict["threshold"], result.exit_code) == (label, float(threshold), 0)


def test_recordings_are_judged_in_the_order_given_even_twice(detect: Detect, folder: Path) -> None:
    given = [str(folder / name) for name in ("b.wav", "inner/z.wav", "a.wav", "b.wav")]
    assert [verdict["path"] for verdict in objects(detect("--json", *given))] == given


def test_a_folder_is_walked_recursively_and_sorted_and_hidden_and_other_files_are_passed_over(
    detect: Detect, folder: Path
) -> None:
    result = detect("--json", folder)
    names = ["B.wav", "a.wav", "b.wav", "inner/c.WAV", "inner/deep/d.wav", "inner/z.wav"]
    assert [verdict["path"] for verdict in objects(result)] == [f"{folder}/{name}" for name in names]
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("given", "start"), [("calls", "calls/"), ("./calls", "./calls/"), ("calls/", "calls/"), (".", "./calls/")]
)
def test_paths_in_a_folder_start_as_the_folder_was_given(
    given: str, start: str, detect: Detect, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    paths = [verdict["path"] for verdict in objects(detect("--json", given))]
    assert len(paths) == 6
    assert all(path.startswith(start) for path in paths), paths


def test_a_pattern_is_expanded_and_sorted_and_two_stars_judge_no_file_twice(
    detect: Detect, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert [verdict["path"] for verdict in objects(detect("--json", "?.wav"))] == ["B.wav", "a.wav", "b.wav"]
    deep = [verdict["path"] for verdict in objects(detect("--json", "inner/**"))]
    assert deep == ["inner/c.WAV", "inner/deep/d.wav", "inner/z.wav"]


def test_a_file_whose_name_looks_like_a_pattern_is_taken_by_its_name(
    detect: Detect, clip: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "call [1].wav"
    shutil.copy(clip, odd)
    shutil.copy(clip, tmp_path / "call 1.wav")
    assert [verdict["path"] for verdict in objects(detect("--json", odd))] == [str(odd)]


@pytest.mark.parametrize(
    "pattern", ["calls/**", "calls/**/*.[wW][aA][vV]", "./calls/**", "c*/**/?.*", "calls/**/**", "**"]
)
def test_two_stars_over_a_folder_that_links_to_itself_judge_each_file_once(
    pattern: str, detect: Detect, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two links that lead back up have more paths than could ever be listed."""
    (folder / "notes.txt").unlink()
    for name in ("inner/again", "inner/deep/more", "back"):
        (folder / name).symlink_to(folder, target_is_directory=True)
    (folder / ".cache").mkdir()
    shutil.copy(folder / "a.wav", folder / ".cache" / "x.wav")
    monkeypatch.chdir(folder.parent)
    result = detect("--json", pattern)
    start = "./calls" if pattern.startswith(".") else "calls"
    names = ["B.wav", "a.wav", "b.wav", "inner/c.WAV", "inner/deep/d.wav", "inner/z.wav"]
    assert [verdict["path"] for verdict in objects(result)] == [f"{start}/{name}" for name in names]
    assert (result.exit_code, result.stderr) == (0, "")


def test_stars_within_a_name_and_hidden_names_that_are_asked_for_and_absolute_patterns_work(
    detect: Detect, folder: Path
) -> None:
    (folder / ".cache").mkdir()
    shutil.copy(folder / "a.wav", folder / ".cache" / "x.wav")
    expected = {
        "inner/**.wav": ["inner/z.wav"],
        "**/[a-c]**": ["a.wav", "b.wav", "inner/c.WAV"],
        "**/.cache/*": [".cache/x.wav"],
        "**/deep": ["inner/deep/d.wav"],
    }
    for pattern, names in expected.items():
        paths = [verdict["path"] for verdict in objects(detect("--json", folder / pattern))]
        assert paths == [f"{folder}/{name}" for name in names], pattern


def test_a_pattern_that_matches_nothing_is_a_file_that_is_missing(detect: Detect, tmp_path: Path) -> None:
    result = detect("--json", tmp_path / "*.wav")
    (verdict,) = objects(result)
    assert (verdict["error"]["code"], result.exit_code) == ("not_found", 1)


def test_a_minus_is_standard_input(detect: Detect, clip: Path) -> None:
    result = detect("--json", "-", input=clip.read_bytes())
    (verdict,) = objects(result)
    (by_path,) = objects(detect("--json", clip))
    assert verdict == by_path | {"path": "-"}
    assert result.exit_code == 0


def test_empty_standard_input_is_an_error_object(detect: Detect) -> None:
    result = detect("--json", "-", input=b"")
    (verdict,) = objects(result)
    assert (verdict["path"], verdict["error"]["code"], result.exit_code) == ("-", "empty", 1)


def test_standard_input_over_the_limit_of_bytes_is_refused(detect: Detect, clip: Path) -> None:
    (verdict,) = objects(detect("--json", "--max-bytes", "1000", "-", input=clip.read_bytes()))
    assert verdict["error"]["code"] == "too_large"


def test_limits_on_bytes_and_seconds_are_kept(detect: Detect, clip: Path) -> None:
    by_seconds = detect("--json", "--max-seconds", "1", clip)
    by_bytes = detect("--json", "--max-bytes", "1000", clip)
    codes = [objects(result)[0]["error"]["code"] for result in (by_seconds, by_bytes)]
    assert codes == ["too_long", "too_large"]
    assert by_seconds.exit_code == by_bytes.exit_code == 1


def test_one_channel_can_be_judged(detect: Detect, clip: Path, tmp_path: Path) -> None:
    samples, rate = soundfile.read(clip)
    stereo = tmp_path / "stereo.wav"
    soundfile.write(stereo, np.stack([samples, np.zeros_like(samples)], axis=1), rate)
    labels = [objects(detect("--json", "--channel", str(n), stereo))[0]["label"] for n in (0, 1)]
    assert labels[0] != "undecided"
    assert labels[1] == "undecided"
    result = detect("--json", "--channel", "2", stereo)
    assert (objects(result)[0]["error"]["code"], result.exit_code) == ("channel", 1)


def bad_files(folder: Path, clip: Path) -> dict[str, Path]:
    """Code of the error -> a file that gives it."""
    made = {code: folder / f"{code}.wav" for code in ("empty", "unreadable", "too_short", "not_finite", "sample_rate")}
    made["empty"].write_bytes(b"")
    made["unreadable"].write_bytes(np.random.default_rng(0).bytes(5_000))
    soundfile.write(made["too_short"], np.zeros(800), 16_000)
    soundfile.write(made["not_finite"], np.full(16_000, np.nan, np.float32), 16_000, subtype="FLOAT")
    soundfile.write(made["sample_rate"], np.zeros(100), 1)
    made["not_found"] = folder / "none.wav"
    made["playlist"] = folder / "list.m3u"
    made["playlist"].write_text(f"#EXTM3U\n{clip}\n")
    made["not_a_file"] = folder / "pipe.wav"
    os.mkfifo(made["not_a_file"])
    return made


def test_each_bad_file_gets_one_line_on_stderr_and_one_object_and_the_others_are_judged(
    detect: Detect, clip: Path, tmp_path: Path
) -> None:
    bad = bad_files(tmp_path, clip)
    result = detect("--json", *bad.values(), clip)
    verdicts = objects(result)
    assert result.exit_code == 1
    assert [verdict["path"] for verdict in verdicts] == [str(path) for path in (*bad.values(), clip)]
    assert [verdict["error"] and verdict["error"]["code"] for verdict in verdicts] == [*bad, None]
    assert all(list(verdict) == CONTRACT_KEYS for verdict in verdicts)
    assert all(verdict["label"] is verdict["score"] is verdict["llr"] is None for verdict in verdicts[:-1])
    complaints = result.stderr.splitlines()
    assert len(complaints) == len(bad)
    for complaint, path in zip(complaints, bad.values(), strict=True):
        assert complaint.startswith(f"aasist: {path}: ")


def test_a_playlist_under_the_name_of_a_recording_is_refused_and_what_it_names_is_not_read(
    detect: Detect, clip: Path, tmp_path: Path
) -> None:
    playlist = tmp_path / "call.mp3"
    playlist.write_text(f"#EXTM3U\n#EXTINF:1,x\n{clip}\n")
    (verdict,) = objects(detect("--json", playlist))
    assert (verdict["error"]["code"], verdict["duration_seconds"]) == ("playlist", None)


def test_a_folder_without_audio_is_an_error(detect: Detect, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("nothing to hear")
    result = detect("--json", tmp_path)
    (verdict,) = objects(result)
    assert (verdict["path"], verdict["error"]["code"]) == (str(tmp_path), "no_audio_files")
    assert result.exit_code == 1


def test_a_folder_that_links_to_itself_is_walked_once(detect: Detect, folder: Path) -> None:
    (folder / "inner" / "again").symlink_to(folder, target_is_directory=True)
    (folder / "self.wav").symlink_to(folder / "self.wav")
    (folder / "linked.wav").symlink_to(folder / "a.wav")
    result = detect("--json", folder)
    paths = [Path(verdict["path"]).relative_to(folder).as_posix() for verdict in objects(result)]
    judged = ["B.wav", "a.wav", "b.wav", "inner/c.WAV", "inner/deep/d.wav", "inner/z.wav", "linked.wav"]
    assert paths == [*judged, "self.wav"]
    assert objects(result)[-1]["error"]["code"] == "not_found"  # a link to itself leads nowhere
    assert result.exit_code == 1


def test_a_folder_that_may_not_be_listed_is_an_error_and_its_neighbours_are_judged(
    detect: Detect, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = os.scandir

    def forbidding(path: Any) -> Any:
        # To root, no folder is unreadable: the refusal is acted.
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", forbidding)
    result = detect("--json", folder)
    verdicts = objects(result)
    failed = [verdict for verdict in verdicts if verdict["error"]]
    assert [(verdict["path"], verdict["error"]["code"]) for verdict in failed] == [
        (f"{folder}/inner/deep", "permission")
    ]
    assert len(verdicts) == 6
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="to root, no file is unreadable")
def test_a_file_that_may_not_be_read_is_an_error(detect: Detect, clip: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    shutil.copy(clip, secret)
    secret.chmod(0)
    (verdict,) = objects(detect("--json", secret))
    assert verdict["error"]["code"] == "permission"


@pytest.mark.parametrize(
    "name", ["new\nline.wav", "bell\x07.wav", "\x1b[31mred.wav", "caf\udce9.wav", "tab\t.wav", "日本.wav"]
)
def test_any_file_name_stays_on_one_line_and_comes_back_from_json(
    name: str, detect: Detect, clip: Path, tmp_path: Path
) -> None:
    path, missing = tmp_path / name, tmp_path / f"not-{name}"
    shutil.copy(clip, path)
    result = detect("--json", path, missing)
    assert [verdict["path"] for verdict in objects(result)] == [str(path), str(missing)]
    table = detect(path, missing)
    assert len(table.stderr.splitlines()) == 2, "the complaint and the sum"
    for text in (result.stderr, table.stdout, table.stderr):
        assert not any(sign in text for sign in "\x07\x1b\t\udce9")
    assert len([line for line in table.stdout.splitlines() if "not-" in line]) == 1


def test_the_table_has_a_row_for_each_recording_and_the_sum_goes_to_stderr(
    detect: Detect, clip: Path, tmp_path: Path
) -> None:
    result = detect(clip, tmp_path / "none.wav", "--threshold", "100")
    header, judged, failed = [line for line in result.stdout.splitlines() if not line.startswith(" " * 9)]
    assert header.split() == ["verdict", "score", "length", "█", "fake", "─", "real,", "along", "time", "recording"]
    assert header.index("█") == judged.index("[")
    assert header.index("recording") == judged.index(str(clip))
    assert judged.split()[0] == "spoof"
    assert judged.endswith(str(clip))
    assert "█" in judged
    assert failed.startswith("error: not_found ")
    assert failed.endswith(str(tmp_path / "none.wav"))
    assert header.index("recording") == failed.index(str(tmp_path))
    assert result.stderr.splitlines()[-1] == "2 recordings: 1 spoof, 1 not judged"
    assert "{" not in result.stdout


def test_the_bar_tells_spoof_from_bona_fide_without_colour(detect: Detect, clip: Path) -> None:
    real = detect(clip, "--threshold", "-100").stdout.splitlines()[1]
    assert "─" in real
    assert "█" not in real


@pytest.mark.parametrize("as_json", [True, False])
def test_output_holds_the_same_json_lines_as_stdout_would(
    as_json: bool, detect: Detect, clip: Path, tmp_path: Path
) -> None:
    output = tmp_path / "verdicts.jsonl"
    result = detect(*(["--json"] if as_json else []), "-o", output, clip, tmp_path / "none.wav")
    expected = detect("--json", clip, tmp_path / "none.wav").stdout
    assert output.read_text() == expected
    assert (as_json and result.stdout == expected) or (not as_json and "{" not in result.stdout)
    assert [path.name for path in tmp_path.iterdir()] == ["verdicts.jsonl"]


def test_output_is_whole_or_not_there(
    detect: Detect, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aasist.cli import detect as module

    output = tmp_path / "verdicts.jsonl"
    output.write_text("from before\n")

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "judge", interrupted)
    result = detect("-o", output, clip)
    assert result.exit_code == 1
    assert output.read_text() == "from before\n"
    assert [path.name for path in tmp_path.iterdir()] == ["verdicts.jsonl"]


def test_output_that_cannot_be_a_file_is_wrong_usage_and_nothing_is_judged_or_left(
    detect: Detect, clip: Path, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for output in (tmp_path, tmp_path / "none" / "verdicts.jsonl", pipe):
        result = detect("--json", "-o", output, clip)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert "cannot write" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
    assert pipe.is_fifo()


def test_output_through_a_link_replaces_what_the_link_leads_to(detect: Detect, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "real.jsonl").write_text("old")
    link = tmp_path / "link.jsonl"
    link.symlink_to("real.jsonl")
    assert detect("-o", link, clip).exit_code == 0
    assert link.is_symlink()
    assert json.loads((tmp_path / "real.jsonl").read_text())["path"] == str(clip)


def test_output_onto_the_model_or_a_recording_is_wrong_usage_and_both_stay_as_they_were(
    detect: Detect, loudness_onnx: Path, clip: Path, tmp_path: Path
) -> None:
    model, call = tmp_path / "mine.onnx", tmp_path / "call"
    model.write_bytes(loudness_onnx.read_bytes())
    shutil.copy(clip, call)
    (tmp_path / "link.jsonl").symlink_to("mine.onnx")
    for output, complaint in (
        (model, "is the model"),
        (tmp_path / "link.jsonl", "is the model"),
        (call, "is one of the recordings"),
        (tmp_path / "new.wav", "has the name of a recording"),
    ):
        result = detect("-o", output, call, model=model)
        assert (result.exit_code, result.stdout) == (2, "")
        assert complaint in result.stderr
    assert model.read_bytes() == loudness_onnx.read_bytes()
    assert call.read_bytes() == clip.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"mine.onnx", "call", "link.jsonl"}


def test_a_name_no_file_can_have_costs_its_own_verdict_where_the_output_replaces_a_file(
    detect: Detect, clip: Path, tmp_path: Path
) -> None:
    output = tmp_path / "verdicts.jsonl"
    output.write_text("from before\n")
    assert detect("-o", output, "a" * 300, clip).exit_code == 1
    verdicts = [json.loads(line) for line in output.read_text().splitlines()]
    assert [verdict["error"] is None for verdict in verdicts] == [False, True]


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(143), BrokenPipeError()], ids=repr)
def test_what_was_done_when_the_work_was_stopped_is_kept_under_a_name_that_says_so(
    stop: BaseException, detect: Detect, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aasist.cli import detect as module

    output, really_judge, judged = tmp_path / "verdicts.jsonl", module.judge, []
    output.write_text("from before\n")

    def stopped_at_the_third(*arguments: Any) -> Any:
        judged.append(arguments)
        if len(judged) == 3:
            raise stop
        return really_judge(*arguments)

    monkeypatch.setattr(module, "judge", stopped_at_the_third)
    result = detect("-o", output, clip, clip, clip, clip)
    # 1 is click's own answer to Ctrl-C in this process; the program's is in test_command.
    codes = {KeyboardInterrupt: 1, SystemExit: 143, BrokenPipeError: 128 + signal.SIGPIPE}
    assert result.exit_code == codes[type(stop)]
    assert output.read_text() == "from before\n"
    part = tmp_path / "verdicts.jsonl.part"
    assert [json.loads(line)["path"] for line in part.read_text().splitlines()] == [str(clip)] * 2
    assert f"the lines so far (2) are in {part}" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["verdicts.jsonl", "verdicts.jsonl.part"]


def test_a_failure_of_ours_leaves_the_old_output_and_no_part(
    loudness_onnx: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aasist.cli.rows import Rows

    output, really_show, shown = tmp_path / "verdicts.jsonl", Rows.show, []
    output.write_text("from before\n")

    def full_at_the_third(self: Rows, verdict: Any) -> None:
        shown.append(verdict)
        if len(shown) == 3:
            raise OSError(28, "No space left on device")
        really_show(self, verdict)

    monkeypatch.setattr(Rows, "show", full_at_the_third)
    words = ["detect", "--model", str(loudness_onnx), "-o", str(output), *[str(clip)] * 4]
    assert isinstance(CliRunner().invoke(aasist, words).exception, OSError)
    assert output.read_text() == "from before\n"
    assert [path.name for path in tmp_path.iterdir()] == ["verdicts.jsonl"]


def test_a_model_that_cannot_be_opened_prints_no_rows_and_an_object_for_each_recording_where_objects_are_wanted(
    detect: Detect, clip: Path, tmp_path: Path
) -> None:
    output = tmp_path / "verdicts.jsonl"
    table = detect("-o", output, clip, tmp_path / "none.wav", model="no-such-model")
    assert (table.exit_code, table.stdout) == (1, "")
    (complaint,) = table.stderr.splitlines()
    assert "no such model" in complaint
    as_json = detect("--json", clip, tmp_path / "none.wav", model="no-such-model")
    assert [verdict["error"]["code"] for verdict in objects(as_json)] == ["unknown_model"] * 2
    assert output.read_text() == as_json.stdout
    assert as_json.stderr == table.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--max-seconds", "nan", "x.wav"],
        ["--max-seconds", "inf", "x.wav"],
        ["--timeline", "x.wav"],
        ["-o", "-", "x.wav"],
        ["--threshold", "nan", "x.wav"],
        ["--threshold", "inf", "x.wav"],
        ["--threshold", "high", "x.wav"],
        ["--threads", "0", "x.wav"],
        ["--channel", "-1", "x.wav"],
        ["--max-seconds", "0", "x.wav"],
        ["--max-bytes", "0", "x.wav"],
        ["--colour", "x.wav"],
        ["-", "-"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2_and_prints_nothing_on_stdout(arguments: list[str], detect: Detect) -> None:
    result = detect(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error" in result.stderr


def test_the_cascade_is_a_model_by_name_and_explains_nothing(detect: Detect, recording: Path, tmp_path: Path) -> None:
    result = detect("--json", recording, model="cascade")
    assert result.exit_code == 0
    verdict = json.loads(result.stdout)
    assert list(verdict) == CONTRACT_KEYS
    assert verdict["model"]["name"] in ("small", "efficient")
    failed = detect("--json", tmp_path / "none.wav", model="cascade")
    assert (failed.exit_code, json.loads(failed.stdout)["error"]["code"]) == (1, "not_found")
    refused = detect("--explain", recording, model="cascade")
    assert refused.exit_code == 2
    assert "name it in the place of cascade" in refused.stderr
    unknown = detect("--threshold", "nowhere", recording, model="cascade")
    assert unknown.exit_code == 2
