"""The pieces of benchmarks/: what they compute, on small things. Nothing here is timed."""

import argparse
import sys
from mmap import ACCESS_READ, MAP_PRIVATE, mmap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def importable(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    yield
    for path in (repository / "benchmarks").glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture
def folder(workspace):
    """Two classes of ten films, 40×30."""
    rng = np.random.default_rng(0)
    for name in ("normal", "sick"):
        (workspace / "set" / name).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(rng.integers(0, 255, (30, 40), np.uint8)).save(workspace / "set" / name / f"{i}.png")
    return workspace / "set"


def test_images_are_picked_evenly_and_the_same_number_of_each_class(folder, workspace):
    import films

    assert films.pick(folder, workspace / "picked", 10) == ["normal", "sick"]
    for name in ("normal", "sick"):
        picked = {p.name for p in (workspace / "picked" / "set" / name).iterdir()}
        assert picked == {"0.png", "2.png", "4.png", "6.png", "8.png"}


def test_a_folder_without_classes_is_refused(workspace):
    import films

    with pytest.raises(SystemExit, match="at least two folders of images"):
        films.pick(workspace, workspace / "picked", 10)


def test_the_usual_way_shows_what_preprocess_would(folder):
    """The same CLAHE, to the pixel; the resize differs by its method."""
    import usual

    from stages.shared.arrays.preprocessing import Preprocessor, PreprocessSpec

    path = folder / "sick" / "3.png"
    spec = PreprocessSpec.model_validate({"size": [30, 40]})
    expected = Preprocessor(spec)(path.read_bytes(), path.name)[..., 0]
    with Image.open(path) as image:
        assert (np.array(usual.CLAHE()(image)) == expected).all()
        shown = usual.steps(16, flip=False)(image)
    assert shown.shape == (3, 16, 16)


@pytest.mark.parametrize(("strategy", "learning"), [("fine_tune", 62), ("feature_extraction", 2)])
def test_the_usual_way_trains_and_freezes_as_it_is_told(folder, workspace, strategy, learning):
    import films
    import usual

    films.random_weights("resnet18")
    for part in ("train", "val"):
        (workspace / "files").mkdir(exist_ok=True)
        (workspace / "files" / part).symlink_to(folder)
    job = {"network": "resnet18", "strategy": strategy, "flip": True, "epochs": 1, "size": 32, "batch_size": 10}
    model = usual.network(job, 2)
    assert sum(p.requires_grad for p in model.parameters()) == learning
    usual.train({**job, "workers": 0})


def test_the_pipelines_settings_are_valid_train_params():
    import pipeline

    from stages.train import Params

    for strategy in pipeline.STRATEGIES:
        job = {"network": "resnet18", "strategy": strategy, "flip": True, "epochs": 2, "batch_size": 32, "set": {}}
        params = Params.model_validate(pipeline.settings(job))
        assert params.epochs == 2
        assert params.strategy.plan == strategy


def test_a_sparse_array_is_readable_and_takes_no_room(workspace):
    import films

    from stages.shared.arrays.arrays import load_arrays

    films.sparse(2000, 64)
    arrays = load_arrays()
    assert arrays.images.shape == (2000, 64, 64, 1)
    assert set(arrays.index["split"]) == {"train", "val"}
    path = workspace / "data" / "processed" / "images.npy"
    assert path.stat().st_size > 8_000_000
    assert path.stat().st_blocks * 512 < 1_000_000


def test_memory_counts_what_is_held_and_not_what_is_mapped(tmp_path):
    from meter import anonymous

    (tmp_path / "big").write_bytes(b"1" * 40_000_000)
    before = anonymous()
    with (tmp_path / "big").open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as mapped:
        assert mapped[::4096].count(b"1") == 40_000_000 // 4096 + 1
        after_mapping = anonymous()
    with mmap(
        -1, 80_000_000, MAP_PRIVATE
    ) as held:  # the kernel's own memory: malloc might hand out some that is ours already
        held.write(b"1" * 80_000_000)
        assert anonymous() - before > 70
    if Path("/proc/self/smaps_rollup").exists():
        assert after_mapping - before < 10


def test_waiting_counts_the_time_in_the_loader_alone(monkeypatch):
    import meter
    from torch.utils.data import DataLoader

    now = 0.0
    monkeypatch.setattr(meter, "time", SimpleNamespace(perf_counter=lambda: now))

    class Slow(list):
        def __getitem__(self, i):
            nonlocal now
            now += 0.02
            return super().__getitem__(i)

    with meter.Waiting() as waiting:
        for _ in DataLoader(Slow(range(5)), batch_size=1):
            now += 0.1
    assert waiting.seconds == pytest.approx(0.1)


def test_ratios_are_taken_turn_by_turn():
    import tables

    runs = {"a": [{"seconds": s} for s in (30.0, 40.0, 36.0)], "c": [{"seconds": s} for s in (10.0, 10.0, 9.0)]}
    assert tables.ratios(runs, "a") == [3.0, 4.0, 4.0]
    assert tables.ratios(runs, "a", extra=5.0)[0] == 2.0
    assert tables.spread([3.0, 4.0, 4.0]) == "4.0 (3.0–4.0)"
    assert "**not reached**" in tables.verdict(runs, "a", 4.5)
    assert tables.verdict(runs, "a", 3.0).endswith("reached.")


def test_the_page_says_when_fastai_is_missing(monkeypatch):
    import tables

    runs = {c: [{"seconds": s, "waits": 0.1, "peak": 900.0, "maxrss": 1200.0}] for c, s in (("a", 30.0), ("c", 10.0))}
    results = {
        "resnet18": {
            "runs": runs,
            "workers": {"a": 2},
            "job": {"epochs": 2, "network": "resnet18", "strategy": "fine_tune"},
        }
    }
    films = {"seconds": {"download": 1.0, "validate": 2.0, "preprocess": 5.0}, "train": 100, "val": 25, "prepared": 125}
    options = argparse.Namespace(images=None, film=512, size=224, batch_size=32, repetitions=1)
    memory = {1000: {"peak": 1500.0, "anonymous_before": 500.0, "maxrss": 1700.0}}
    page = tables.page(options, films, results, memory, None, "a machine")
    assert "(b) is missing" in page
    assert "| (a) usual way, 2 workers | 30.0 (30.0–30.0) | 6.7" in page
    assert "3.00 (3.00–3.00)× | 2.00 (2.00–2.00)×" in page
    assert "| 1,000 | 500 | 1000 | 1700 |" in page


def test_a_measured_run_begins_with_nothing_but_the_weights_to_start_from(workspace):
    import startup

    for name in (
        "models/pretrained/a",
        "models/b/c",
        "data/raw.zip",
        "reports/d",
        "dvc.lock",
        ".dvc/cache/e",
        "mlflow.db",
    ):
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / name).touch()
    startup.forget()
    assert {str(p.relative_to(workspace)) for p in workspace.rglob("*") if p.is_file()} == {"models/pretrained/a"}
    assert (workspace / "data/folder").is_dir()


def resizing_options(**changes):
    options = {"backbone": "small_cnn", "from_scratch": True, "epochs": 2, "lr": 0.001, "cpu_time": False}
    return argparse.Namespace(**options | changes)


def test_the_time_to_a_level_is_that_of_the_first_epoch_that_both_ways_reach(monkeypatch):
    """The level is the lower of the two best scores; full size reaches it in 20 s of 30, resized in 8 s of 12."""
    import pandas as pd
    import resizing

    order, curves = [], {
        None: pd.DataFrame({"val_auroc": [0.6, 0.85, 0.9], "elapsed": [10.0, 20.0, 30.0]}),
        0.5: pd.DataFrame({"val_auroc": [0.7, 0.8, 0.85], "elapsed": [3.0, 6.0, 12.0]}),
    }  # fmt: skip

    def history(options, seed, resize):
        order.append(resize and resize["start"])
        return curves[order[-1]]

    monkeypatch.setattr(resizing, "history", history)
    for seed in (0, 1):
        ratios = resizing.compare(resizing_options(), seed)
        assert ratios == {"to the same AUROC": pytest.approx(20 / 12), "of the whole training": pytest.approx(30 / 12)}
    assert order == [None, 0.5, 0.5, None]  # the first is not always the same: a machine slows down as it warms up


def test_resized_trainings_see_small_images_first(processed, monkeypatch):
    """Images of 32 px, half of that in the first of two epochs; no CPU time passes, so none is counted."""
    import resizing

    from stages.train.loop import module

    sides = []
    monkeypatch.setattr(
        module, "resized", lambda images, size: sides.append(size[0]) or images[..., : size[0], : size[1]]
    )
    monkeypatch.setattr(resizing, "time", SimpleNamespace(process_time=lambda: 7.0))
    curve = resizing.history(resizing_options(cpu_time=True), 0, resizing.RESIZE)
    assert list(dict.fromkeys(sides)) == [16, 32]
    assert list(curve["elapsed"]) == [0.0, 0.0]


def test_simulated_scores_have_the_area_that_the_table_names():
    """By a count of all pairs, with patients whose images resemble each other."""
    import claims

    truth, patients = claims.cohort(1500, 1500, 2)
    score = claims.scores(truth, patients, 0.8, 0.5, np.random.default_rng(0))
    assert (score[truth == 1][:, None] > score[truth == 0]).mean() == pytest.approx(0.8, abs=0.02)
    ill = score[truth == 1].reshape(-1, 2)
    assert np.corrcoef(ill.T)[0, 1] == pytest.approx(0.5, abs=0.07)


@pytest.mark.parametrize("failures", [0.0, 0.07])
def test_simulated_dice_scores_have_the_mean_that_the_table_names(failures):
    import claims

    dice = claims.dice_scores(failures, 200_000, np.random.default_rng(0))
    assert dice.mean() == pytest.approx(claims.mean(failures), abs=0.002)
    low, high = claims.mask_interval(dice[:40], 1, np.random.default_rng(0))
    assert low < dice[:40].mean() < high


def test_a_simulated_study_does_not_depend_on_how_many_there_are_or_on_the_processes():
    import claims

    few, many = (claims.repeated(lambda rng: (rng.random(), rng.random()), n, jobs, 7) for n, jobs in ((2, 1), (5, 2)))
    assert (few == many[:2]).all()
    assert len(np.unique(many)) == 10


@pytest.mark.parametrize("count", [1, 2, 3])
def test_equal_strategies_are_compared_as_the_report_does(count):
    """Against scipy: where patients hardly vary the interval is that of a t-test of pairs; with one seed there are
    patients alone."""
    import pandas as pd
    import seeds
    from scipy import stats

    rng = np.random.default_rng(count)
    point, error = 0.8 + 0.03 * rng.normal(size=12), 0.02 if count == 1 else 1e-5
    draws = seeds.Draws(point, point[:, None] + error / 2**0.5 * rng.normal(size=(12, 4000)), 500, 0.95, seeds.MEASURE)
    rows = pd.DataFrame(
        {"backbone": "cnn", "sample": "all", "site": "", "train_images": 9, "val_value": point, "low": 0, "high": 1}
    )
    sets = seeds.disjoint(12, count, 40)
    assert len({tuple(first) + tuple(other) for first, other in sets}) == (66 if count == 1 else 40)
    assert all(len({*first, *other}) == 2 * count for first, other in sets)
    claimed = [
        seeds.compared(rows.assign(auroc=point), draws, pair).verdict[0] != "not shown to differ" for pair in sets
    ]
    a, b = (point[[pair[side] for pair in sets]] for side in (0, 1))
    expected = np.abs(a - b)[:, 0] > 1.96 * error if count == 1 else stats.ttest_rel(a, b, axis=1).pvalue < 0.05
    assert np.mean(claimed == expected) >= 0.95  # the draws are some thousand
    assert 0 < np.mean(claimed) < 1


def test_the_error_of_a_share_of_pairs_counts_trainings_not_pairs():
    """Of a mean of x_i + x_j over all pairs it is twice the standard error of the mean."""
    import seeds
    from scipy import stats

    x = np.random.default_rng(0).normal(size=10)
    sets = seeds.disjoint(10, 1, 0)
    assert seeds.jackknife(np.array([x[a] + x[b] for (a,), (b,) in sets]), sets, 10) == pytest.approx(2 * stats.sem(x))


def test_a_training_counts_what_it_calls_most_and_is_not_repeated(processed, repository):
    """The share that history.csv has for the kept epoch is that of its predictions; lagging statistics are others."""
    import pandas as pd
    import trainings

    from stages.shared.core import settings
    from stages.shared.core.files import read_json

    raw = settings.read(repository / "params.yaml")
    raw["train"] |= {"epochs": 2, "batch_size": 16}
    raw["evaluate"]["bootstrap"] = 100
    options = argparse.Namespace(backbone="small_cnn", fraction=1.0)
    rows = [trainings.trained(raw, options, "from_scratch", 1, settled) for settled in (True, False)]
    for row in rows:
        history = pd.read_csv(f"reports/train/{row.key}/history.csv")
        table = pd.read_parquet(f"reports/evaluate/{row.key}/predictions.parquet").query("split == 'val'")
        best = history.val_commonest[history.val_auroc.idxmax()]
        likeliest = table.filter(regex="^prob_").idxmax(axis=1)  # `predicted` is at the operating point
        assert best == pytest.approx(likeliest.value_counts(normalize=True).max())
        assert row.one_class_epochs == (history.val_commonest >= 0.98).mean()
    anew, lagging = (pd.read_csv(f"reports/train/{row.key}/history.csv") for row in rows)
    assert anew.train_loss[0] == pytest.approx(lagging.train_loss[0])  # the same training, judged otherwise
    assert anew.val_loss[0] != pytest.approx(lagging.val_loss[0], rel=0.01)
    other = trainings.trained(raw, options, "from_scratch", 2)
    assert pd.read_csv(f"reports/train/{other.key}/history.csv").train_loss[0] != anew.train_loss[0]
    judged = [read_json(Path(f"reports/evaluate/{row.key}/metrics.json")) for row in (rows[0], other)]
    assert judged[0]["seed"] == judged[1]["seed"]  # the same draws of the test patients, or no pair has an interval
    written = Path(f"models/{rows[0].key}/weights.safetensors").stat().st_mtime_ns
    assert trainings.trained(raw, options, "from_scratch", 1).equals(rows[0])
    assert Path(f"models/{rows[0].key}/weights.safetensors").stat().st_mtime_ns == written


def test_the_difference_that_settling_makes_is_a_t_test_of_pairs():
    import pandas as pd
    import settling
    from scipy import stats

    anew, running = (pd.DataFrame({"balanced_accuracy": v}) for v in ([0.7, 0.8, 0.75, 0.9], [0.5, 0.6, 0.75, 0.5]))
    interval = stats.ttest_rel(anew.balanced_accuracy, running.balanced_accuracy).confidence_interval()
    assert settling.difference(anew, running) == f"+0.200 [{interval.low:+.3f}, {interval.high:+.3f}]"


@pytest.mark.parametrize("method", ["patch_knn", "padim"])
def test_the_memory_that_is_timed_is_the_one_that_train_fits(processed, shipped, repository, method):
    import anomaly

    from stages import train
    from stages.shared.arrays.arrays import load_arrays
    from stages.shared.core import settings
    from stages.shared.core.files import write_json
    from stages.shared.core.job import Job
    from stages.shared.core.paths import Key
    from stages.shared.tasks import anomaly as task
    from stages.shared.tasks.models import load

    raw = settings.read(repository / "params.yaml")
    raw["backbones"]["small_cnn"]["weights"] = str(shipped)
    raw["strategies"]["padim"]["channels"] = 20
    write_json(anomaly.STUDY, raw)
    options = argparse.Namespace(backbone="small_cnn", coreset=0.2, folder=Path.cwd())
    timed = anomaly.measured(options, method, "lightbox")
    fitted = train.run(anomaly.settings(raw, options, method), Job(Key("small_cnn", method, "full")))
    arrays = load_arrays()
    expected = task.predict(load(fitted.model)[0], arrays, arrays.rows("test")).table["score"]
    np.testing.assert_allclose(timed["scores"], expected, rtol=1e-3)


def test_the_difference_of_two_areas_is_that_of_scikit_learn():
    import anomaly
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    positive, groups = rng.random(60) < 0.5, np.arange(60) // 2
    scores = [positive + rng.normal(size=60) for _ in range(2)]
    point, *drawn = anomaly.differences(positive, *scores, groups)
    first, other = (roc_auc_score(positive, score) for score in scores)
    assert point[0] == pytest.approx(first - other)
    assert np.concatenate(drawn).mean() == pytest.approx(point[0], abs=0.02)


def test_clients_of_the_serving_benchmark_wait_for_their_answers():
    """A server that takes 20 ms for an answer and answers any number at a time."""
    import threading
    import time
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    import serve

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            asked.append(self.rfile.read(int(self.headers["Content-Length"])))
            time.sleep(0.02)
            self.send_response(200 if asked[-1] != b"wrong" else 500)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    contender = serve.Contender("test", server.server_port, "/", {}, [b"a", b"b", b"c"])
    load = serve.measure(contender, clients=3, seconds=0.3)
    assert set(asked) == {b"a", b"b", b"c"}
    assert load.p99 >= load.p50 >= 0.02
    assert 20 < load.rate <= 150
    with pytest.raises(SystemExit, match="HTTP 500"):
        serve.first(serve.Contender("test", server.server_port, "/", {}, [b"wrong"]))
    with pytest.raises(SystemExit, match="HTTP 500"):
        serve.measure(serve.Contender("test", server.server_port, "/", {}, [b"a", b"b", b"wrong"]), 2, seconds=0.3)
    server.shutdown()
