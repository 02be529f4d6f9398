"""Several models at a time: what each gets of the machine, in what order they run, and how all of them end."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from stages import study
from stages.parallel import display, driver, machine, member, schedule, stamp
from stages.parallel.machine import Gpu, share
from stages.parallel.member import Outcome
from stages.shared.core import hardware, settings
from stages.shared.core.errors import UserError
from stages.shared.core.paths import Key

KEYS = [Key("cnn", "fine_tune", f"n{i}") for i in range(5)]
TWO_GPUS = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-11111111-aaaa-bbbb-cccc-000000000000)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-22222222-aaaa-bbbb-cccc-000000000000)
"""
CUT_UP = TWO_GPUS.replace(
    "GPU 1",
    "  MIG 3g.40gb     Device  0: (UUID: MIG-aaaa)\n  MIG 3g.40gb     Device  1: (UUID: MIG-bbbb)\nGPU 1",
)


class Process:
    """Ends with `code` at the given poll."""

    pids = itertools.count(10**7)  # beyond what a system gives out

    def __init__(self, polls, code=0):
        self.pid, self.left, self.code, self.ended = next(self.pids), polls, code, False

    def poll(self):
        self.left -= 1
        self.ended = self.ended or self.left < 0
        return self.code if self.ended else None


class Watch:
    def __init__(self):
        self.events, self.running, self.most, self.by_slot = [], set(), 0, Counter()

    def started(self, item, slot):
        assert slot not in {s for _, s in self.running}, "one lease, two jobs"
        self.running.add((item, slot))
        self.most = max(self.most, len(self.running))
        self.events.append(("started", item))

    def finished(self, item, slot, code, seconds):
        self.running.remove((item, slot))
        self.by_slot[slot] += 1
        self.events.append(("finished", item, code))


def run_all(items, slots, start, watch, received=()):
    schedule.run_all(items, slots, start, watch, received, poll=0)


def test_never_more_run_than_there_are_slots_and_each_runs_once():
    watch = Watch()
    run_all(range(20), "ab", lambda item, _: Process(item % 4), watch)
    assert watch.most == 2
    assert [item for what, item, *_ in watch.events if what == "started"] == list(range(20))
    assert sorted(item for what, item, *_ in watch.events if what == "finished") == list(range(20))
    assert watch.by_slot["a"] > 3
    assert watch.by_slot["b"] > 3


def test_a_failure_stops_nobody_else():
    watch = Watch()
    run_all(range(6), "ab", lambda item, _: Process(1, code=255 if item == 1 else 0), watch)
    codes = {item: code[0] for what, item, *code in watch.events if what == "finished"}
    assert codes == {0: 0, 1: 255, 2: 0, 3: 0, 4: 0, 5: 0}


def test_a_long_one_does_not_hold_up_the_others():
    watch = Watch()
    run_all(range(5), "ab", lambda item, _: Process(50 if item == 0 else 1), watch)
    assert watch.events[-1] == ("finished", 0, 0)


def test_an_interruption_stops_what_runs_and_starts_nothing_more(monkeypatch):
    stopped, started, received = [], [], []
    monkeypatch.setattr(schedule, "stop", lambda processes, _: stopped.extend(processes))

    class Interrupted(Watch):
        def finished(self, *arguments):
            super().finished(*arguments)
            received.append(0.0)

    def start(item, _):
        started.append(Process(2 if item == 0 else 10))
        return started[-1]

    with pytest.raises(KeyboardInterrupt):
        run_all(range(5), "ab", start, Interrupted(), received)
    assert len(started) == 2
    assert stopped == started[1:]


def test_an_interruption_while_a_process_starts_leaves_none_behind(monkeypatch):
    stopped, started = [], []
    monkeypatch.setattr(schedule, "stop", lambda processes, _: stopped.extend(processes))

    def start(item, _):
        signal.raise_signal(signal.SIGINT)
        started.append(Process(10))
        return started[-1]

    with schedule.interruptions() as received, pytest.raises(KeyboardInterrupt):
        run_all(range(5), "ab", start, Watch(), received)
    assert len(started) == 2
    assert stopped == started
    with schedule.interruptions() as received, pytest.raises(KeyboardInterrupt):
        schedule.wait(start(0, None), received)
    assert stopped == started


def test_a_watcher_that_fails_leaves_no_process_behind(monkeypatch):
    stopped, started = [], []
    monkeypatch.setattr(schedule, "stop", lambda processes, _: stopped.extend(processes))

    class Failing(Watch):
        def started(self, *_):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_all(range(5), "ab", lambda *_: started.append(Process(10)) or started[-1], Failing())
    assert stopped == started == started[:1]


def test_a_terminal_that_was_closed_does_not_keep_processes_alive(monkeypatch):
    class Closed:
        def write(self, _):
            raise OSError(errno.EIO, "Input/output error")

    stopped, started = [], []
    monkeypatch.setattr(schedule, "stop", lambda processes, _: stopped.extend(processes))
    monkeypatch.setattr(sys, "stderr", Closed())
    received = []

    def start(*_):
        received.append(0.0)
        started.append(Process(10))
        return started[-1]

    with pytest.raises(KeyboardInterrupt):
        run_all(range(1), "a", start, Watch(), received)
    assert stopped == started


def spawn(code):
    """A process that has children, and says when it is ready."""
    process = schedule.spawn([sys.executable, "-c", code], os.environ, subprocess.PIPE)
    grandchild = int(process.stdout.readline())
    process.stdout.close()
    return process, grandchild


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


PARENT = """
import signal, subprocess, sys, time
if "deaf" in {mode!r}:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for orphans in /proc")
@pytest.mark.parametrize("mode", ["polite", "deaf"])
def test_stopping_reaches_the_children_and_insists_where_it_has_to(mode):
    process, grandchild = spawn(PARENT.format(mode=mode))
    schedule.stop([process], [], ((signal.SIGINT, 1.0), (signal.SIGTERM, 5.0)))
    assert process.poll() is not None
    deadline = time.monotonic() + 5
    while alive(grandchild) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(grandchild)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_interruption_is_written_down_and_the_old_handler_comes_back(number):
    before = signal.getsignal(number)
    with schedule.interruptions() as received:
        signal.raise_signal(number)
        assert len(received) == 1
    assert signal.getsignal(number) is before


def test_a_second_interruption_insists_and_an_echo_of_the_first_does_not(monkeypatch):
    process, _ = spawn(PARENT.format(mode="deaf"))
    with schedule.interruptions() as received:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert len(received) == 1
        monkeypatch.setattr(schedule, "ECHO", 0.0)
        threading.Timer(0.5, signal.raise_signal, [signal.SIGINT]).start()
        since = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            schedule.wait(process, received)
    assert process.poll() is not None
    assert 0.5 < time.monotonic() - since < 10  # not the 20 s that one interruption gives


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with schedule.interruptions() as received:
            os.kill(os.getpid(), signal.SIGHUP)
        assert received == []
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("jobs", "cores", "each"), [(1, 8, 8), (2, 8, 4), (3, 8, 2), (8, 8, 1), (9, 8, 1)])
def test_threads_are_divided_and_nobody_gets_none(jobs, cores, each):
    slots = share(jobs, [], cores)
    assert [slot.environment({}) for slot in slots] == [
        {"OMP_NUM_THREADS": str(each), "MKL_NUM_THREADS": str(each)}
    ] * jobs


def test_threads_that_somebody_has_set_stay():
    (slot,) = share(1, [], 8)
    assert slot.environment({"OMP_NUM_THREADS": "3", "A": "b"}) == {
        "OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "8", "A": "b",
    }  # fmt: skip


def gpus(n):
    return [Gpu(str(i), f"GPU-{i}") for i in range(n)]


def leased(jobs, n, each=1):
    return [slot.environment({})[machine.VISIBLE] for slot in share(jobs, gpus(n), 8, each)]


def test_every_job_has_a_gpu_of_its_own_where_there_are_enough():
    assert leased(3, 4) == ["GPU-0", "GPU-1", "GPU-2"]


def test_jobs_go_round_where_there_are_fewer_and_the_opening_says_so():
    assert leased(4, 2) == ["GPU-0", "GPU-1", "GPU-0", "GPU-1"]
    assert "on GPU 0, GPU 1, 4 jobs share them" in display.opening(6, share(4, gpus(2), 8))
    assert "on GPU 0, 2 jobs share it" in display.opening(6, share(2, gpus(1), 8))
    assert "share" not in display.opening(6, share(2, gpus(2), 8))


def test_a_model_on_several_gpus_leases_that_many():
    assert leased(2, 4, each=2) == ["GPU-0,GPU-1", "GPU-2,GPU-3"]
    assert leased(2, 3, each=2) == ["GPU-0,GPU-1", "GPU-0,GPU-1"]
    with pytest.raises(UserError, match=r"trainer.devices: 4 .*offers 2 .*Lower it to 2"):
        leased(1, 2, each=4)


def test_without_a_gpu_the_job_sees_what_we_see():
    (slot,) = share(1, [], 8)
    assert machine.VISIBLE not in slot.environment({})
    assert "no GPU" in display.opening(1, [slot])


@pytest.fixture
def raw(repository):
    return settings.read(repository / "params.yaml")


def test_jobs_are_one_per_gpu_unless_told_and_never_more_than_models(monkeypatch, raw):
    keys = study.parse_matrix(raw).keys()[:6]
    monkeypatch.setattr(machine, "gpus", lambda: gpus(3))
    assert [slot.name for slot in driver.slots_for(raw, keys, None)] == ["GPU 0", "GPU 1", "GPU 2"]
    assert len(driver.slots_for(raw, keys[:2], None)) == 2
    assert len(driver.slots_for(raw, keys, 4)) == 4
    monkeypatch.setattr(machine, "gpus", lambda: [])
    monkeypatch.setattr(machine, "cores", lambda: 4)
    monkeypatch.setattr(machine, "MEMORY", 1)
    assert len(driver.slots_for(raw, keys, None)) == 4
    assert len(driver.slots_for(raw, keys[:2], 8)) == 2
    monkeypatch.setattr(machine, "MEMORY", 2**60)
    assert len(driver.slots_for(raw, keys, None)) == 1


def test_the_server_imports_timm_only_where_a_backbone_is_timms(raw):
    raw["matrix"]["backbone"] = ["small_cnn", "resnet18"]
    assert "timm" not in driver.modules(raw, study.parse_matrix(raw).keys())
    raw["matrix"]["backbone"] = ["efficientnet_lite0"]
    assert "timm" in driver.modules(raw, study.parse_matrix(raw).keys())


@pytest.mark.parametrize(
    ("trainer", "leases"),
    [
        ({"devices": 2, "strategy": "ddp"}, ["GPU-0,GPU-1", "GPU-2,GPU-3"]),
        ({"devices": [1, 3], "strategy": "ddp"}, [None]),  # the user has chosen
        ({"accelerator": "cpu"}, [None]),
    ],
)
def test_the_devices_of_one_training_are_leased_together(monkeypatch, raw, trainer, leases):
    monkeypatch.setattr(machine, "gpus", lambda: gpus(4))
    monkeypatch.setattr(machine, "cores", lambda: 1)
    raw["train"]["trainer"] = trainer
    keys = study.parse_matrix(raw).keys()[:6]
    assert [slot.environment({}).get(machine.VISIBLE) for slot in driver.slots_for(raw, keys, None)] == leases


@pytest.mark.parametrize(
    ("given", "ids"),
    [("", []), ("-1", []), ("2", ["2"]), ("3, 1", ["3", "1"]), ("0,-1,1", ["0"]), ("GPU-ab,MIG-cd", ["GPU-ab", "MIG-cd"])],
)  # fmt: skip
def test_visible_devices_are_read_as_cuda_reads_them(monkeypatch, given, ids):
    monkeypatch.setenv(machine.VISIBLE, given)
    monkeypatch.setattr(machine.shutil, "which", lambda _: pytest.fail("the list of the user is enough"))
    assert [gpu.id for gpu in machine.gpus()] == ids


def test_gpus_are_listed_by_uuid_and_one_that_is_cut_up_by_its_parts():
    assert [gpu.name for gpu in machine.listing(TWO_GPUS)] == ["0", "1"]
    assert [gpu.id[:12] for gpu in machine.listing(TWO_GPUS)] == ["GPU-11111111", "GPU-22222222"]
    assert [(gpu.name, gpu.id[:8]) for gpu in machine.listing(CUT_UP)] == [
        ("0.0", "MIG-aaaa"), ("0.1", "MIG-bbbb"), ("1", "GPU-2222"),
    ]  # fmt: skip


@pytest.mark.parametrize(("script", "names"), [(f"cat <<'E'\n{TWO_GPUS}E", ["0", "1"]), ("echo no driver; exit 9", [])])
def test_nvidia_smi_is_asked(monkeypatch, tmp_path, script, names):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.delenv(machine.VISIBLE, raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert [gpu.name for gpu in machine.gpus()] == names


LOG = """\
Stage 'train@{key}' didn't change, skipping
Running stage 'evaluate@{key}':
> python -m stages evaluate
Traceback (most recent call last):
error: data/x.npy: damaged.
error: Run it again.
ERROR: failed to reproduce 'evaluate@{key}': failed to run: python -m stages evaluate, exited with 1
"""


def logged(text, key=KEYS[0]):
    path = member.log_of(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.format(key=key))
    return key


def test_an_outcome_names_the_stage_and_gives_its_reason(workspace):
    outcome = member.outcome_of(logged(LOG), 255, 61)
    assert (outcome.failed, outcome.ran) == ("evaluate", {"evaluate": ""})
    assert outcome.reasons == ("data/x.npy: damaged.", "Run it again.")
    assert "FAILED in evaluate after 1:01" in display.describe(outcome)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Running stage 'train@{key}':\nERROR: failed to reproduce 'train@{key}': exited with -9\n", "exited with -9"),
        ("", "code -9 and no message"),
    ],
)
def test_one_that_was_killed_has_a_reason_too(workspace, text, reason):
    outcome = member.outcome_of(logged(text), -9, 1)
    assert outcome.failed == "train"
    assert reason in outcome.reasons[0]


def test_an_outcome_tells_what_ran_and_what_was_up_to_date(workspace):
    log = "Running stage 'train@{key}':\ntrain: done in 0:31\nRunning stage 'evaluate@{key}':\nevaluate: done in 0:02\n"
    done = member.outcome_of(logged(log), 0, 40)
    assert (done.failed, done.ran) == (None, {"train": "0:31", "evaluate": "0:02"})
    assert display.describe(done) == f"{KEYS[0]}: train 0:31, evaluate 0:02"
    beside = log.replace("@{key}", "_beside@{key}")
    assert member.outcome_of(logged(beside), 0, 40).ran == done.ran
    cached = "Stage 'train@{key}' is cached - skipping run, checking out outputs\nRunning stage 'evaluate@{key}':\n"
    assert display.describe(member.outcome_of(logged(cached), 0, 5)).endswith(": evaluate, train from DVC's cache")
    assert "up to date" in display.describe(
        member.outcome_of(logged("Stage 'train@{key}' didn't change, skipping\n"), 0, 1)
    )


def test_the_newest_state_of_a_progress_bar_is_the_last_line(workspace):
    logged("a\n" + "x" * 20_000 + "\n 10%|#\r 20%|##\r\n")
    assert member.last_line(KEYS[0]) == "20%|##"


def reports(key):
    for stage in ("train", "evaluate", "embed", "explain"):
        folder = driver.report_dir(stage, key)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "file").touch()
    return {stage for stage in ("train", "evaluate", "embed", "explain") if driver.report_dir(stage, key).exists()}


@pytest.mark.parametrize(
    ("failed", "kept"),
    [("train", {"train"}), ("evaluate", {"train"}), ("explain", {"train", "evaluate", "embed"})],
)
def test_what_an_older_model_left_cannot_pass_for_the_failed_one(workspace, failed, kept):
    assert reports(KEYS[0]) > kept
    driver.forget(Outcome(KEYS[0], 1.0, {}, failed=failed))
    assert {
        stage for stage in ("train", "evaluate", "embed", "explain") if driver.report_dir(stage, KEYS[0]).exists()
    } == kept


def test_the_last_word_names_every_failed_model_its_reason_and_its_log(workspace, monkeypatch):
    monkeypatch.setattr(driver, "repro", lambda *_: None)
    monkeypatch.setattr(driver.compare, "show", lambda: None)
    bad = Outcome(KEYS[1], 1.0, {"train": ""}, failed="train", reasons=("weights.safetensors: damaged.",))
    with pytest.raises(UserError) as caught:
        driver.finish_without([bad], 2, {}, [])
    first, last = str(caught.value).splitlines()
    assert first == f"{KEYS[1]}: train failed: weights.safetensors: damaged. (log: .lightbox/logs/{KEYS[1]}.log)"
    assert last.startswith("1 of 2 models failed. The others are trained and compared")


def test_with_nothing_complete_nothing_is_compared(workspace, monkeypatch):
    monkeypatch.setattr(driver, "repro", lambda *_: pytest.fail("DVC has nothing to do"))
    with pytest.raises(UserError, match="No model is complete"):
        driver.finish_without(
            [Outcome(key, 1.0, {}, failed="train", reasons=("x",)) for key in KEYS], len(KEYS), {}, []
        )


@pytest.mark.parametrize(
    ("groups", "files", "limits", "jobs"),
    [
        ("0::/\n", {"memory.max": "8589934592"}, [8589934592], 2),  # version 2, as a container sees itself
        ("0::/a/b\n", {"a/memory.max": "4294967296", "a/b/memory.max": "max"}, [4294967296], 1),  # of the group above
        (
            "4:memory:/c\n1:cpu:/\n0::/\n",
            {"memory/c/memory.limit_in_bytes": "6442450944"},
            [6442450944],
            1,
        ),  # version 1
        ("2:cpu,memory:/gone\n", {"memory/memory.limit_in_bytes": "5368709120"}, [5368709120], 1),
        ("0::/\n", {"memory.max": "max"}, [], 16),
        (None, {}, [], 16),  # macOS
    ],
)
def test_the_memory_of_a_container_is_its_limit(tmp_path, monkeypatch, groups, files, limits, jobs):
    for name, text in {f"sys/fs/cgroup/{name}": text for name, text in files.items()}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    if groups is not None:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(groups)
    assert hardware.memory_limits(tmp_path) == limits
    monkeypatch.setattr(machine, "cores", lambda: 64)
    monkeypatch.setattr(machine.os, "sysconf", lambda name: 2**20 if name == "SC_PHYS_PAGES" else 2**16)  # 64 GiB
    monkeypatch.setattr(machine, "memory_limits", lambda: limits)
    assert machine.side_by_side() == jobs


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "150000 100000"}, 2),  # version 2: one core and a half
        ("0::/a/b\n", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),  # of the group above
        ("2:cpu,cpuacct:/gone\n", {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 1),  # version 1
        ("2:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ("0::/\n", {"cpu.max": "6400000 100000"}, 8),  # more than there are
        (None, {}, 8),
    ],
)
def test_the_cores_of_a_container_are_its_quota(tmp_path, monkeypatch, groups, files, expected):
    for name, text in {f"sys/fs/cgroup/{name}": text for name, text in files.items()}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    if groups is not None:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(groups)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert hardware.cores(tmp_path) == expected


def test_the_time_left_is_that_of_the_models_so_far(workspace, monkeypatch):
    slots = share(2, [], 2)
    shown = display.Display(KEYS, len(slots), "two at a time")
    assert shown.left() == ""
    monkeypatch.setattr(display.time, "monotonic", lambda: 100.0)
    shown.ended = {KEYS[0]: Outcome(KEYS[0], 60.0, {"train": "0:50"}), KEYS[1]: Outcome(KEYS[1], 1.0, {})}
    assert shown.left() == " (about 1:30 left)"  # 3 models of 60 s, 2 at a time; one that was up to date does not count
    shown.running = {KEYS[2]: (slots[0], 70.0)}
    assert shown.left() == " (about 1:15 left)"
    logged("epoch 3/20\n", KEYS[2])
    running, whole = shown.live_lines().renderables
    assert str(running).split() == [str(KEYS[2]), "0:30", "epoch", "3/20"]
    assert str(whole) == f"2 of {len(KEYS)} models done (about 1:15 left)"


def test_time_reads_well():
    assert [display.clock(s) for s in (0.4, 59.6, 61, 3725)] == ["0:00", "1:00", "1:01", "1:02:05"]


def test_an_edit_of_any_file_that_dvc_watches_is_noticed(workspace, monkeypatch, capsys):
    monkeypatch.setattr("stages.compare.show", lambda: print("the leaderboard"))
    own = ["data/folder", "mine/checks.yaml"]
    watched = ["params.yaml", ".dvcignore", "dvc.lock", "stages/train/stage.py", "data/raw.zip", "models/a/x"]
    watched += [*own[1:], "data/folder/a.png"]
    for name in watched:
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / name).write_text("1")
    assert not stamp.show_if_up_to_date()
    stamp.remember(own, 3)
    assert stamp.show_if_up_to_date()
    assert capsys.readouterr().out == "3 models and their comparison are up to date.\nthe leaderboard\n"
    (workspace / "stages/__pycache__").mkdir()
    (workspace / "stages/__pycache__/x.pyc").touch()
    (workspace / "notes.txt").touch()
    (workspace / "stages/.#commands.py").symlink_to("user@host.1")  # an editor's lock file
    assert stamp.show_if_up_to_date()
    for name in watched:
        stamp.remember(own, 3)
        (workspace / name).write_text("2")
        assert not stamp.show_if_up_to_date(), name
    stamp.remember(own, 3)
    shutil.copy2(workspace / "data/raw.zip", workspace / "copy")
    (workspace / "copy").rename(workspace / "data/raw.zip")  # another file of the same time and size
    assert not stamp.show_if_up_to_date()
    stamp.remember(own, 3)
    (workspace / "data/raw.zip").unlink()
    assert not stamp.show_if_up_to_date()
    stamp.STAMP.write_text('{"fil')  # the machine went down
    assert not stamp.show_if_up_to_date()
