"""The load test fails where a limit is missed, each by itself."""

from __future__ import annotations

import copy
import importlib.util
from typing import Any

import pytest

from ..conftest import ROOT

pytest.importorskip("psutil")
pytest.importorskip("httpx2")

GOOD: dict[str, Any] = {
    "in_process_per_second": 20.0,
    "alone": {"p50_ms": 60.0, "p99_ms": 80.0},
    "full": {"per_second": 17.0, "p50_ms": 400.0, "p99_ms": 700.0},
    "half": {"statuses": {"200": 100}, "accepted": {"p50_ms": 70.0, "p99_ms": 200.0}},
    "overload": {"statuses": {"200": 100, "503": 150, "429": 50}, "accepted": {"p50_ms": 900.0, "p99_ms": 4_000.0}},
    "memory_mb": [500, 590],
    "recovered_seconds": 2.0,
    "alive": True,
}


@pytest.fixture(scope="module")
def soak():
    spec = importlib.util.spec_from_file_location("soak", ROOT / "benchmarks" / "soak.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_figures_within_all_limits_miss_none(soak):
    assert soak.missed(GOOD) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("full", "per_second"), 15.9, "80%"),
        (("half", "accepted", "p99_ms"), 300.0, "5.0 times"),
        (("half", "accepted"), {}, "inf times"),
        (("half", "statuses"), {"200": 99, "503": 1}, "'503': 1"),
        (("overload", "statuses"), {"200": 1, "503": 1, "500": 1}, "'500': 1"),
        (("overload", "statuses"), {"200": 1, "503": 1, "ReadError": 3}, "'ReadError': 3"),
        (("overload", "statuses"), {"200": 1}, "it was none"),
        (("overload", "accepted", "p99_ms"), 36_000.0, "36,000 ms"),
        (("memory_mb",), [500, 601], "601 MB"),
        (("recovered_seconds",), 5.1, "5.1 s"),
        (("alive",), False, "did not live"),
    ],
)
def test_each_limit_that_is_missed_is_said(soak, path, value, said):
    found = copy.deepcopy(GOOD)
    inner = found
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    (message,) = soak.missed(found)
    assert said in message


def test_the_program_fails_with_what_was_missed(soak, monkeypatch, capsys):
    class Served:
        def __enter__(self):
            return "http://127.0.0.1:1", 1

        def __exit__(self, *_):
            pass

    async def loop(url, recordings, clients, seconds):
        return GOOD["full"] if clients > 2 else GOOD["alone"]

    async def loads(url, recordings, per_second, seconds):
        return GOOD["overload"] if per_second > 20 else GOOD["half"]

    async def recovered(url, recording, alone_ms):
        return 7.0

    monkeypatch.setattr("sys.argv", ["soak.py", "--dry", "--threads", "2", "--seconds", "1"])
    for name, fake in {
        "served": lambda threads: Served(), "in_process": lambda *_: 20.0, "closed_loop": loop, "open_loop": loads,
        "memory_mb": lambda pid: 500.0, "recovered": recovered, "measured_by": lambda *_: "",
    }.items():  # fmt: skip
        monkeypatch.setattr(soak, name, fake)
    with pytest.raises(SystemExit) as ended:
        soak.main()
    assert ended.value.code == "soak: it took 7 s to recover, wanted 5"
