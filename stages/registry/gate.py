"""Candidate and champion on today's test images -> a decision.

Both models run now, each with its own preprocessing, from the files in data/raw.zip: a number that was measured last
year, on other patients, is compared with nothing. Patients that one of them learned from judge neither.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import study
from ..shared.core import metadata
from ..shared.core.errors import UserError
from ..shared.core.files import read_json
from ..shared.core.paths import SHORTCUTS
from ..shared.core.words import count
from ..shared.measures.groupings import groupings
from . import images, log
from .decision import Criterion, Decision, Dropped, Estimate, verdict_of
from .judge import judge
from .log import Entry, Model, TestImages
from .params import Params
from .wear import Pair, Wear, described, wear

if TYPE_CHECKING:
    import pandas as pd

    from ..shared.exported.export import Export


@dataclass(frozen=True)
class Contender:
    """A model that is judged. `version`: in the registry; None: not registered."""

    export: Export
    version: str | None = None

    @property
    def model(self) -> Model:
        return Model(key=self.export.recipe.key, digest=digest(self.export), version=self.version)


@dataclass(frozen=True)
class Rules:
    """What the study says. metric: compare.sort_by. bins: evaluate.subgroups.bins."""

    params: Params
    metric: str
    seed: int
    bins: Mapping[str, Sequence[float]]

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Rules:
        """Raises UserError where params.yaml is wrong, or its task has no gate."""
        if raw["task"] != "classification":
            raise UserError(f"The gate judges models of task classification, and params.yaml has task {raw['task']}.")
        evaluate, compare = study.resolve("evaluate", raw), study.resolve("compare", raw)
        params = study.tool_settings(Params, raw, "registry")
        return cls(params, compare.sort_by, evaluate.seed, evaluate.subgroups.bins)

    @property
    def digest(self) -> str:
        """Another one where the same two models on the same images may get another verdict."""
        bins = {name: list(edges) for name, edges in self.bins.items()}
        return sha256_of([self.params.model_dump(mode="json"), self.metric, self.seed, bins])


def digest(export: Export) -> str:
    """Of the network and the thresholds: what decides a model's answers."""
    thresholds = {name: point.threshold for name, point in export.rules.points.items()}
    own = export.certificate
    return sha256_of([own.onnx_sha256, own.runtime, own.precision, thresholds])


def sha256_of(values: Any) -> str:
    """Of what JSON can write."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def decide(candidate: Contender, champion: Contender | None, rules: Rules) -> Decision:
    """The verdict, with all that it rests on. Reads data/, and the log; writes nothing.

    Raises:
        UserError: preprocess has not run, or the classes of a model are not today's.
    """
    test, entries = images.today(), log.read(rules.params.name)
    today = tested_on(test)
    contenders = {"candidate": candidate} | ({"champion": champion} if champion else {})
    for which, each in contenders.items():
        images.check_classes(each.export, test, which)
    own, old = candidate.model, champion.model if champion else None
    pair = Pair(own.digest, old.digest if old else None)
    if old and own.digest == old.digest:
        same = Criterion(name="candidate", answer="fail", sentence=f"It is the champion itself, version {old.version}.")
        criteria, judged, left_out = [same], {"images": 0, "patients": 0, "positives": 0}, {}
    else:
        learned = {which: images.learned_by(each.export, test) for which, each in contenders.items()}
        left_out = {which: images.dropped(test, rows) for which, rows in learned.items()}
        kept = test[~np.logical_or.reduce([*learned.values()])].reset_index(drop=True)
        criteria, judged = asked(contenders, kept, rules), counted(kept)
        criteria += [*of_export(candidate.export, kept, rules.params), *of_history(own, entries)]
    worn = wear(entries, today, pair, rules.params.alpha)
    verdict = verdict_of(criteria)
    return Decision(
        name=rules.params.name, verdict=verdict, reason=reason(verdict, criteria), candidate=own,
        champion=old, metric=rules.metric, criteria=criteria,
        notes=[*notes(champion, left_out, len(test), rules.params, worn), *shortcuts()], test=today, judged=judged,
        dropped=left_out, wear=worn, settings=rules.params.model_dump(mode="json"), rules=rules.digest,
    )  # fmt: skip


def tested_on(test: pd.DataFrame) -> TestImages:
    """What the log keeps of these images: all that a verdict depends on. What validate measures of a file follows from
    its SHA-256. The number of a group changes with other patients of the study, so a group is named by its first
    image."""
    named = ["label", "patient", *(["site"] if "site" in test else []), *metadata.columns(test.columns)]
    table = test[["sha256", *named]].astype(object)
    table["group"] = test.groupby("group")["sha256"].transform("min")
    table["folder"] = [str(PurePosixPath(path).parent) for path in test["path"]]
    rows = table.where(table.notna(), "").astype(str).itertuples(index=False, name=None)
    return described(rows, int(test["patient"].nunique()))


def asked(contenders: Mapping[str, Contender], kept: pd.DataFrame, rules: Rules) -> list[Criterion]:
    """What their predictions answer."""
    if kept.empty:
        nobody = "A model learned from all of today's test patients: none is left to judge."
        least = rules.params.min_patients
        return [Criterion(name="patients", answer="undecided", sentence=nobody, positives_needed=least)]
    said = {which: images.predictions(each.export, kept, which) for which, each in contenders.items()}
    columns = groupings(kept, rules.bins).columns
    return judge(said["candidate"], said.get("champion"), columns, rules.params, rules.metric, rules.seed)


def counted(kept: pd.DataFrame) -> dict[str, int]:
    """positives: patients with an image of another class than the first."""
    sick = kept["label"].cat.codes > 0
    patients = kept["patient"]
    return {"images": len(kept), "patients": int(patients.nunique()), "positives": int(patients[sick].nunique())}


def of_export(export: Export, kept: pd.DataFrame, params: Params) -> list[Criterion]:
    """Parity was checked when the export was read; it is stated. The time is measured now."""
    certificate = export.certificate
    parity = Criterion(
        name="export", answer="pass",
        sentence=f"Its probabilities differ by at most {certificate.largest_difference:.1g} from the trained model's, "
        f"on {count(certificate.images, 'test image')}; {certificate.tolerance:g} is allowed.",
    )  # fmt: skip
    if kept.empty:
        return [parity]
    spent, limit = images.latency(export, kept), params.latency_ms
    time = Criterion(
        name="time of one image", answer="pass" if spent <= limit else "fail",
        sentence=f"{spent:.1f} ms on this machine; at most {limit:g} ms are allowed.",
        candidate=Estimate(value=spent), bound=limit, temporary=True,
    )  # fmt: skip
    return [parity, time]


def of_history(own: Model, entries: Sequence[Entry]) -> list[Criterion]:
    """A model that was rolled back does not come in again by itself, unless a person has brought it back since."""
    sentence = log.objection(entries, own.digest)
    return [Criterion(name="history", answer="fail", sentence=sentence)] if sentence else []


def reason(verdict: str, criteria: Sequence[Criterion]) -> str:
    """One or two sentences."""
    of = {answer: [c.name for c in criteria if c.answer == answer] for answer in ("pass", "fail", "undecided")}
    if verdict == "reject":
        return f"It fails in: {', '.join(of['fail'])}."
    if verdict == "promote":
        return f"It passes all {len(of['pass'])} questions."
    needed = max((c.positives_needed for c in criteria if c.positives_needed is not None), default=None)
    more = ""
    if needed is not None:
        patients = count(needed, "more test patient")
        more = f" About {patients} with the disease would decide, if both models are equally good."
    return f"Not decided: {', '.join(of['undecided'])}.{more}"


def notes(
    champion: Contender | None, left_out: Mapping[str, Dropped], images_today: int, params: Params, worn: Wear
) -> list[str]:
    """What a reader has to know beside the criteria."""
    lines = []
    if champion is None:
        lines.append("No champion yet: nothing was compared. The next candidate will be compared with this one.")
    for which, own in left_out.items():
        if own.images:
            lines.append(
                f"The {which} learned from {own.patients} of today's test patients, or was tuned on them: their "
                f"{own.images} of {images_today} images judged neither model."
            )
    if worn.decisions:
        lines.append(
            f"Earlier decisions on these test images: {worn.exact}; on sets that share at least half of them: "
            f"{worn.similar}. If all candidates were worse by a whole margin, at least one would have passed by luck "
            f"with a probability of up to {worn.passes_by_luck:.0%}."
        )
    if worn.decisions >= params.wear:
        lines.append("The test images are worn: collect new test patients before the next promotion.")
    return lines


def shortcuts() -> list[str]:
    """Warnings of validate: the label can be told from what is no finding."""
    path = SHORTCUTS / "shortcuts.json"
    meters = read_json(path).get("meters", []) if path.is_file() else []
    return [
        f"validate warns of a shortcut: the label can be told from {own['about']} (AUROC {own['auroc']:.2f})."
        for own in meters
        if own["flag"]
    ]
