from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import fields
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

from anymask.data.mixture import Mixture
from anymask.data.shard_writer import ShardWriter
from anymask.data.shards import ShardSet
from anymask.data.stream import TrainBatches, TrainLoader, read_samples
from anymask.data.transforms import ToExample
from anymask.errors import UserError
from anymask.structures import Batch, Sample, Skipped, Source

BENCHMARK = Path(__file__).resolve().parents[2] / "bench/loader.py"
Write = Callable[..., Path]
Draw = Callable[..., dict[str, bytes]]
OVERSAMPLE: dict[Source, float] = {"manual": 10.0, "automatic": 1.0}


def _loader(
    folder: Path, *, workers: int = 0, length: int = 12, images: int = 2, seed: int = 0, max_bad_share: float = 0.5
) -> TrainLoader:
    batches = TrainBatches(
        Mixture.of([ShardSet.open(str(folder))], oversample=OVERSAMPLE),
        ToExample(image_size=32, loss_size=16, masks_per_image=2),
        images=images,
        seed=seed,
        rank=0,
        world=1,
        workers=workers,
        max_bad_share=max_bad_share,
    )
    return TrainLoader(batches, length=length, workers=workers, pin_memory=False)


def _same(first: Batch, second: Batch) -> bool:
    pairs = [(getattr(first, f.name), getattr(second, f.name)) for f in fields(Batch)]
    return all(torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in pairs)


@pytest.fixture
def partly_bad(tmp_path: Path, draw_record: Draw) -> Path:
    """Ten scenes, of which sa_3 is a truncated photograph and sa_7 a broken annotation."""
    with ShardWriter(tmp_path / "partly_bad") as writer:
        for number in range(10):
            files = draw_record(number)
            if number == 3:
                files["jpg"] = files["jpg"][:200]
            if number == 7:
                files["json"] = files["json"][:-40]
            writer.write(f"sa_{number}", files, source="manual")
    return tmp_path / "partly_bad"


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_goes_on_exactly_where_it_stopped(tiny_shards: Path, workers: int) -> None:
    whole = list(_loader(tiny_shards, workers=workers))
    assert len(whole) == 12
    for stopped_after in (3, 6):
        first = _loader(tiny_shards, workers=workers)
        assert all(map(_same, islice(first, stopped_after), whole))
        state = first.state_dict()
        second = _loader(tiny_shards, workers=workers)
        second.load_state_dict(state)
        rest = list(second)
        assert len(rest) == 12 - stopped_after
        assert all(map(_same, rest, whole[stopped_after:]))
        assert second.state_dict()["given"] == 12
        assert second.state_dict()["dealing"]["batches"] == 12


def test_the_state_is_that_of_the_batches_that_were_given_not_of_those_fetched_ahead(tiny_shards: Path) -> None:
    loader = _loader(tiny_shards, workers=2)
    batches = list(islice(loader, 3))
    state = loader.state_dict()
    assert (state["given"], state["dealing"]["taken"]) == (3, [[batches[2].drawn, batches[1].drawn]])
    assert [batch.drawn for batch in batches] == [2, 2, 4]


def _keys(batches: Iterable[Batch], number: int) -> list[str]:
    return [key for batch in islice(batches, number) for key in batch.keys]


def test_the_order_is_that_of_one_process_whatever_the_workers(tiny_shards: Path) -> None:
    orders = [_keys(_loader(tiny_shards, workers=workers), 12) for workers in (0, 1, 2)]
    assert orders[1:] == orders[:1] * 2


@pytest.mark.parametrize(("before", "after"), [((2, 2), (0, 3)), ((0, 3), (2, 1)), ((2, 1), (1, 2))])
def test_with_other_workers_and_batches_no_sample_is_lost_or_seen_twice(
    write_shards: Write, before: tuple[int, int], after: tuple[int, int]
) -> None:
    """(workers, images of a batch); a pass over 24 scenes, stopped in its middle with batches fetched ahead."""
    folder = write_shards(["manual"] * 24, samples_per_shard=5)
    first = _loader(folder, workers=before[0], images=before[1])
    seen = _keys(first, 12 // before[1])
    state = json.loads(json.dumps(first.state_dict()))
    second = _loader(folder, workers=after[0], images=after[1], length=100)
    second.load_state_dict(state)
    seen += _keys(second, 12 // after[1])
    assert sorted(seen) == sorted(f"sa_{n}" for n in range(24))


def test_passes_over_bad_samples_are_counted_when_a_loader_goes_on(partly_bad: Path) -> None:
    whole = list(_loader(partly_bad))
    first = _loader(partly_bad)
    assert len(list(islice(first, 5))) == 5
    second = _loader(partly_bad)
    second.load_state_dict(first.state_dict())
    assert all(map(_same, list(second), whole[5:]))


def test_batches_depend_on_the_seed(tiny_shards: Path) -> None:
    first, again, other = (next(iter(_loader(tiny_shards, images=6, seed=seed))) for seed in (0, 0, 1))
    assert _same(first, again)
    assert not _same(first, other)


def test_a_loader_does_not_draw_from_the_global_generator(tiny_shards: Path) -> None:
    before = torch.get_rng_state()
    list(_loader(tiny_shards, length=2))
    assert torch.equal(torch.get_rng_state(), before)


def test_bad_samples_are_passed_over_and_reported(partly_bad: Path) -> None:
    batches = list(_loader(partly_bad, length=25))
    assert len(batches) == 25
    assert all(len(batch.keys) == 2 for batch in batches)
    drawn = {key for batch in batches for key in batch.keys}
    assert drawn == {f"sa_{n}" for n in (0, 1, 2, 4, 5, 6, 8, 9)}
    skipped = [bad for batch in batches for bad in batch.skipped]
    reasons = {bad.key: bad.reason for bad in skipped}
    assert reasons.keys() == {"sa_3", "sa_7"}
    assert reasons["sa_3"].startswith("the photograph cannot be decoded")
    assert reasons["sa_7"].startswith("the annotation is broken")
    assert {bad.shard for bad in skipped} == {str(partly_bad / "manual-000000.tar")}
    assert batches[-1].drawn == 50 + len(skipped)


@pytest.mark.parametrize("workers", [0, 1])
def test_too_many_bad_samples_end_the_run(partly_bad: Path, workers: int) -> None:
    with pytest.raises(UserError, match=r"of \d+ samples cannot be used, more than data.loading.max_bad_share=0.05"):
        list(_loader(partly_bad, workers=workers, length=40, max_bad_share=0.05))


def test_a_set_without_one_good_sample_ends_the_run(tmp_path: Path, draw_record: Draw) -> None:
    with ShardWriter(tmp_path / "bad") as writer:
        writer.write("sa_0", {"jpg": draw_record(0)["jpg"]}, source="manual")
    with pytest.raises(UserError, match=r"20 of 20 samples cannot be used.*sa_0 in .*: there is no annotation"):
        list(_loader(tmp_path / "bad"))


def test_the_state_of_an_earlier_version_is_refused(tiny_shards: Path) -> None:
    with pytest.raises(UserError, match="the checkpoint's place in the data cannot be read: KeyError"):
        _loader(tiny_shards).load_state_dict({"given": 3, "drawn": [[6]]})


def test_fewer_samples_than_workers_are_enough(write_shards: Write) -> None:
    assert _keys(_loader(write_shards(["manual"]), workers=2), 3) == ["sa_0"] * 6


def test_a_mistake_of_the_user_in_a_worker_is_told_as_one(partly_bad: Path) -> None:
    with pytest.raises(UserError, match="samples cannot be used"):
        list(_loader(partly_bad, workers=2, length=40, max_bad_share=0.0))


def test_workers_end_with_the_iteration_though_its_error_is_kept(partly_bad: Path) -> None:
    """Else they would be garbage of the next ones, which are forked with it and fail to clear it away."""
    before = multiprocessing.active_children()
    with pytest.raises(UserError) as kept:
        list(_loader(partly_bad, workers=2, length=40, max_bad_share=0.0))
    assert multiprocessing.active_children() == before
    assert kept.traceback


def _leave_a_loader_behind(folder: Path, method: str) -> None:
    multiprocessing.set_start_method(method, force=True)
    batches = iter(_loader(folder, workers=2, length=100))
    next(batches)
    sys.exit(3)  # a name still holds it


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_a_program_that_ends_does_not_wait_for_its_workers(tiny_shards: Path, method: str) -> None:
    """The program is a new one, without the fork server of this one."""
    process = multiprocessing.get_context("spawn").Process(target=_leave_a_loader_behind, args=(tiny_shards, method))
    process.start()
    process.join(50)  # a worker that does not look at who sends SIGTERM lives for sixty seconds
    assert process.exitcode == 3


@pytest.mark.skipif(multiprocessing.get_all_start_methods()[0] != "fork", reason="workers are not forked")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_does_not_end_a_worker_that_is_not_one_yet(tiny_shards: Path, signum: signal.Signals) -> None:
    loader = _loader(tiny_shards, workers=2)
    become_a_worker = loader.worker_init_fn
    assert become_a_worker is not None

    def begin(worker: int) -> None:
        os.kill(os.getpid(), signum)
        become_a_worker(worker)

    loader.worker_init_fn = begin
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert _keys(loader, 24) == _keys(_loader(tiny_shards), 24)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask


@pytest.mark.skipif(sys.platform != "linux", reason="nobody says who sent a signal")
@pytest.mark.parametrize("name", ["TERM", "INT", "USR1"])
def test_a_signal_of_others_does_not_end_a_worker(tiny_shards: Path, name: str) -> None:
    """It has a minute to serve the step at work; the main process ends it at once."""
    before = multiprocessing.active_children()
    batches = iter(_loader(tiny_shards, workers=2, length=40))
    first = next(batches)
    workers = [child for child in multiprocessing.active_children() if child not in before]
    subprocess.run(["kill", f"-{name}", *(str(worker.pid) for worker in workers)], check=True)
    assert len(workers) == 2
    assert _keys([first, *batches], 40) == _keys(_loader(tiny_shards, length=40), 40)
    batches = iter(_loader(tiny_shards, workers=1, length=40))
    next(batches)
    (worker,) = (child for child in multiprocessing.active_children() if child not in before)
    worker.terminate()
    worker.join(30)
    assert worker.exitcode == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_samples_are_read_once_each_in_their_order(partly_bad: Path, workers: int) -> None:
    shards = ShardSet.open(str(partly_bad))
    samples = list(read_samples(shards, workers=workers))
    assert [sample.key for sample in samples] == [f"sa_{n}" for n in range(10)]
    assert [type(sample) for sample in samples] == [Skipped if n in (3, 7) else Sample for n in range(10)]
    assert [sample.key for sample in read_samples(shards, limit=4, workers=workers)] == [f"sa_{n}" for n in range(4)]


@pytest.mark.parametrize("place", ["segmentation", "ignore"])
def test_a_mask_that_cannot_be_decoded_makes_its_sample_one_to_skip(
    tmp_path: Path, draw_record: Draw, place: str
) -> None:
    """Such a code stands in the annotation as any other text: it used to end an evaluation in a traceback."""
    with ShardWriter(tmp_path / "bad") as writer:
        for number in range(2):
            files = draw_record(number)
            if number == 1:
                annotation = json.loads(files["json"])
                size = annotation["annotations"][0]["segmentation"]["size"]
                annotation["annotations"][-1][place] = {"size": size, "counts": "13"}
                files["json"] = json.dumps(annotation).encode()
            writer.write(f"sa_{number}", files, source="manual")
    good, bad = read_samples(ShardSet.open(str(tmp_path / "bad")))
    assert isinstance(good, Sample)
    assert isinstance(bad, Skipped)
    assert (bad.key, bad.reason[:27]) == ("sa_1", "the runs add up to 4 pixels")


def test_records_of_a_shard_that_ends_early_are_reported(tiny_shards: Path) -> None:
    shard = tiny_shards / "manual-000000.tar"
    shard.write_bytes(shard.read_bytes()[:700])
    samples = list(read_samples(ShardSet.open(str(tiny_shards))))
    assert Counter(type(sample) for sample in samples) == {Sample: 6, Skipped: 2}
    skipped = [sample for sample in samples if isinstance(sample, Skipped)]
    assert [(bad.shard, bad.key, bad.reason) for bad in skipped] == [
        (str(shard), key, "the shard ends early") for key in ("sa_0", "sa_4")
    ]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_samples() -> None:
    """The benchmark's own look at it, shorter: in a process without the tests' checks of shapes, which remember."""
    command = [sys.executable, str(BENCHMARK), "memory", "--samples", "3000", "--workers", "0"]
    environment = os.environ | {"PYTHONPATH": str(BENCHMARK.parents[2] / "src")}
    printed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=environment).stdout
    megabytes = [float(line.split()[1]) for line in printed.splitlines()[1:]]
    assert len(megabytes) == 4
    assert megabytes[-1] - megabytes[0] < 3
