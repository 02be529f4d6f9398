"""The gate on files: today's test images, exported models, the log, the report."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML
from sklearn.metrics import roc_auc_score

from stages.registry import gate, images, log, report
from stages.registry.command import check_today
from stages.registry.decision import Decision
from stages.registry.gate import Contender, Rules, decide, digest
from stages.registry.params import Params
from stages.shared.core.errors import UserError
from stages.shared.core.paths import RAW
from stages.shared.exported.export import Answers
from stages.shared.images.archive import write_archive

CLASSES = ["normal", "sick"]
PATIENTS = 60


@pytest.fixture
def study(workspace):
    """60 test patients with two grey images each, the sick ones brighter, and 20 patients that trained."""
    rng, rows, members = np.random.default_rng(0), [], []
    for patient in range(PATIENTS + 20):
        sick = patient % 2
        for view in range(2):
            grey = int(np.clip(rng.normal(100 + 60 * sick, 25), 0, 255))
            buffer = io.BytesIO()
            Image.new("L", (8, 8), grey).save(buffer, format="PNG")
            name = f"images/{CLASSES[sick]}/p{patient}_{view}.png"
            members.append((name, buffer.getvalue()))
            rows.append(
                {
                    "path": name, "label": CLASSES[sick], "patient": f"p{patient}", "group": patient, "sha256": f"s{patient}{view}",
                    "split": "test" if patient < PATIENTS else "train", "brightness": float(grey), "contrast": 1.0,
                    "width": 8, "height": 8,
                }
            )  # fmt: skip
    table = pd.DataFrame(rows)
    (workspace / "data" / "processed").mkdir(parents=True)
    write_archive(workspace / "data" / "raw.zip", members)
    index = table[["path", "label", "patient", "group", "split"]].assign(label=pd.Categorical(table["label"], CLASSES))
    index.to_parquet(workspace / "data" / "processed" / "index.parquet")
    table[images.FACTS].to_parquet(workspace / "data" / "manifest.parquet")
    return table[table["split"] == "test"].reset_index(drop=True)


@dataclass
class Bright:
    """An export that calls bright images sick. `noise`: grey levels, drawn from the name of each image."""

    name: str = "a"
    noise: float = 5.0
    threshold: float = 0.5
    learned: tuple[str, ...] = ()
    learned_images: tuple[str, ...] = ()
    classes: list[str] = field(default_factory=lambda: CLASSES)

    preprocessor = SimpleNamespace(crop_to_mask=None)

    @property
    def recipe(self):
        return SimpleNamespace(key=f"net-plan-{self.name}")

    @property
    def certificate(self):
        return SimpleNamespace(
            onnx_sha256=self.name,
            runtime="onnx",
            precision="float32",
            largest_difference=1e-6,
            images=60,
            tolerance=1e-4,
        )

    @property
    def rules(self):
        return SimpleNamespace(points={"sick": SimpleNamespace(threshold=self.threshold)})

    @property
    def training(self):
        return SimpleNamespace(
            patients=np.array(self.learned, dtype=str), sha256=np.array(self.learned_images, dtype=str)
        )

    def preprocess(self, data, name):
        seed = sum(map(ord, f"{self.name}{name}"))
        noise = self.noise * np.random.default_rng(seed).normal()
        return np.clip(np.asarray(Image.open(io.BytesIO(data)), float) + noise, 0, 255).astype(np.uint8)[..., None]

    def predict(self, batch):
        odds = 0.08 * (batch.mean(axis=(1, 2, 3)) - 130)
        logits = np.stack([-odds / 2, odds / 2], axis=1).astype(np.float32)
        sick = 1 / (1 + np.exp(-odds))
        return Answers(logits, np.stack([1 - sick, sick], axis=1).astype(np.float32), logits)

    def decide(self, answers):
        return [SimpleNamespace(predicted=CLASSES[int(p[1] > self.threshold)]) for p in answers.scores]


def rules(**changes):
    params = Params.model_validate(
        {"name": "chest", "draws": 300, "floors": {"auroc": 0.6}, "calibration": 0.4, **changes}
    )
    return Rules(params, "auroc", 0, {})


def champion(**changes):
    return Contender(Bright(**{"name": "old", **changes}), "1")


def answers_of(decision):
    return {criterion.name: criterion.answer for criterion in decision.criteria}


def test_numbers_are_those_of_the_models_own_answers_on_todays_test_images(study):
    export = Bright(noise=40)
    decision = decide(Contender(export), champion(), rules())
    area = next(c for c in decision.criteria if c.name == "difference in AUROC")
    from stages.shared.images.archive import Archive

    archive = Archive(RAW)
    for own, model in ((area.candidate, export), (area.champion, Bright("old"))):
        scores = [model.predict(model.preprocess(archive.read(p), p)[None]).scores[0, 1] for p in study["path"]]
        assert own.value == pytest.approx(roc_auc_score(study["label"] == "sick", scores))
    assert decision.judged == {"images": 120, "patients": 60, "positives": 30}


def test_patients_that_the_champion_learned_from_judge_nobody_and_are_counted(study):
    """Two of them by name, one by a picture that had another name then."""
    decision = decide(Contender(Bright()), champion(learned=("p1", "p2", "p70"), learned_images=("s30",)), rules())
    assert (decision.dropped["champion"].patients, decision.dropped["champion"].images) == (3, 6)
    assert decision.dropped["candidate"].images == 0
    assert decision.judged["patients"] == 57
    assert any("champion learned from 3 of today's test patients" in note for note in decision.notes)
    assert "champion learned from 3" in report.markdown(decision)


def test_where_a_model_learned_from_all_nobody_decides(study):
    decision = decide(Contender(Bright()), champion(learned=tuple(study["patient"])), rules())
    assert decision.verdict == "undecided"
    assert decision.exit_code == 4
    assert "none is left" in decision.criteria[0].sentence


def test_the_first_candidate_is_held_against_floors_and_says_so(study):
    decision = decide(Contender(Bright()), None, rules())
    assert (decision.verdict, decision.exit_code) == ("promote", 0)
    assert not any(name.startswith("difference") for name in answers_of(decision))
    assert any("No champion yet" in note for note in decision.notes)


def test_a_worse_candidate_is_rejected(study):
    decision = decide(Contender(Bright(noise=300)), champion(noise=0), rules(floors={}))
    assert (decision.verdict, decision.exit_code) == ("reject", 3)


def test_the_champion_itself_is_no_candidate(study):
    decision = decide(Contender(Bright("old")), champion(), rules())
    assert answers_of(decision) == {"candidate": "fail"}
    assert "the champion itself" in decision.criteria[0].sentence


def test_another_threshold_is_another_model(study):
    assert digest(Bright()) != digest(Bright(threshold=0.4))
    assert digest(Bright()) == digest(Bright(learned=("p1",)))


def test_a_model_that_was_rolled_back_does_not_come_in_again(study):
    from stages.registry.log import Model

    bad = Contender(Bright("bad"))
    change = log.stamped(
        event="rollback", state="begun", name="chest", reason="misses effusions", candidate=champion().model,
        champion=Model(key="k", digest=bad.model.digest, version="2"),
    )  # fmt: skip
    log.append(change)
    log.append(log.stamped(event="rollback", state="done", name="chest", id=change.id))
    decision = decide(bad, None, rules())
    assert decision.verdict == "reject"
    assert "misses effusions" in decision.reason + decision.criteria[-1].sentence

    again = log.stamped(event="rollback", state="begun", name="chest", candidate=bad.model)
    log.append(again)
    log.append(log.stamped(event="rollback", state="done", name="chest", id=again.id))
    assert decide(bad, None, rules()).verdict == "promote"  # a person has brought it back


def test_a_slow_model_is_rejected(study):
    decision = decide(Contender(Bright()), None, rules(latency_ms=1e-6))
    assert answers_of(decision)["time of one image"] == "fail"
    assert decision.temporary  # the machine may have had other work
    assert not decide(Contender(Bright(noise=300)), champion(noise=0), rules(latency_ms=1e-6, floors={})).temporary


def test_only_todays_question_is_promoted(study, workspace, repository):
    """Not what was judged on other test images, or by other settings."""
    raw = YAML(typ="safe").load(repository / "params.yaml")
    raw["registry"] |= {"name": "chest", "draws": 300}
    decision = decide(Contender(Bright()), None, Rules.of(raw))
    check_today(decision, raw)
    for section, changes, reason in [
        ("registry", {"name": "brain"}, "written for chest"),
        ("registry", {"margin": 0.01}, "other settings"),
        ("compare", {"sort_by": "pr_auc"}, "other settings"),
    ]:
        with pytest.raises(UserError, match=reason):
            check_today(decision, raw | {section: raw[section] | changes})
    path = workspace / "data" / "processed" / "index.parquet"
    pd.read_parquet(path).iloc[1:].to_parquet(path)
    with pytest.raises(UserError, match="other test images"):
        check_today(decision, raw)


def test_corrected_patients_or_metadata_are_another_question_and_other_numbers_of_the_groups_are_not(study):
    def fingerprint(**columns):
        return gate.tested_on(study.assign(**{"meta_age": 40.0, **columns})).fingerprint

    own = fingerprint()
    assert fingerprint(group=study["group"] + 7) == own
    assert gate.tested_on(study.assign(meta_age=40.0).iloc[::-1]).fingerprint == own
    others = {
        "label": study["label"].replace("sick", "virus"),
        "patient": study["patient"].replace("p3", "p5"),
        "group": study["group"].replace(3, 5),
        "path": study["path"].str.replace("sick/", "later/"),
        "meta_age": study["group"].map(lambda group: None if group == 3 else 40.0),
        "site": "north",
    }
    assert len({fingerprint(**{name: values}) for name, values in others.items()} | {own}) == len(others) + 1
    assert gate.tested_on(study).sketch == gate.tested_on(study.assign(**others)).sketch


def test_models_of_other_classes_are_not_compared(study):
    with pytest.raises(UserError, match="The champion, net-plan-old, knows the classes normal, virus"):
        decide(Contender(Bright()), champion(classes=["normal", "virus"]), rules())


def test_the_report_is_read_back_and_says_the_same_three_times(study):
    decision = decide(Contender(Bright()), champion(), rules())
    report.write(decision)
    assert Decision.read() == decision
    page, text = report.PAGE.read_text(), report.MARKDOWN.read_text()
    for criterion in decision.criteria:
        assert criterion.sentence in text
        assert criterion.name in page
        assert any(criterion.sentence in line for line in report.lines(decision))
    assert "<svg" in page
    assert "p1_0" not in page + text + log.path().name


def test_a_bar_in_the_name_of_a_group_does_not_break_the_table(study):
    decision = decide(Contender(Bright()), None, rules())
    criterion = decision.criteria[0].model_copy(update={"sentence": "lowest: −0.01 in “site: a|b”."})
    text = report.markdown(decision.model_copy(update={"criteria": [criterion]}))
    (line,) = [line for line in text.splitlines() if "lowest" in line]
    assert len(re.findall(r"(?<!\\)\|", line)) == 4


def test_only_classification_has_a_gate():
    with pytest.raises(UserError, match="judges models of task classification"):
        Rules.of({"task": "segmentation"})


def test_a_registry_without_the_champion_of_the_log_is_another_one(workspace, monkeypatch):
    """Any model would pass there as the first one."""
    from stages.registry.command import champion_of
    from stages.registry.log import Model

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert champion_of("chest") is None
    change = log.stamped(
        event="promote", state="begun", name="chest", candidate=Model(key="k", digest="d", version="4")
    )
    log.append(change)
    log.append(log.stamped(event="promote", state="done", name="chest", id=change.id))
    with pytest.raises(UserError, match="version 4 of chest is champion, and this registry has none"):
        champion_of("chest")
    assert champion_of("brain") is None
