"""Whatever stands in a score file, and whatever is asked of it: an answer or one line that says why not, never a trace."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aasist.cli import run

IDS = ("a", "b", "c", "d", "e", "é x", "")
CELLS = st.one_of(
    st.sampled_from([*IDS, "bonafide", "spoof", "-", "A01", "0", "1.5", "-3e5", "1e99", "nan", "inf", "1_0", "x=y"]),
    st.text(max_size=4),
)
HEADERS = st.lists(
    st.sampled_from(
        ["id", "filename", "path", "score", "cm-score", "llr", "label", "attack", "speaker", "codec", "seconds", ""]
    ),
    min_size=1,
    max_size=6,
)


@st.composite
def good_tables(draw: st.DrawFn) -> str:
    """A table as ours: two classes mostly, columns, scores of any size."""
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["bonafide", "spoof"]),
                st.sampled_from(["", "-", "A01", "A02"]),
                st.sampled_from(["s1", "s2", ""]),
                st.one_of(st.floats(-1e100, 1e100), st.sampled_from([0.0, 1.0, -1.0])),
            ),
            min_size=1,
            max_size=8,
        )
    )
    lines = [
        f"t{n}\t{label}\t{'-' if label == 'bonafide' else attack}\t{speaker}\t{score!r}"
        for n, (label, attack, speaker, score) in enumerate(rows)
    ]
    return "\n".join(["id\tlabel\tattack\tspeaker\tscore", *lines])


@st.composite
def any_tables(draw: st.DrawFn) -> str:
    """Cells under a header that may name anything, separated somehow."""
    separator = draw(st.sampled_from(["\t", ",", " "]))
    header = draw(HEADERS)
    rows = draw(st.lists(st.lists(CELLS, min_size=1, max_size=6), max_size=5))
    return draw(st.sampled_from(["\n", "\r\n"])).join(separator.join(row) for row in (header, *rows))


BAD = st.one_of(any_tables().map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=60))
OF_ALL = (["--json"], ["--where", "speaker=s1"], ["--where", "speaker="], ["--where", "x"], ["--layout", "manifest"],
          ["--protocol", "KEY"])  # fmt: skip
OF_MEASURES = (["--by", "speaker"], ["--by", "attack"], ["--threshold", "0.5"], ["--threshold", "1e400"], ["--seed", "7"],
               ["--asv-rates", "0.1", "0.1", "0.5"], ["--asv-rates", "1", "1", "0"], ["--asv-scores", "KEY"],
               ["--rounds", "0"])  # fmt: skip
OF_CALIBRATION = (["--point", "eer"], ["--point", "miss", "--most-missed", "0.3"], ["--spoof-prior", "0.05"])


@given(st.sampled_from(["metrics", "compare", "calibrate"]), st.integers(0, 3), good_tables(), BAD, st.data())
@settings(max_examples=150, deadline=None)
def test_every_file_and_every_option_ends_in_an_answer_or_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, verb: str, bad: int, good: str, other: bytes, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("scores")
    for number, name in enumerate("ab", 1):
        (folder / name).write_bytes(other if bad == number else good.encode())
    (folder / "key").write_bytes(other)
    words = [verb, str(folder / "a"), *([str(folder / "b")] if verb == "compare" else [])]
    if verb != "calibrate":
        words += ["--rounds", "2", "--threads", "1"]
    own = OF_CALIBRATION if verb == "calibrate" else OF_MEASURES
    for group in data.draw(st.lists(st.sampled_from([*OF_ALL, *own]), max_size=2)):
        words += [str(folder / "key") if word == "KEY" else word for word in group]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(words)
    assert code in (0, 1, 2)
    assert "Traceback" not in err.getvalue()
    if code == 0:
        assert all(line.startswith("aasist: caution: ") for line in err.getvalue().splitlines())
        if "--json" in words:
            json.loads(out.getvalue(), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    else:
        assert out.getvalue() == ""
        complaint = err.getvalue().splitlines()[-1]
        assert complaint.startswith("aasist: " if code == 1 else "Error: ")
    assert {path.name for path in Path(folder).iterdir()} == {"a", "b", "key"}
