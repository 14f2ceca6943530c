"""The report: what its tables and pages say, what outsiders' names may not do to it, and the folder it is put in."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aasist.errors import AasistError, MissingExtra, ProtocolError
from aasist.evaluation import report
from aasist.evaluation.bootstrap import Difference
from aasist.evaluation.dcf import AsvRates
from aasist.evaluation.figures import Asv, Choices, Figures
from aasist.evaluation.metricsfile import read_metrics, stress_from_dict, summary_from_dict
from aasist.evaluation.report import (
    Material,
    report_html,
    report_markdown,
    worst_trials,
    write_report,
)
from aasist.evaluation.summary import Summary, summarise
from aasist.evaluation.tables import (
    StressRow,
    Table,
    breakdown_table,
    choices_table,
    comparison_table,
    headline_table,
    percent,
    stress_dicts,
    stress_table,
    stress_values,
    worst_condition,
)
from aasist.trial import strings

HOSTILE = "<script>alert(1)</script> | [x](javascript:1) `*_\n\x1b[31m\u202e\ud800"
SHA256 = "0f" * 32
PNG = b"\x89PNG not really"
STRESS = (
    StressRow("clean", "none", "as it is", 40, 40, 0, 0.1, (0.05, 0.15), 80, 0.0),
    StressRow("noise-0db", "noise", "noise at 0 dB", 40, 39, 1, 0.3, (0.2, 0.4), 79, 0.19, (0.15, 0.25)),
    StressRow("speed-1.1", "speed", "a tenth faster", 40, 40, 0, 0.08, (0.03, 0.13), 80, -0.02, (-0.04, 0.01)),
    StressRow("amr-nb", "telephone", "AMR-NB", unavailable="no encoder"),
)


def summary_of(**changes) -> tuple[Summary, dict]:
    """Of 40 bona fide trials and 40 spoofs, 20 each by A01 and an attack with a hostile name; and what it is made of."""
    random = np.random.default_rng(0)
    labels = np.repeat([True, False], 40)
    scores = np.concatenate([random.normal(1.5, 1, 40), random.normal(-3, 1, 20), random.normal(0.5, 1, 20)])
    columns = {
        "attack": strings(["-"] * 40 + ["A01"] * 20 + [HOSTILE.replace("\ud800", "")] * 20),
        "source": strings(["x", "y"] * 40),
        "speaker": strings([f"s{n % 8}" for n in range(80)]),
    }
    asv = Asv(AsvRates(0.02, 0.02, 0.7))
    choices = replace(Choices(rounds=20, by=("source",)), **changes)
    summary = summarise(scores, labels, columns, asv=asv, choices=choices)
    return summary, {"scores": scores, "labels": labels, "columns": columns}


@pytest.fixture(scope="module")
def material() -> Material:
    summary, made_of = summary_of()
    return Material(
        title=f"efficient on {HOSTILE}",
        subtitle="80 trials",
        summary=summary,
        ids=strings([f"t{n:03}" for n in range(80)]),
        paths=np.array([f"folder/{n} & {HOSTILE}.flac" for n in range(80)], object),
        version="1.2.3",
        date="2026-01-31",
        stress=STRESS,
        unscored=(("t999", "too_short: <0.1 s"),),
        model=SimpleNamespace(name="efficient", sha256=SHA256, precision="fp32"),
        pictures=((f"t001 {HOSTILE}", PNG),),
        files={"scores.tsv": b"trial\tscore\n"},
        **made_of,
    )


@pytest.fixture(scope="module")
def page(material: Material) -> str:
    return report_html(material)


class Tags(HTMLParser):
    """Every tag with its attributes, and whether all that were opened are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_per_cent_has_two_decimals_near_either_end_and_its_limits_have_as_many() -> None:
    assert percent(0.0106, (0.00951, 0.0118)) == "1.06 % (0.95 to 1.18)"
    assert percent(0.1234, (0.09, 0.2)) == "12.3 % (9.0 to 20.0)"
    assert percent(0.9994, unit="") == "99.94"
    assert percent(0.09996) == "10.0 %"
    assert percent(None) == "–"


def test_the_headline_holds_each_figure_that_is_known_with_its_interval() -> None:
    summary, _ = summary_of()
    rows = dict(headline_table(summary).rows)
    pooled = summary.pooled
    assert rows["EER"] == percent(pooled.eer, pooled.intervals["eer"])
    assert re.fullmatch(r"0\.\d{4} \(0\.\d{4} to 0\.\d{4}\)", rows["min t-DCF (2021)"])
    assert re.fullmatch(rf"{pooled.min_cllr:.3f} \(0\.\d{{3}} to 0\.\d{{3}}\)", rows["min Cllr, bits"])
    assert rows["spoofs accepted, threshold 0"].startswith(percent(pooled.false_acceptance))
    assert rows["spoofs accepted where 5 % of bona fide are rejected"] == percent(
        pooled.false_acceptance_at_miss["0.05"]
    )
    assert rows["mean EER by attack"] == percent(summary.macro_eer("attack"), summary.macro_intervals["attack"])


def test_without_verification_and_rounds_there_is_neither_a_t_dcf_nor_an_interval() -> None:
    summary, _ = summary_of(rounds=0)
    summary = replace(summary, pooled=replace(summary.pooled, min_tdcf=None, min_tdcf_legacy=None))
    table = headline_table(summary)
    assert table.headers == ("figure", "value")
    assert not any("t-DCF" in name or " to " in value for name, value in table.rows)


def test_a_breakdown_has_a_row_for_each_value_and_then_all_trials_and_the_mean() -> None:
    summary, _ = summary_of()
    table = breakdown_table(summary, "source")
    assert [row[0] for row in table.rows] == ["x", "y", "all trials", "mean of 2"]
    assert table.rows[0][1:3] == ("20", "20")
    assert table.rows[0][3] == percent(
        summary.by["source"]["x"].eer, summary.by["source"]["x"].intervals["eer"], unit=""
    )
    assert table.rows[-1][3] == percent(summary.macro_eer("source"), summary.macro_intervals["source"], unit="")
    assert len({len(row) for row in (table.headers, *table.rows)}) == 1


def test_a_value_without_an_eer_has_a_dash() -> None:
    summary, _ = summary_of()
    lone = replace(summary, by={"codec": {"opus": Figures(bonafide=0, spoof=3, false_acceptance=1 / 3)}})
    assert breakdown_table(lone, "codec").rows[0] == ("opus", "0", "3", "–", "–", "33.3")


def test_the_stress_table_says_why_a_condition_was_not_run_and_the_worst_is_named() -> None:
    table = stress_table(STRESS)
    assert table.rows[1] == (
        "noise-0db",
        "noise",
        "noise at 0 dB",
        "40",
        "39",
        "1",
        "79",
        "30.0 (20.0 to 40.0)",
        "+19.00 (15.00 to 25.00)",
        "",
    )
    assert table.headers[6:9] == ("paired", "EER, % (interval)", "change, points (interval)")
    assert table.rows[0][8] == "+0.00"
    assert stress_table([StressRow("gain", "gain", "louder", 9, 9, 0, 0.2)]).rows[0][-3:] == ("–", "20.0", "–")
    assert table.rows[3][-1] == "not run: no encoder"
    assert "note" not in stress_table(STRESS[:3]).headers
    assert worst_condition(STRESS) == (
        "Worst condition: noise-0db, EER 30.0 % (20.0 to 40.0); +19.00 points (15.00 to 25.00) against the recordings as "
        "they are."
    )
    assert worst_condition([STRESS[0]]) == "No condition raises the equal error rate."
    assert worst_condition([STRESS[3]]) == "No condition has an equal error rate."


def test_the_worst_condition_is_the_one_that_raises_the_error_of_the_same_trials_most() -> None:
    assert stress_values(STRESS) == {"stress": stress_dicts(STRESS), "worst_condition": "noise-0db"}
    # A higher error on what was scored, but of other trials: on the same ones it is lower.
    others = StressRow("first-1s", "duration", "1 s", 20, 20, 40, 0.4, None, 40, -0.01)
    assert stress_values([*STRESS, others])["worst_condition"] == "noise-0db"
    assert stress_values([STRESS[0], others])["worst_condition"] is None
    unpaired = [replace(row, change=None, change_interval=None, paired=None) for row in (others, *STRESS[1:])]
    assert stress_values(unpaired)["worst_condition"] == "first-1s"
    assert worst_condition(unpaired) == "Worst condition: first-1s, EER 40.0 %."
    assert stress_values([]) == {"stress": [], "worst_condition": None}


def test_the_worst_trials_are_wrong_and_farthest_from_the_threshold(material: Material) -> None:
    accepted = worst_trials(material, bonafide=False)
    scores, labels = material.scores, material.labels
    wrong = sorted(
        (score for score, label in zip(scores, labels, strict=True) if not label and score >= 0), reverse=True
    )
    assert [row[1] for row in accepted.rows] == [f"{score:.4g}" for score in wrong[:20]]
    assert accepted.headers == ("trial", "score", "attack", "speaker", "file")
    rejected = worst_trials(material, bonafide=True)
    assert rejected.headers == ("trial", "score", "speaker", "file")
    assert len(rejected.rows) == int((scores[labels] < 0).sum())
    worst = int(np.argmin(np.where(labels, scores, np.inf)))
    assert rejected.rows[0] == (f"t{worst:03}", f"{scores[worst]:.4g}", f"s{worst % 8}", material.paths[worst])


def test_twenty_worst_trials_of_a_class_are_enough(material: Material) -> None:
    harsh = replace(material, summary=summary_of(threshold=9.0)[0])
    assert len(worst_trials(harsh, bonafide=True).rows) == report.WORST_TRIALS
    assert worst_trials(harsh, bonafide=False).rows == ()


def test_the_choices_say_costs_threshold_and_what_was_resampled() -> None:
    rows = dict(choices_table(summary_of()[0]).rows)
    assert rows["threshold on the score"] == "0"
    assert rows["detection cost: spoof prior"] == "0.05"
    assert rows["detection cost: Bayes threshold"] == "-0.6419"
    assert rows["tandem cost: target prior"] == "0.9405"
    assert rows["verification system: spoofs accepted"] == "70.0 %"
    assert rows["bootstrap: resampled"] == "8 speakers"


def test_a_table_is_aligned_in_a_terminal_wide_characters_included() -> None:
    table = Table(("attack", "EER, %"), (("合成", "1.06"), ("A17", "12.3 (1.0 to 20.0)"), ("a\x1b[31m", "–")))
    assert table.text().split("\n") == [
        "attack              EER, %",
        "合成                  1.06",
        "A17     12.3 (1.0 to 20.0)",
        "a\ufffd[31m                   –",
    ]


@given(st.lists(st.text(max_size=12), min_size=2, max_size=2))
def test_no_cell_breaks_out_of_a_markdown_table(cells: list[str]) -> None:
    lines = Table(("a", "b"), (tuple(cells),)).markdown().splitlines()
    assert len(lines) == 3
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", lines[2])) == 3
    assert not re.search(r"(?<!\\)(?:\\\\)*[<\[`*]", lines[2])


def test_names_of_the_field_are_left_as_they_are_in_markdown() -> None:
    assert Table(("a",), (("LA_E_2834763",),)).markdown().endswith("| LA_E_2834763 |\n")


def test_a_comparison_says_both_figures_their_difference_and_its_interval() -> None:
    differences = {
        "eer": Difference(0.0106, 0.0809, -0.0703, (-0.075, -0.066), 0.001),
        "min_tdcf": Difference(0.0942, 0.2605, -0.1663, (-0.17, -0.16), 0.001),
        "novel": Difference(1.0, 1.0, 0.0, (-0.1, 0.1), 1.0),
    }
    table = comparison_table("A", "B", differences, 3000)
    assert table.rows[0] == ("EER, %", "1.06", "8.09", "-7.03 (-7.50 to -6.60)", "0.001")
    assert table.rows[1][:4] == ("min t-DCF (2021)", "0.0942", "0.2605", "-0.1663 (-0.1700 to -0.1600)")
    assert table.rows[2][3] == "+0.0000 (-0.1000 to 0.1000)"
    assert table.rows[0][3] in table.markdown()


def test_the_markdown_holds_the_tables_of_the_report(material: Material) -> None:
    text = report_markdown(material)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    assert headings[1:] == ["By attack", "By source", "Under stress", "Without a score: 1", "Choices"]
    assert breakdown_table(material.summary, "attack").markdown() in text
    assert stress_table(material.stress).markdown() in text
    assert worst_condition(STRESS) in text
    assert SHA256 in text
    assert "<script" not in text.replace("\\<", "")
    assert text.endswith("aasist 1.2.3, 2026-01-31\n")


def test_the_page_is_well_formed_and_asks_the_network_for_nothing(page: str) -> None:
    tags = Tags(page)
    assert not tags.open
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in tags.found}
    for _, attributes in tags.found:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"src", "href"}:
                assert value.startswith(("#", "data:image/png;base64,"))
    assert not re.search(r"https?:|url\((?!#)|@import", page)
    assert sum(tag == "svg" for tag, _ in tags.found) == 7


def test_every_reference_inside_the_page_leads_to_one_place(page: str) -> None:
    ids = [attributes["id"] for _, attributes in Tags(page).found if "id" in attributes]
    links = re.findall(r'href="#([^"]+)"', page) + re.findall(r"url\(#([^)]+)\)", page)
    assert set(links) <= set(ids)
    # A marker or a clipping that two charts share is the same in both.
    sections = [name for name in ids if not re.fullmatch(r"[mhpC][\w]*[0-9a-f]{6,}[\w]*", name)]
    assert len(sections) == len(set(sections))


def test_names_from_outside_are_text_in_the_page(page: str) -> None:
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    page.encode("utf-8")


def test_the_page_says_what_the_tables_say(page: str, material: Material) -> None:
    for said in (percent(material.summary.pooled.eer, material.summary.pooled.intervals["eer"]), SHA256,
                 "Worst condition: noise-0db", "not run: no encoder", "too_short: &lt;0.1 s", "aasist 1.2.3, 2026-01-31",
                 "prefers-color-scheme: dark", "@media print"):  # fmt: skip
        assert said in page
    for number, figure in enumerate(re.findall(r"<figure>.*?</figure>", page, re.DOTALL)):
        assert re.search(r"<figcaption>[^<]+</figcaption>", figure), number


def test_what_was_not_measured_has_no_section() -> None:
    random = np.random.default_rng(1)
    labels = np.repeat([True, False], 30)
    scores = random.normal(0, 1, 60) + 3 * labels
    summary = summarise(scores, labels, choices=Choices(rounds=0))
    bare = Material("t", summary, scores, labels, strings(map(str, range(60))), version="1", date="2026-01-01")
    html = report_html(bare)
    assert 'id="stress"' not in html
    assert 'id="unscored"' not in html
    assert "Tandem detection cost" not in html
    assert 'id="by-1"' not in html
    assert "Resampled for the intervals: nothing." in html
    assert report_markdown(bare).count("\n## ") == 1


def test_the_folder_gets_every_file_and_keeps_what_else_is_there(tmp_path: Path, material: Material, page: str) -> None:
    folder = tmp_path / "new" / "run-1"
    written = write_report(folder, material)
    assert [path.name for path in written] == ["metrics.json", "report.md", "report.html", "scores.tsv"]
    assert all(path.parent == folder and path.is_file() for path in written)
    assert (folder / "report.html").read_text(encoding="utf-8") == page, "the same material gives the same bytes"
    assert list(folder.parent.iterdir()) == [folder]
    umask = os.umask(0)
    os.umask(umask)
    assert folder.stat().st_mode & 0o777 == 0o777 & ~umask
    assert written[0].stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that is made in no time."""
    monkeypatch.setattr(report, "report_html", lambda material: "<p>page</p>")


@pytest.mark.usefixtures("quick")
def test_a_report_that_is_there_is_replaced_and_other_files_are_left_alone(tmp_path: Path, material: Material) -> None:
    (tmp_path / "report.md").write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    write_report(tmp_path, material)
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == report_markdown(material)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    names = {"metrics.json", "report.md", "report.html", "scores.tsv", "notes.txt"}
    assert {entry.name for entry in tmp_path.iterdir()} == names


@pytest.mark.usefixtures("quick")
def test_a_link_to_a_folder_stays_a_link(tmp_path: Path, material: Material) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write_report(tmp_path / "link", material)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "metrics.json").is_file()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("existing", [True, False])
def test_a_full_disk_leaves_everything_as_it_was(
    tmp_path: Path, material: Material, monkeypatch: pytest.MonkeyPatch, existing: bool
) -> None:
    folder = tmp_path / "a" / "b"
    if existing:
        folder.mkdir(parents=True)
        (folder / "report.md").write_text("old")
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == "report.html":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(AasistError, match=r"cannot write the report to .*a/b: No space left on device"):
        write_report(folder, material)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert left == ({"a", "a/b", "a/b/report.md"} if existing else set())


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("error", [OSError(errno.EPERM, "Operation not permitted"), KeyboardInterrupt()], ids=repr)
def test_a_move_that_fails_takes_those_before_it_back(
    tmp_path: Path, material: Material, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    (tmp_path / "metrics.json").write_text("old")
    move = Path.replace

    def stuck(path: Path, target: Path) -> Path:
        if target.name == "report.html":
            raise error
        return move(path, target)

    monkeypatch.setattr(Path, "replace", stuck)
    with pytest.raises(AasistError if isinstance(error, OSError) else KeyboardInterrupt):
        write_report(tmp_path, material)
    assert {entry.name: entry.read_text() for entry in tmp_path.iterdir()} == {"metrics.json": "old"}


@pytest.mark.usefixtures("quick")
def test_a_place_that_cannot_hold_a_report_is_one_line_before_and_after_the_work(
    tmp_path: Path, material: Material
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "taken" / "report.md").mkdir(parents=True)
    for name, message in (
        ("file", "it is a file, a folder was wanted"),
        ("file/below", "/file is a file, a folder was wanted"),
        ("taken", "report.md there is a folder, a file was wanted"),
    ):
        for attempt in (lambda place: write_report(place, material), report.require_report):
            with pytest.raises(AasistError, match=message) as caught:
                attempt(tmp_path / name)
            assert "\n" not in caught.value.message
    report.require_report(tmp_path / "new" / "run")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["report.md", "../x", "a/b", "", ".."])
def test_a_further_file_has_a_plain_name_of_its_own(material: Material, name: str) -> None:
    with pytest.raises(ValueError, match="a further file needs a plain name"):
        replace(material, files={name: b""})


def test_columns_of_another_length_are_refused(material: Material) -> None:
    with pytest.raises(ValueError, match="ids must have one entry for each of 80 scores, got 1"):
        replace(material, ids=strings(["t"]))


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_a_missing_extra_is_named_before_anything_is_written(
    tmp_path: Path, material: Material, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for attempt in (lambda: write_report(tmp_path / "out", material), lambda: report.require_report(tmp_path / "out")):
        with pytest.raises(MissingExtra, match=r"report.html needs the extra 'plots'"):
            attempt()
    assert list(tmp_path.iterdir()) == []


def test_an_import_of_the_report_loads_neither_matplotlib_nor_jinja() -> None:
    code = "import sys, aasist.evaluation.report, aasist.evaluation.metricsfile; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert "numpy" in out.split()
    assert not {"matplotlib", "jinja2", "torch"} & set(out.split())


@pytest.mark.usefixtures("quick")
def test_metrics_come_back_from_their_file(tmp_path: Path, material: Material) -> None:
    write_report(tmp_path, material)
    summary, stress = read_metrics(tmp_path / "metrics.json")
    assert summary == material.summary
    assert stress == STRESS
    assert headline_table(summary) == headline_table(material.summary)
    values = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert values["model"] == {"name": "efficient", "sha256": SHA256, "precision": "fp32"}
    assert values["unscored"] == [{"trial": "t999", "reason": "too_short: <0.1 s"}]
    assert summary_from_dict(summary.to_dict()).to_dict() == summary.to_dict()


def test_a_summary_without_columns_verification_or_a_class_comes_back_too() -> None:
    summary = summarise(np.array([1.0, 0.0]), np.array([True, False]), choices=Choices(rounds=0))
    assert summary_from_dict(json.loads(json.dumps(summary.to_dict()))) == summary
    assert stress_from_dict(summary.to_dict()) == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 99}, "schema must be 2, got 99"),
        ({"eer": ...}, "'eer' is missing"),
        ({"choices": None}, "not the metrics of an evaluation"),
        ({"asv": {"miss": 2.0}}, "not the metrics of an evaluation"),
        ({"stress": [{"condition": "x", "surprise": 1}]}, "not the stress table of an evaluation"),
        (
            {"stress": [{"condition": "x", "group": "x", "description": "x", "change_interval": [1]}]},
            "not the stress table of an evaluation",
        ),
        ({"macro_eer_intervals": {"attack": [1, 2, 3]}}, "not the metrics of an evaluation"),
    ],
)
def test_a_file_that_holds_no_metrics_is_an_error_that_names_it(tmp_path: Path, change: dict, message: str) -> None:
    values = {**summary_of()[0].to_dict(), **change}
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not ...}))
    with pytest.raises(ProtocolError, match=rf"metrics.json: .*{message}"):
        read_metrics(path)


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00", pytest.param("[" * 100_000, id="nested")])
def test_a_file_that_is_no_json_object_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(ProtocolError, match=r"m\.json: "):
        read_metrics(tmp_path / "m.json")
    with pytest.raises(ProtocolError, match="cannot be read: No such file"):
        read_metrics(tmp_path / "none.json")
