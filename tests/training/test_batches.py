"""A batch is what the plan says, whoever makes it; what cannot be read costs itself alone; memory does not grow."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import active_children, get_context
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
import torch

from aasist.audio.encode import MU_LAW, ChannelCodec
from aasist.audio.read import read
from aasist.training import reader as reader_module
from aasist.training.batches import Batch, Loader, Loading
from aasist.training.cache import DiskTier
from aasist.training.draws import Purpose, row_keys
from aasist.training.faults import Faults
from aasist.training.plan import Plan, Sampling, plan
from aasist.training.reader import Fault
from aasist.training.recordings import DataError, gathered
from aasist.training.waveforms import Crop, cut, positions_of
from aasist.trial import Trials, strings

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine of few processors

WINDOW = 4_000
COUNT = 60


def made(folder: Path, count: int, seconds: float = 0.6) -> Trials:
    """Recordings whose samples all begin with the number of their row + 1; half bona fide."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for row in range(count):
        samples = rng.integers(-2_000, 2_000, int(16_000 * seconds) + row).astype(np.int16)
        samples[0] = row + 1
        soundfile.write(folder / f"t{row}.flac", samples, 16_000)
    ids = [f"t{row}" for row in range(count)]
    trials = Trials(strings(ids), np.arange(count) % 2 == 0, {"path": strings(f"{name}.flac" for name in ids)}, "made")
    return gathered([("made", trials, folder)])


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Trials:
    return made(tmp_path_factory.mktemp("made") / "audio", COUNT)


def loader(trials: Trials, **options: object) -> Loader:
    loading = options.pop("loading", None) or Loading(workers=options.pop("workers", 0), cache_mib=16)
    given: dict = {"crop": Crop(), "batch_rows": 8, "window_samples": WINDOW, "seed": 7, **options}
    return Loader(trials, given.pop("crop"), loading, **given)


def content(batches: Iterator[Batch]) -> list[tuple[bytes, ...]]:
    """Everything of each batch that training depends on."""
    return [
        (b.waveforms.numpy().tobytes(), b.labels.numpy().tobytes(), b.rows.tobytes(), b.draws.tobytes(),
         b.positions.tobytes(), bytes(str((b.epoch, b.number, b.faults)), "utf8"))
        for b in batches
    ]  # fmt: skip


def workers() -> list[psutil.Process]:
    """Of a loader that is open; the tracker of resources that multiprocessing may have begun earlier is not one."""
    return [psutil.Process(child.pid) for child in active_children()]


def order_of(trials: Trials, epoch: int = 0) -> Plan:
    return plan(trials, Sampling(), 7, epoch)


def test_a_batch_holds_the_planned_rows_cut_where_the_plan_says(trials: Trials) -> None:
    with loader(trials) as ours:
        epoch = order_of(trials)
        batches = list(ours.epoch(epoch, 0, epochs=1))
    assert [batch.number for batch in batches] == [*range(COUNT // 8)]
    assert trials.bonafide is not None
    for batch in batches:
        first = 8 * batch.number
        assert batch.positions.tolist() == [*range(first, first + 8)] == batch.draws.tolist()
        assert (batch.rows == epoch.rows[first : first + 8]).all()
        assert batch.labels.tolist() == trials.bonafide[batch.rows].astype(int).tolist()
        assert batch.waveforms.shape == (8, WINDOW) and batch.waveforms.dtype == torch.float32
        places = positions_of(7, 0, batch.positions)
        for slot, row in enumerate(batch.rows.tolist()):
            samples = (read(trials.columns["path"][row]) * 2**15).astype(np.int16)
            assert (batch.waveforms[slot].numpy() == cut(samples, WINDOW, float(places[slot]))).all()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_caches_and_the_disk_change_no_batch(workers: int, trials: Trials, tmp_path: Path) -> None:
    crop = Crop(lengths=(1_000, 3_000), full_from=0.7, turn=True)
    with loader(trials, crop=crop, loading=Loading(workers=0, cache_mib=0)) as plain:
        expected = [content(plain.epoch(order_of(trials, epoch), epoch, epochs=2)) for epoch in (0, 1)]
        first = content(plain.first_windows())
    loading = Loading(workers=workers, cache_mib=1, disk=str(tmp_path), prefetch=2)
    with loader(trials, crop=crop, loading=loading) as ours:
        for epoch in (0, 1):
            assert content(ours.epoch(order_of(trials, epoch), epoch, epochs=2)) == expected[epoch]
            assert content(ours.first_windows()) == first
        statistics = ours.statistics
    assert statistics.misses == COUNT and statistics.hits + statistics.disk_hits == 2 * 56 + 2 * COUNT - COUNT
    assert 0 < statistics.held_bytes <= statistics.budget_bytes <= 1 << 20


def test_an_epoch_begun_in_its_middle_gives_the_same_batches_and_reads_none_before(trials: Trials) -> None:
    with loader(trials, workers=2) as ours:
        whole = content(ours.epoch(order_of(trials), 0, epochs=1))
    with loader(trials, workers=2) as ours:
        assert content(ours.epoch(order_of(trials), 0, epochs=1, start=5)) == whole[5:]
        assert ours.statistics.misses == 2 * 8
        assert content(ours.epoch(order_of(trials), 0, epochs=1, start=7)) == []


def test_an_epoch_left_in_its_middle_leaves_nothing_in_the_next(trials: Trials) -> None:
    with loader(trials, workers=2) as ours:
        whole = content(ours.epoch(order_of(trials, 1), 1, epochs=2))
    with loader(trials, workers=2) as ours:
        for batch in ours.epoch(order_of(trials), 0, epochs=2):
            if batch.number == 2:
                break
        assert content(ours.epoch(order_of(trials, 1), 1, epochs=2)) == whole


def test_the_ranks_of_a_world_divide_each_batch_of_one(trials: Trials) -> None:
    epoch = order_of(trials)
    with loader(trials) as alone:
        whole = list(alone.epoch(epoch, 0, epochs=1))
    parts = []
    for rank in range(3):
        with loader(trials, rank=rank, world=3) as ours:
            parts.append(list(ours.epoch(epoch, 0, epochs=1)))
    for number, batch in enumerate(whole):
        for rank in range(3):
            part = parts[rank][number]
            assert (part.positions == batch.positions[rank::3]).all()
            assert (part.waveforms == batch.waveforms[rank::3]).all()


def test_pairs_stay_together_on_a_rank_and_are_found_in_a_batch(trials: Trials) -> None:
    epoch = plan(trials, Sampling(mode="pairs"), 7, 0)
    for rank in range(2):
        with loader(trials, rank=rank, world=2) as ours:
            batch = next(iter(ours.epoch(epoch, 0, epochs=1)))
        assert batch.positions.tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]][rank]
        assert batch.labels.tolist() == [1, 0, 1, 0]
        assert batch.pairs().tolist() == [[0, 1], [2, 3]]
    with pytest.raises(DataError, match=r"batch of 9 trials cannot be shared .* must be a multiple of 2, and 2 at"):
        loader(trials, batch_rows=9).epoch(epoch, 0, epochs=1)
    with pytest.raises(DataError, match=r"batch of 8 trials cannot be shared by 5 ranks in units of 2"):
        loader(trials, world=5).epoch(epoch, 0, epochs=1)


def test_too_few_trials_for_one_batch_is_an_error(trials: Trials) -> None:
    with pytest.raises(DataError, match="an epoch of 60 trials holds not one batch of 64: take smaller ones"):
        loader(trials, batch_rows=64).epoch(order_of(trials), 0, epochs=1)


def test_scoring_takes_the_first_window_of_each_trial_once(trials: Trials) -> None:
    with loader(trials, workers=2) as ours:
        batches = list(ours.first_windows(np.array([4, 2, 9, 3, 5, 6, 7, 8, 1])))
    assert [len(batch) for batch in batches] == [8, 1]
    assert np.concatenate([batch.rows for batch in batches]).tolist() == [4, 2, 9, 3, 5, 6, 7, 8, 1]
    heads = torch.cat([batch.waveforms[:, 0] for batch in batches]) * 2**15
    assert heads.tolist() == [5, 3, 10, 4, 6, 7, 8, 9, 2]


def every_other(key: int) -> ChannelCodec | None:
    """Mu-law where the key is even."""
    return None if key % 2 else MU_LAW


def test_coding_gets_the_key_of_the_draw_and_never_touches_scoring(trials: Trials) -> None:
    epoch = plan(trials, Sampling(mode="pairs", same_chain=1.0), 7, 0)
    keys = row_keys(7, Purpose.CODEC, 0, epoch.draws[:8])
    with loader(trials, workers=2) as plain, loader(trials, coding=every_other, workers=2) as ours:
        expected, batch = (next(iter(one.epoch(epoch, 0, epochs=1))) for one in (plain, ours))
        same = (batch.waveforms == expected.waveforms).all(1).numpy()
        assert same.tolist() == (keys % 2 == 1).tolist() and 0 < same.sum() < 8
        assert content(ours.first_windows()) == content(plain.first_windows())


def test_scoring_hears_recordings_untrimmed(tmp_path: Path) -> None:
    trials = made(tmp_path / "audio", 8)
    for path in trials.columns["path"].tolist():
        quiet = np.ones(6_400, np.int16)
        soundfile.write(path, np.concatenate([quiet, soundfile.read(path, dtype="int16")[0], quiet]), 16_000)
    for workers in (0, 1):
        with loader(trials, crop=Crop(trim_db=40.0), workers=workers) as ours:
            for _ in range(2):  # decoded, and from the cache
                (scored,) = ours.first_windows()
                (trained,) = ours.epoch(order_of(trials), 0, epochs=1)
            assert ours.statistics.misses == 16 and ours.statistics.hits == 16
        assert (scored.waveforms == 2**-15).all()
        assert trained.waveforms.std() > 0.03


def out_of_memory(*_: object) -> None:
    raise MemoryError


def twice_failed(path: str, *_: object) -> None:
    raise DataError("reading", f"{path}: Input/output error")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("broken", "code", "says"),
    [
        (out_of_memory, "worker_lost", r"found no memory left: resume with fewer workers \(loading.workers\)"),
        (twice_failed, "reading", "flac: Input/output error"),
    ],
)
def test_what_ends_the_run_in_a_worker_is_told_in_its_own_words(
    broken: object, code: str, says: str, workers: int, trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "decoded", broken)
    with pytest.raises(DataError, match=says) as caught, loader(trials, workers=workers) as ours:
        next(iter(ours.first_windows()))
    assert caught.value.code == code


def test_that_the_disk_takes_no_more_is_told_once(trials: Trials, tmp_path: Path) -> None:
    loading = Loading(workers=2, cache_mib=0, disk=str(tmp_path), disk_mib=1)  # 60 recordings take 1.2
    with loader(trials, loading=loading) as ours:
        assert not ours.disk_news()
        list(ours.first_windows())
        assert ours.disk_news().startswith("nothing more is stored on disk: loading.disk")
        assert not ours.disk_news()


@pytest.fixture
def damaged(tmp_path: Path) -> Trials:
    """60 recordings of which one is cut short, one is text, one is not there, one is silent."""
    trials = made(tmp_path / "audio", COUNT)
    audio = tmp_path / "audio"
    (audio / "t3.flac").write_bytes((audio / "t3.flac").read_bytes()[:300])
    (audio / "t14.flac").write_text("no recording")
    (audio / "t25.flac").unlink()
    soundfile.write(audio / "t36.flac", np.zeros(16_000, np.int16), 16_000)
    return trials


BROKEN = {3, 14, 25, 36}


@pytest.mark.parametrize("workers", [0, 2])
def test_what_cannot_be_read_leaves_its_batch_and_everything_else_as_it_was(
    workers: int, damaged: Trials, tmp_path: Path
) -> None:
    epoch = order_of(damaged)
    with loader(made(tmp_path / "audio2", COUNT), workers=workers) as sound:
        whole = list(sound.epoch(epoch, 0, epochs=1))
    with loader(damaged, workers=workers) as ours:
        batches = list(ours.epoch(epoch, 0, epochs=1))
        again = list(ours.epoch(epoch, 0, epochs=1))
    faults = Faults(COUNT, 0.05)
    for batch, before, after in zip(batches, whole, again, strict=True):
        kept = ~np.isin(before.rows, [*BROKEN])
        assert (batch.rows == before.rows[kept]).all() and (batch.draws == before.draws[kept]).all()
        assert torch.equal(batch.waveforms, before.waveforms[kept]) and torch.equal(batch.labels, before.labels[kept])
        assert content([batch]) == content([after])
        faults.add(batch.faults)
    assert {fault.row for fault in faults} == BROKEN & {*epoch.rows[:56].tolist()}
    by_row = {fault.row: fault for fault in faults}
    assert by_row[25].code == "not_found" and by_row[36].code == "silent"
    assert by_row[14].id == "t14" and by_row[14].path.endswith("t14.flac") and by_row[14].code == "unreadable"


def test_a_pair_that_lost_a_member_is_no_pair(damaged: Trials) -> None:
    rows = np.array([2, 3, 14, 1, 0, 5, 4, 7])  # 3 and 14 cannot be read
    positions = np.arange(8)
    with loader(damaged) as ours:
        (batch,) = ours.epoch(Plan(rows, positions, positions, unit=2), 0, epochs=1)
    assert batch.rows.tolist() == [2, 1, 0, 5, 4, 7] and batch.pairs().tolist() == [[2, 3], [4, 5]]


def test_a_batch_of_nothing_that_can_be_read_is_empty(damaged: Trials) -> None:
    with loader(damaged, batch_rows=4, workers=2) as ours:
        (batch,) = ours.first_windows(np.array([*BROKEN]))
    assert len(batch) == 0 and batch.waveforms.shape == (0, WINDOW) and len(batch.faults) == 4
    assert batch.pairs().shape == (0, 2)


def broken_decoder(*_: object) -> None:
    raise ZeroDivisionError("a bug of a library")


def test_an_error_that_nobody_foresaw_is_a_fault_of_its_trial(trials: Trials, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "decoded", broken_decoder)
    with loader(trials) as ours:
        batch = next(iter(ours.first_windows()))
    assert batch.faults[0].code == "unreadable" and batch.faults[0].message == "ZeroDivisionError: a bug of a library"


def test_faults_count_each_trial_once_and_stop_the_run_above_the_limit() -> None:
    def fault(row: int) -> Fault:
        return Fault(row, f"t{row}", f"/data/t{row}.flac", "unreadable", "not a recording")

    faults = Faults(200, 0.01)
    assert faults.limit == 2 and Faults(10, 0.01).limit == 1
    assert faults.add([fault(1), fault(1)]) == [fault(1), fault(1)] and faults.add([fault(1)]) == []
    faults.add([fault(2)])
    faults.check()
    faults.add([fault(3)])
    with pytest.raises(DataError, match=r"3 trials could not be read, and no more than 2 may .*t3.flac\): not a rec"):
        faults.check()
    resumed = Faults(200, 0.01, faults.to_json())
    assert list(resumed) == [fault(1), fault(2), fault(3)]
    many = Faults(200, 1.0)
    many.add(map(fault, range(50)))
    assert str(many).endswith("; and 40 more")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("killer", "told"),
    [
        (signal.SIGKILL, "most likely by the system for want of memory: resume with fewer workers"),
        (signal.SIGSEGV, "by SIGSEGV: a library failed on a recording; resume"),
        (signal.SIGBUS, "by SIGBUS: there is no room for batches in /dev/shm; give it more"),
    ],
)
@pytest.mark.parametrize("at_work", [True, False])
def test_a_worker_that_is_killed_gives_a_clear_error(
    killer: signal.Signals, told: str, at_work: bool, trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a batch is waited for, and in the middle of a step: torch tells of it wherever the main process is."""

    def decoded(*_: object) -> None:
        os.kill(os.getpid(), killer)
        time.sleep(5)

    with pytest.raises(DataError, match=told) as caught, loader(trials, workers=2) as ours:
        batches = ours.epoch(order_of(trials), 0, epochs=1)
        if not at_work:
            monkeypatch.setattr(reader_module, "decoded", decoded)
            list(batches)
        next(batches)
        os.kill(workers()[0].pid, killer)
        for _ in range(50):
            time.sleep(0.1)
        pytest.fail("nothing was told")
    assert caught.value.code == "worker_lost"


def test_a_cache_that_is_shrunk_is_smaller_in_every_worker(trials: Trials) -> None:
    with loader(trials, loading=Loading(workers=2, cache_mib=2, prefetch=1)) as ours:
        list(ours.epoch(order_of(trials), 0, epochs=2))
        assert ours.cache_bytes == 2 << 20 and ours.statistics.held_bytes > 1 << 20
        ours.shrink_cache(1 << 18)
        ours.shrink_cache(1 << 30)
        assert ours.cache_bytes == 1 << 18
        list(ours.epoch(order_of(trials, 1), 1, epochs=2))
        assert 0 < ours.statistics.held_bytes <= 1 << 18 and ours.statistics.budget_bytes == 1 << 18


def test_a_budget_is_a_share_of_what_is_available_unless_it_is_given() -> None:
    share = Loading(cache_share=0.25).cache_bytes()
    assert 0.2 < share / psutil.virtual_memory().available < 0.3
    assert Loading(cache_mib=3).cache_bytes() == 3 << 20
    assert Loading(memory_mib=256, cache_share=0.5).cache_bytes() <= 128 << 20
    assert Loading(workers=5).worker_count == 5 and 1 <= Loading().worker_count <= 8


def test_ranks_on_one_machine_have_equal_parts_of_its_budgets(
    tmp_path: Path, trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aasist.training.batches.available_threads", lambda: 12)
    monkeypatch.setattr("aasist.training.batches.available_bytes", lambda limit=None: min(8 << 30, limit or 8 << 30))
    shared: list[int] = []
    real = DiskTier.shared_by
    monkeypatch.setattr(DiskTier, "shared_by", lambda tier, parts: (shared.append(parts), real(tier, parts))[1])
    loading = Loading(memory_mib=4096, cache_share=0.5, disk=str(tmp_path))
    found = []
    for ranks in ("1", "3"):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", ranks)
        keys = (loading.worker_count, loading.memory_bytes, Loading(cache_mib=3).cache_bytes())
        found.append((*keys, Loading(cache_share=0.5).cache_bytes(), Loading(workers=5).worker_count))
        with loader(trials, loading=replace(loading, workers=2)):
            pass
    assert found == [(6, 4 << 30, 3 << 20, 4 << 30, 5), (2, (4 << 30) // 3, 1 << 20, (8 << 30) // 3 // 2, 5)]
    assert shared == [2, 6]


def test_a_worker_that_is_in_a_recording_when_all_ends_is_ended(
    trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM is nothing to it, and it would live on for as long as the recording takes."""
    monkeypatch.setattr(reader_module, "decoded", lambda *_: time.sleep(60))
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.3)
    with loader(trials, workers=1) as ours:
        monkeypatch.setattr(ours._loader, "timeout", 0.5)
        with pytest.raises(RuntimeError, match="timed out"):
            next(ours.epoch(order_of(trials), 0, epochs=1))
        ended = workers()
        for worker in ended:
            worker.terminate()
        assert all(worker.is_running() for worker in ended) and ended
    assert not any(worker.is_running() for worker in ended)


def growth_of_workers(trials: Trials) -> tuple[int, int]:
    """Bytes that a worker holds alone, at the most, more after three epochs than after one; and waveforms evicted."""
    many = trials.take(np.arange(100_000) % COUNT)
    with loader(many, loading=Loading(workers=2, cache_mib=1, prefetch=1), window_samples=500) as ours:

        def resident_after(epoch: int) -> list[int]:
            epoch_plan = Plan(*(np.random.default_rng(epoch).permutation(100_000)[:800],) * 3)
            list(ours.epoch(epoch_plan, epoch, epochs=5))
            found = workers()
            assert len(found) == 2
            return [worker.memory_full_info().uss for worker in found]

        first = resident_after(0)
        last = [resident_after(epoch) for epoch in (1, 2)][-1]
        return int(max(np.subtract(last, first))), ours.statistics.evictions


def test_the_memory_of_workers_does_not_grow_with_epochs_or_trials(trials: Trials) -> None:
    """Of 100,000 trials, in arrays that a fork shares, thousands are read; a list of objects would become each worker's
    own, page by page, as it is read.

    In a process of its own: what other tests left behind would become a worker's as the main process changes it.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        grown, evictions = alone.submit(growth_of_workers, trials).result()
    assert evictions > 1_500
    assert grown < 1 << 20


def test_workers_end_with_the_loader(trials: Trials) -> None:
    with loader(trials, workers=2) as ours:
        next(iter(ours.first_windows()))
        found = workers()
        assert found
    assert not [worker for worker in found if worker.is_running()]
    ours.close()
