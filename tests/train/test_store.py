"""The store of frozen features against the prefix itself, and against crashes, neighbours and a small disk."""

import errno
import multiprocessing
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.shared.arrays.arrays import load_arrays
from stages.shared.core.code import STAGES, digest_of, files_of
from stages.shared.model.recipe import Architecture
from stages.shared.tasks.models import create
from stages.train.batches import Images
from stages.train.features import disk
from stages.train.features import store as store_module
from stages.train.features.cut import split
from stages.train.features.disk import FILLED, NoRoom, Spec
from stages.train.features.store import FeatureStore, digest
from stages.train.machine.machine import Machine

ROWS = list(range(40))
SCRATCH = Path(".lightbox")
FLIPS = [{"HorizontalFlip": {"p": 0.5}}]
PLAIN = [(row, None) for row in ROWS]


def make_store(
    blocks: int = 3, weights: int = 0, steps=(), seed: int = 0, precision="32-true", max_gb: float = 8
) -> FeatureStore:
    torch.manual_seed(weights)
    model = create("classification", Architecture(source="lightbox", name="small_cnn"), 2)
    prefix, _ = split(model, list(model.backbone.blocks)[:blocks], (1, 32, 32))
    arrays = load_arrays()
    images = Images(arrays, arrays.targets, seed, steps)
    return FeatureStore(prefix, images, max_gb, Machine(precision=precision, scratch=SCRATCH.resolve()))


@pytest.fixture
def computed(monkeypatch) -> list[int]:
    """How many images the prefix was asked for, call by call, without those that only measure it (two of them)."""
    calls: list[int] = []
    original = FeatureStore.compute

    def counted(self, images):
        calls.extend([len(images)] if len(images) != 2 else [])
        return original(self, images)

    monkeypatch.setattr(FeatureStore, "compute", counted)
    return calls


def entries() -> set[Path]:
    return {path for path in (SCRATCH / "cache").resolve().iterdir() if path.is_dir()}


def test_no_image_is_read_but_those_that_are_asked_for(processed, monkeypatch):
    rows, read = set(), Images.read
    monkeypatch.setattr(Images, "read", lambda self, items: rows.update(row for row, _ in items) or read(self, items))
    make_store().fill([(3, None), (5, None)])
    assert rows == {3, 5}


def test_what_is_read_is_what_the_prefix_gives_in_any_order_and_with_any_view(processed):
    store = make_store(steps=FLIPS)
    items = [(row, view) for row in ROWS for view in (None, 0, 1)]
    store.fill(items)
    batch = [items[i] for i in np.random.default_rng(0).permutation(len(items))[:11]]
    (features,), (expected,) = store.read(batch)[0], store.compute(store.images.read(batch)[0][0])
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-6)
    assert features.stride() == expected.stride()  # channels last, as the network has it
    (plain,), (one,), (other,) = (store.read([(r, v) for r in ROWS])[0] for v in (None, 0, 1))
    assert not torch.equal(one, other)
    assert not torch.equal(one, plain)


def test_without_augmentation_every_view_is_the_plain_image(processed, computed):
    store = make_store()
    store.fill([(3, 0), (3, 7), (3, None), (4, 1)])
    assert len(entries()) == len(computed) == 1
    assert torch.equal(store.read([(3, 9)])[0][0], store.read([(3, None)])[0][0])


def test_a_second_fill_computes_what_is_new_and_nothing_else(processed, computed):
    make_store().fill(PLAIN[:20])
    calls = len(computed)
    again = make_store()
    again.fill(PLAIN[5:20])
    assert len(computed) == calls
    again.fill(PLAIN)
    assert len(computed) > calls
    assert int((again.entries[None].state == FILLED).sum()) == len(ROWS)


def test_what_was_never_filled_cannot_be_read(processed):
    store = make_store()
    store.fill(PLAIN[:4])
    with pytest.raises(LookupError):
        store.read([(5, None)])


def test_heads_do_not_matter_and_all_else_does(processed):
    first = make_store()
    same = make_store()
    torch.nn.init.normal_(same.prefix.model.head[-1].weight)
    for parameter in same.prefix.model.backbone.parameters_of("block4"):
        torch.nn.init.normal_(parameter)
    assert digest(same.prefix) == digest(first.prefix)
    others = [{"blocks": 2}, {"weights": 1}, {"precision": "bf16-mixed"}]
    names = {make_store(**other).folder(None) for other in others} | {first.folder(None)}
    assert len(names) == len(others) + 1
    with torch.no_grad():
        next(m for m in same.prefix.model.modules() if isinstance(m, torch.nn.BatchNorm2d)).running_mean[0] += 1e-3
    assert digest(same.prefix) != digest(first.prefix)
    views = [{"steps": FLIPS}, {"steps": [{"HorizontalFlip": {"p": 0.6}}]}, {"steps": FLIPS, "seed": 1}]
    names = {make_store(**view).folder(v) for view in views for v in (0, 1)}
    assert len(names) == 6


def test_other_images_are_other_entries(processed, make_processed):
    first = make_store().folder(None)
    for file in processed.iterdir():
        file.unlink()
    processed.rmdir()
    make_processed(processed, patients=50)
    assert make_store().folder(None) != first


def test_bfloat16_comes_back_bit_by_bit(processed):
    store = make_store(precision="bf16-mixed")
    store.fill(PLAIN)
    (features,), (expected,) = store.read(PLAIN[:16])[0], store.compute(store.images.read(PLAIN[:16])[0][0])
    assert features.dtype == expected.dtype == store.specs[0].dtype
    torch.testing.assert_close(features, expected, rtol=1e-2, atol=1e-2)
    spec = Spec.of(values := torch.randn(5, 3, 2, 2).bfloat16().contiguous(memory_format=torch.channels_last))
    back = spec.from_bytes(torch.from_numpy(spec.to_bytes(values)))
    assert torch.equal(back, values)
    assert back.stride() == values.stride()


def slow_fill(marker: str, pause: float, dies: int | None) -> None:
    """In a process of its own: each batch waits, and leaves a line in `marker`; that one kills it."""
    original = FeatureStore.compute

    def compute(self, images):
        if len(images) == store_module.BATCH:
            with open(marker, "a") as file:
                print(os.getpid(), file=file, flush=True)
            if lines(Path(marker)) == dies:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(pause)
        return original(self, images)

    torch.set_num_threads(1)
    FeatureStore.compute, store_module.PART, store_module.BATCH = compute, 8, 8
    make_store().fill(PLAIN)


def start(marker: Path, pause: float, dies: int | None = None) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=slow_fill, args=(str(marker), pause, dies))
    process.start()
    return process


def lines(marker: Path) -> int:
    return len(marker.read_text().splitlines()) if marker.exists() else 0


def test_a_killed_fill_goes_on_where_it_was_and_ends_the_same(processed, computed, monkeypatch):
    process = start(Path("marker"), 0.0, dies=3)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    store = make_store()
    monkeypatch.setattr(store_module, "BATCH", 8)
    store.fill(PLAIN)
    assert len(computed) == 3  # of five batches two were marked before the third was interrupted
    interrupted = store.read(PLAIN)[0][0]
    store.close()
    for path in next(iter(entries())).iterdir():
        path.unlink()
    whole = make_store()
    whole.fill(PLAIN)
    assert torch.allclose(interrupted, whole.read(PLAIN)[0][0], atol=1e-6)


def test_two_processes_at_once_compute_each_row_once(processed):
    both = [start(Path("marker"), 0.1) for _ in range(2)]
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert lines(Path("marker")) == 5


@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_a_damaged_entry_is_computed_again_and_says_so(processed, computed, capsys, harm):
    store = make_store()
    store.fill(PLAIN)
    folder, expected, calls = store.entries[None].folder, store.read(PLAIN)[0][0], len(computed)
    store.close()
    if harm == "cut":
        os.truncate(folder / "0.bin", 5000)
    else:
        (folder / "0.bin").unlink()
    again = make_store()
    again.fill(PLAIN)
    assert "damaged" in capsys.readouterr().err
    assert len(computed) == 2 * calls
    assert torch.equal(again.read(PLAIN)[0][0], expected)


def test_too_much_for_the_limit_is_refused_with_the_numbers(processed):
    with pytest.raises(NoRoom, match=r"needs .* of cache.max_gb: 1e-05"):
        make_store(max_gb=1e-5).fill(PLAIN)


def test_the_least_recently_used_that_nobody_holds_makes_room(processed, capsys):
    limit = 2.5 * len(ROWS) * sum(spec.size for spec in make_store().specs) / disk.GB
    first, second = make_store(weights=1, max_gb=limit), make_store(weights=2, max_gb=limit)
    for store in (first, second):
        store.fill(PLAIN)
    kept = {store: store.entries[None].folder for store in (first, second)}
    os.utime(kept[first], (0, 0))
    with pytest.raises(NoRoom, match="running trainings hold"):
        make_store(weights=3, max_gb=limit).fill(PLAIN)
    second.close()
    make_store(weights=3, max_gb=limit).fill(PLAIN)
    assert "deleted" in capsys.readouterr().err
    assert entries() & set(kept.values()) == {kept[first]}  # older, and still read
    first.read(PLAIN)
    first.close()
    make_store(weights=4, max_gb=limit).fill(PLAIN)
    assert kept[first] not in entries()


@pytest.mark.parametrize("call", ["posix_fallocate", "pwrite"])
def test_a_full_disk_means_doing_without_and_leaves_nothing(processed, monkeypatch, call):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = make_store()
    monkeypatch.setattr(os, call, full, raising=False)
    with pytest.raises(NoRoom, match="disk is full"):
        store.fill(PLAIN)
    assert not entries()


def test_no_fill_is_begun_that_the_disk_has_no_room_for(processed, monkeypatch):
    monkeypatch.setattr(disk, "SPARE", 10**18)
    with pytest.raises(NoRoom, match="to spare"):
        make_store().fill(PLAIN)


def test_rows_never_asked_for_take_no_disk(processed):
    store = make_store(blocks=1)
    store.fill(PLAIN[:2])
    path = store.entries[None].folder / "0.bin"
    assert path.stat().st_blocks * 512 < path.stat().st_size / 4


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_reading_maps_no_pages_of_the_cache(processed):
    store = make_store(blocks=1)
    store.fill(PLAIN)
    store.read(PLAIN)
    assert "/0.bin" not in Path("/proc/self/maps").read_text()


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="no call that takes room on the disk")
def test_the_room_of_a_fill_is_taken_before_it_begins(processed, monkeypatch):
    """Whoever counts meanwhile must find it taken."""
    store, sizes = make_store(), []
    monkeypatch.setattr(FeatureStore, "compute_missing", lambda *_: sizes.append(disk.used(*entries())))
    store.fill(PLAIN)
    assert sizes[0] >= len(ROWS) * sum(spec.size for spec in store.specs)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("train/batches.py", "SeedSequence([seed, row, view])"),
        ("train/features/cut.py", "modes_kept(self.model), torch.no_grad()"),
        ("shared/arrays/transforms.py", "random.Random(seed"),
        ("shared/model/model.py", "/ 255"),
    ],
)
def test_an_edit_of_the_code_behind_the_features_makes_them_stale_and_one_of_its_words_does_not(tmp_path, file, line):
    for source in files_of(STAGES):
        (tmp_path / source.relative_to(STAGES)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, tmp_path / source.relative_to(STAGES))
    before, path = digest_of(*store_module.CODE, root=tmp_path), tmp_path / file
    assert before == digest_of(*store_module.CODE)
    source = path.read_text()
    assert line in source
    path.write_text('"""Other words."""\n' + source.partition('"""\n')[2] + "# and a comment\n")
    assert digest_of(*store_module.CODE, root=tmp_path) == before
    path.write_text(
        source.replace(line, line.replace("seed", "1 + seed").replace("255", "256").replace("no_grad", "enable_grad"))
    )
    assert digest_of(*store_module.CODE, root=tmp_path) != before


def test_the_digest_of_features_covers_the_code(processed, monkeypatch):
    first = make_store().folder(None)
    monkeypatch.setattr(store_module, "digest_of", lambda *places: "other code")
    assert make_store().folder(None) != first
