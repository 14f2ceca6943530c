"""A process that is killed at any moment, and started again until it is through, comes to the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from aasist.training.journal import Silent
from aasist.training.recipe import Recipe
from aasist.training.run import METRICS, STATE
from aasist.training.start import start

from . import small
from .same import lines, require_same

CODE = """
import sys
from pathlib import Path
from aasist.training.journal import Silent
from aasist.training.recipe import read_recipe
from aasist.training.start import start
recipe, folder = read_recipe(sys.argv[1]), Path(sys.argv[2])
print("ready", flush=True)
start(recipe, folder, Silent(), resume=(folder / "recipe.toml").exists())
"""


def restless(root: Path) -> Recipe:
    """Eight epochs with a state after each step, and on everything that has a state or draws of its own."""
    return small.recipe(
        root,
        epochs=8,
        run__checkpoint_minutes=0.0,
        run__log_steps=1,
        loading__workers=1,
        augment__noise__probability=0.5,
        optimiser__clip_norm=1.0,
    )


def saved(folder: Path) -> int:
    """When the state was written last, 0 before the first."""
    return (folder / STATE).stat().st_mtime_ns if (folder / STATE).exists() else 0


def test_killed_again_and_again_it_comes_to_the_same_bytes(mini: Path, tmp_path: Path) -> None:
    """Processes of the run, its workers among them, die by SIGKILL wherever they are: before the first state, in the
    middle of a write, between two files."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    start(restless(mini), whole, Silent())
    random, states = np.random.default_rng(0), set()
    for attempt in range(6):
        command = [sys.executable, "-c", CODE, whole / "recipe.toml", killed]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        assert process.stdout is not None
        process.stdout.readline()
        before = saved(killed)
        # The first dies while it starts, the last lives, the others die some steps after their first.
        while 0 < attempt < 5 and process.poll() is None and saved(killed) == before:
            time.sleep(0.002)
        if attempt < 5:
            time.sleep(random.uniform(0.0, 0.2))
            os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()
        states.add(saved(killed))
    assert len(states) >= 4, "too few kills met the run at different states"
    require_same(whole, killed)
    assert not list(killed.glob(".*.part"))


def test_a_signal_to_all_processes_ends_a_run_between_two_steps_with_all_saved(mini: Path, tmp_path: Path) -> None:
    """As torchrun, GNU timeout and Slurm send it: to the workers too, and to the main process twice."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    recipe = small.recipe(mini, epochs=6, run__log_steps=1, loading__workers=1)
    start(recipe, whole, Silent())
    command = [sys.executable, "-c", CODE, whole / "recipe.toml", stopped]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    while not (stopped / METRICS).exists() or not (stopped / METRICS).stat().st_size:
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait() == 0
    assert 0 < len(lines(stopped)) < len(lines(whole))
    start(recipe, stopped, Silent(), resume=True)
    require_same(whole, stopped)
