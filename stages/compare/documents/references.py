"""BibTeX of the methods that a study used; one that it did not use is not in the file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..numbers.comparison import Study

METHODS = Path(__file__).parent / "methods.bib"
BACKBONES = {"resnet": "he2016resnet", "vgg": "simonyan2015vgg", "densenet": "huang2017densenet",
             "efficientnet": "tan2019efficientnet", "vit": "dosovitskiy2021vit"}  # fmt: skip
OPTIMIZERS = {"adam": "kingma2015adam", "adamw": "loshchilov2019adamw"}
STRATEGIES = {"linear_probe_fine_tune": "kumar2022lpft", "patch_knn": "roth2022patchcore", "padim": "defard2021padim"}
SECTIONS = {"decision_curve": "vickers2006", "conformal": "vovk2005", "abstention": "geifman2017selective"}
CALIBRATION = {"temperature": "guo2017calibration", "platt": "platt1999", "isotonic": "zadrozny2002isotonic"}
CONFORMAL = {"lac": "sadinle2019lac", "aps": "romano2020aps"}
MAPS = {
    "grad_cam": "selvaraju2017gradcam", "grad_cam_pp": "chattopadhay2018gradcampp", "eigen_cam": "muhammad2020eigencam",
    "occlusion": "zeiler2014occlusion", "integrated_gradients": "sundararajan2017ig",
    "attention_rollout": "abnar2020rollout",
}  # fmt: skip
CHECKS = {"petsiuk2018rise", "adebayo2018sanity"}
PAIRED = {"delong1988", "obuchowski1997", "mcnemar1947", "yang2010mcnemar", "holm1979"}


def used(study: Study, known: Iterable[str]) -> list[str]:
    """Keys of methods.bib, in the order of that file."""
    first = study.ranked[0]
    settings = [m.summary["settings"] for m in study.ranked]
    found = {
        "tejani2024claim",
        "collins2024tripod",
        "mitchell2019cards",
        "efron1993bootstrap",
        "wilson1927",
        "westfall1993",
    }
    found |= {SECTIONS[name] for name in SECTIONS if name in first.metrics} | _of_probabilities(study)
    found |= PAIRED if not study.paired.empty else set()
    found |= {key for part, key in BACKBONES.items() for s in settings if part in str(s["backbone"]["name"])}
    found |= {OPTIMIZERS[name] for s in settings if (name := _name(s, "optimizer")) in OPTIMIZERS}
    found |= {STRATEGIES[plan] for s in settings if (plan := s["strategy"]["plan"]) in STRATEGIES}
    found |= {"loshchilov2017sgdr"} if any(_name(s, "schedule") == "cosine" for s in settings) else set()
    found |= {"newcombe2006", "hanley1982"} if "auroc" in study.task.metrics else set()
    found |= {"cochran1957"} if study.repeated else set()
    found |= {"vandermaaten2008tsne"} if any(len(m.points) for m in study.ranked) else set()
    maps = [(name, own) for m in study.ranked for name, own in m.methods["methods"].items()]
    found |= {MAPS[name] for name, _ in maps if name in MAPS}
    found |= CHECKS if any("deletion" in own for _, own in maps) else set()
    found |= {"cortes1994curves"} if len(study.laws) else set()
    found |= {"ronneberger2015unet"} if study.params.task == "segmentation" else set()
    found |= {"dalal2005hog"} if any("hog" in str(name) for name in study.floors.get("name", ())) else set()
    rules = {str((m.metrics.get("operating_point") or {}).get("rule", "")) for m in study.ranked}
    found |= {"youden1950"} if "youden" in rules else set()
    return [key for key in known if key in found]


def _of_probabilities(study: Study) -> set[str]:
    """How they were calibrated, made into sets, and drawn several times."""
    sections = [m.metrics for m in study.ranked]
    keys = {CALIBRATION.get(own.get("calibration", {}).get("method", "")) for own in sections}
    keys |= {CONFORMAL.get(own.get("conformal", {}).get("score", "")) for own in sections}
    keys |= {"gal2016dropout"} if any("mc_dropout" in own.get("uncertainty", {}) for own in sections) else set()
    return {key for key in keys if key}


def _name(settings: Mapping[str, Any], part: str) -> str:
    return str((settings.get(part) or {}).get("name", ""))


def bibtex(study: Study) -> str:
    every = entries()
    return "\n".join(every[key] for key in used(study, every))


def entries() -> dict[str, str]:
    """Of methods.bib, by key."""
    parts = re.split(r"^(?=@)", METHODS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {part[part.index("{") + 1 : part.index(",")]: part.strip() + "\n" for part in parts}
