"""What the artefacts of a study say, in one or two sentences each. Checklists and model cards are filled from these, so
nothing is said twice in two ways; what no file knows is not here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...shared.core.task import NEEDS
from ...shared.core.words import listed
from ...shared.measures import faithfulness
from ..numbers import dataset, sites
from ..numbers.board import best_on_validation
from ..numbers.comparison import Study
from ..page import operating, uncertainty
from ..page.made import shared_settings
from ..page.story import Story
from ..text import count, level, number, signed, span

TRAINING = ("optimizer.name", "optimizer.lr", "loss.name", "batch_size", "epochs", "schedule.name")
OVERLAP = {"patients": "patients", "files": "files of the same bytes", "pictures": "duplicates of a picture"}


@dataclass(frozen=True)
class Fact:
    """place: the section of the page that shows it."""

    text: str
    place: str


def facts_of(study: Study, story: Story) -> dict[str, Fact]:
    """By name; a name is absent where this study has nothing to say."""
    return {**_aims(study, story), **_data(study), **_models(study), **_evaluation(study), **_results(study)}


def _at(place: str, **texts: str | None) -> dict[str, Fact]:
    return {name: Fact(text, place) for name, text in texts.items() if text}


def _aims(study: Study, story: Story) -> dict[str, Fact]:
    matrix, classes = study.params.matrix, listed(list(study.ranked[0].answers.classes))
    models = f"{len(study.ranked)} model{'' if len(study.ranked) == 1 else 's'}"
    commit = study.ranked[0].summary["environment"].get("commit", "unknown")
    return {
        **_at(
            "answer",
            question=story.title,
            answer=" ".join([story.verdict or story.title, *(text for _, text in story.findings[:1])]),
            use="For research. Not a medical device, not for clinical use.",
        ),
        **_at(
            "models",
            technology=f"Deep learning: {listed(matrix.backbone)}, trained by {listed(matrix.strategy)}, for "
            f"{study.params.task} ({classes}).",
        ),
        **_at(
            "leaderboard",
            goal=f"Development and internal evaluation of {models}, compared by test {study.measure.label}.",
        ),
        **_at("methods", limitations="The report lists them."),
        **_at(
            "study",
            protocol="params.yaml has every setting, dvc.lock every input, parameter and code file of a stage; "
            "`dvc repro` makes all of it again.",
            availability=f"Code: commit {commit}. Weights and what it takes to use them: "
            "models/<key>/weights.safetensors and recipe.json.",
        ),
    }


def _data(study: Study) -> dict[str, Fact]:
    data, known = study.data, study.data.validation.get("patients_known") is not False
    counts = dataset.count(data.index, data.meta["classes"], NEEDS[study.params.task].masks)
    validation, split, preprocess = data.validation, data.split["split"], data.meta["preprocess"]
    critical = [check for check in validation["checks"] if check["severity"] == "critical"]
    named = " ".join(check.get("description") or f"{check['name']}." for check in critical)
    height, width = data.meta["size"]
    steps = ", ".join(map(_step, preprocess.get("steps", [])))
    unannotated = f" {count(sum(counts.unannotated))} are not annotated and take no part." if counts.unannotated else ""
    return _at(
        "data",
        source="The images are synthetic: a program drew them." if validation.get("phantom") else None,
        eligibility=f"An image is set aside where it fails one of these checks: {named}" if critical else None,
        flow=f"{count(validation['images'])} images; {count(validation['quarantined'])} set aside; "
        f"{count(counts.all_images)} used{f', of {count(counts.all_patients)} patients' if known else ''}.",
        preprocessing=f"{preprocess['mode']}, {width} × {height} pixels; steps: {steps or 'none'}.",
        missing=f"{count(validation['quarantined'])} images that failed a critical check are left out.{unannotated} "
        "Nothing is imputed.",
        images=f"Models see {width} × {height} pixels, {data.meta['channels']} channel"
        f"{'' if data.meta['channels'] == 1 else 's'}.",
        classes=f"One label an image: {listed(list(data.meta['classes']))}.",
        predictors="The pixels of the image alone; nobody measured or chose anything by hand.",
        partition=f"{_parts(counts, known)}. Split: {split['method']}, {split['folds']} folds.",
        disjoint=f"In more than one part or fold: {_overlap(data.split['overlap'], known)}, counted on the files that "
        "were written.",
        characteristics=f"Images of each class: {_classes(counts)}.",
        same="Training and test images are of the same source, prepared by the same code.",
    )


def _step(step: Any) -> str:
    return str(next(iter(step)) if isinstance(step, Mapping) else step)


def _parts(counts: dataset.DatasetCounts, known: bool) -> str:
    return "; ".join(
        f"{name} {count(images)} images" + (f" of {count(patients)} patients" if known else "")
        for name, images, patients in zip(counts.splits, counts.images, counts.patients, strict=True)
    )


def _classes(counts: dataset.DatasetCounts) -> str:
    return "; ".join(
        f"{label}: " + ", ".join(f"{split} {count(n)}" for split, n in zip(counts.splits, images, strict=True))
        for label, images, _ in counts.rows
    )


def _overlap(overlap: Mapping[str, Mapping[str, int]], known: bool) -> str:
    names = [name for name in OVERLAP if known or name != "patients"]
    return listed([f"{count(sum(overlap[name].values()))} {OVERLAP[name]}" for name in names])


def _models(study: Study) -> dict[str, Fact]:
    settings = {name: value.strip('"') for name, value in shared_settings(study.ranked).items()}
    sizes = {m.key.backbone: count(m.summary["parameters"]) for m in study.ranked}
    starts = sorted({str(m.summary["start"]) for m in study.ranked if m.summary["start"]})
    samples = {m.key.sample: count(m.summary["train_images"]) for m in study.ranked}
    environment = {k: v for k, v in study.ranked[0].summary["environment"].items() if k != "commit"}
    chosen, weights = best_on_validation(study.board), settings.get("class_weights", "null")
    shared = {name: settings[name] for name in TRAINING if name in settings}
    return {
        **_at(
            "study",
            subsets=f"Training images of each sample: {_pairs(samples)}.",
            software=f"{_pairs(environment)}.",
            start=f"Pretrained weights: {listed(starts)}; the rest at random." if starts else "Random weights.",
            training=f"{_pairs(shared) or 'Settings differ between models'}; the report lists all settings.",
            augmentation=f"Augmentation: {settings['augment']}." if "augment" in settings else None,
            imbalance="No weights of classes." if weights == "null" else f"Weights of classes in the loss: {weights}.",
            prediction="evaluate loads weights.safetensors and recipe.json and writes predictions.parquet.",
        ),
        **_at(
            "models",
            model=f"Weights: {_pairs(sizes)}. models/<key>/recipe.json has architecture and preprocessing.",
        ),
        **_at(
            "methods",
            selection="Epoch and model were chosen on validation images"
            f"{f': {chosen.key}' if chosen is not None else ''}. Test images took no part.",
        ),
        **_at("operating" if operating.decided(study.ranked[0]) else "curves", output=_output(study)),
        **_at("leaderboard" if study.ensembles.empty else "ensembles", ensembles=_ensembles(study)),
    }


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _ensembles(study: Study) -> str:
    if study.ensembles.empty:
        return "No ensemble."
    better = int((study.ensembles["verdict"] == "better").sum())
    return (
        f"Means of calibrated probabilities of several models: {len(study.ensembles)}, of which {better or 'none'} "
        f"{'are' if better > 1 else 'is'} shown to be better than the best member on validation."
    )


def _output(study: Study) -> str:
    if study.params.task == "segmentation":
        return "A mask of each structure."
    if study.params.task == "anomaly":
        return "A score; an alarm where it lies above a threshold that was chosen on validation images."
    classes, where = study.ranked[0].answers.classes, operating.decided(study.ranked[0])
    if where == operating.MOST_PROBABLE:
        return "A probability of each class. The most probable one is predicted."
    return f"A probability of each class. “{classes[-1]}” is predicted above a threshold, {where}."


def _evaluation(study: Study) -> dict[str, Fact]:
    first, places, new = study.ranked[0], sites.sites_of(study.data.index), _new_sites(study)
    labels = listed([measure.label for measure in study.task.metrics.values()])
    known = study.data.validation.get("patients_known") is not False
    draws = f"{count(first.metrics['bootstrap'])} bootstrap draws of test {'patients' if known else 'images'}"
    return {
        **_at(
            "leaderboard",
            metrics=f"{labels}.",
            internal=f"{count(len(first.test))} test images, the same for every model.",
        ),
        **_at(
            "methods",
            intervals=f"{level(study.board.confidence[0])} intervals from {draws}.",
            comparisons="Differences are paired on the same draws; intervals are simultaneous over all models.",
        ),
        **_at("sites" if new else "methods", external=_external(new)),
        **_at("paired", paired=_paired(study)),
        **_at("uncertainty", conformal=_conformal(study)),
        **_at(
            "subgroups", subgroups="Metrics of each subgroup, with intervals." if "subgroups" in first.metrics else None
        ),
        **_at(
            "calibration",
            calibration=_calibration(study),
        ),
        **_at("sites", sites=f"Test scores at {len(places)} sites: {listed(places)}." if places else None),
        **_at(
            "shortcuts",
            shortcuts="Measured before training: can the label be told from what should not matter?"
            if study.data.shortcuts["meters"]
            else None,
        ),
        **_at(
            "models",
            explanations="Heat maps or outlines of chosen images." if any(m.cases for m in study.ranked) else None,
        ),
        **_at("where", tested_maps=_tested_maps(study)),
    }


def _new_sites(study: Study) -> list[str]:
    """Sites of the test images that some model never saw."""
    places = sites.sites_of(study.data.index)
    seen = [sites.seen(m.summary.get("sample") or {}, places) for m in study.ranked]
    return [name for name in places if any(name not in own for own in seen)]


def _external(new: Sequence[str]) -> str:
    if not new:
        return "No model was tested on data of another source."
    return f"Some models were tested at sites that they never saw: {listed(list(new))}. All images are of one data set."


def _calibration(study: Study) -> str | None:
    sections = [m.metrics["calibration"] for m in study.ranked if "calibration" in m.metrics]
    if not sections:
        return None
    fitted = {uncertainty.METHODS[own["method"]] for own in sections if own["method"] != "none"}
    if not fitted:
        return "ECE, Brier score and log loss of the probabilities as they are: no model was calibrated."
    return f"ECE, Brier score and log loss, before and after {listed(sorted(fitted))} on validation images."


def _conformal(study: Study) -> str | None:
    if "conformal" not in study.ranked[0].metrics:
        return None
    promised = number(study.ranked[0].metrics["conformal"]["promised"], 2)
    return f"Conformal sets of classes are made for a coverage of {promised}. {uncertainty.covered(study.ranked)}"


def _paired(study: Study) -> str | None:
    if study.paired.empty:
        return None
    return "Also DeLong’s test of two AUROCs and McNemar’s of two accuracies, by cluster, p values adjusted by Holm."


def _tested_maps(study: Study) -> str | None:
    verdicts = [faithfulness.verdict(own) for m in study.ranked for own in m.methods["methods"].values()]
    tested = [word for word in verdicts if word != faithfulness.UNTESTED]
    if not tested:
        return None
    counts = [f"“{word}” {tested.count(word)}" for word in dict.fromkeys(tested)]
    return f"Heat maps tested by deletion, insertion and shuffled weights; verdicts: {', '.join(counts)}."


def _results(study: Study) -> dict[str, Fact]:
    first, chosen, label = study.models.iloc[0], best_on_validation(study.board), study.measure.label
    half = (first.value_high - first.value_low) / 2
    return {
        **_at(
            "leaderboard",
            performance=f"First on the test images: {first.key}, {label} {_value(first, 'value')}.",
            chosen=None
            if chosen is None
            else f"Chosen on validation: {chosen.key}, test {label} {_value(chosen, 'value')}, "
            f"difference to the first row {signed(chosen.difference)}.",
            accuracy=None if chosen is None else _accuracy(study, chosen),
            precision=None
            if half != half
            else f"On {count(len(study.ranked[0].test))} test images the {label} of the first model has an interval of "
            f"± {number(half)}.",
        ),
        **_at("models", failures="The report shows wrong predictions of each model under its name."),
    }


def _value(row: Any, name: str) -> str:
    return f"{number(row[name])} [{span(row[f'{name}_low'], row[f'{name}_high'])}]"


def _accuracy(study: Study, chosen: Any) -> str:
    metrics = {name: measure.label for name, measure in study.task.metrics.items() if measure.headline}
    return f"{chosen.key}: " + ", ".join(f"{label} {_value(chosen, name)}" for name, label in metrics.items()) + "."
