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
SECTIONS = {"calibration": "guo2017calibration", "decision_curve": "vickers2006", "conformal": "vovk2005"}


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
    found |= {SECTIONS[name] for name in SECTIONS if name in first.metrics}
    found |= {key for part, key in BACKBONES.items() for s in settings if part in str(s["backbone"]["name"])}
    found |= {OPTIMIZERS[name] for s in settings if (name := _name(s, "optimizer")) in OPTIMIZERS}
    found |= {STRATEGIES[plan] for s in settings if (plan := s["strategy"]["plan"]) in STRATEGIES}
    found |= {"loshchilov2017sgdr"} if any(_name(s, "schedule") == "cosine" for s in settings) else set()
    found |= {"newcombe2006", "hanley1982"} if "auroc" in study.task.metrics else set()
    found |= {"cochran1957"} if study.repeated else set()
    found |= {"vandermaaten2008tsne"} if any(len(m.points) for m in study.ranked) else set()
    found |= {"selvaraju2017gradcam"} if any("heatmap" in case for m in study.ranked for case in m.cases) else set()
    found |= {"ronneberger2015unet"} if study.params.task == "segmentation" else set()
    found |= {"dalal2005hog"} if any("hog" in str(name) for name in study.floors.get("name", ())) else set()
    rules = {str((m.metrics.get("operating_point") or {}).get("rule", "")) for m in study.ranked}
    found |= {"youden1950"} if "youden" in rules else set()
    return [key for key in known if key in found]


def _name(settings: Mapping[str, Any], part: str) -> str:
    return str((settings.get(part) or {}).get("name", ""))


def bibtex(study: Study) -> str:
    every = entries()
    return "\n".join(every[key] for key in used(study, every))


def entries() -> dict[str, str]:
    """Of methods.bib, by key."""
    parts = re.split(r"^(?=@)", METHODS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {part[part.index("{") + 1 : part.index(",")]: part.strip() + "\n" for part in parts}
