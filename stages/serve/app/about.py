"""Tab: what the model is, what it learned from, on whom it was tested."""

from __future__ import annotations

import streamlit as st

from ...shared.core.words import listed
from . import words
from .one_image import definitions
from .reader import Reader


def show(reader: Reader) -> None:
    export, rules = reader.export, reader.export.rules
    recipe, certificate, tested = export.recipe, export.certificate, rules.tested_on
    height, width = recipe.size
    trained = export.training.splits == "train"
    patients = len(set(export.training.patients[trained].tolist()))
    st.subheader("What it is", anchor=False)
    facts = {
        "Model": f"{recipe.key}: {reader.version}",
        "Network": f"{recipe.architecture.name} of {recipe.architecture.source}, input {width} × {height} pixels",
        "Classes": listed(recipe.classes),
        "Started from": recipe.start or "random weights",
        "Learned from": f"{int(trained.sum()):,} images of {patients:,} patients",
    }
    st.html(f'<div class="lb">{definitions(facts)}</div>')
    st.subheader("On whom it was tested", anchor=False)
    facts = {
        "Test set": f"{tested.images:,} images of {tested.patients:,} patients, none of whom the model learned from",
        tested.label: words.estimate(tested.estimate, percents=False),
    }
    for name, point in rules.points.items():
        facts[f"Sensitivity for {name}"] = (
            f"{words.estimate(point.test['sensitivity'])}: so many of its images are found"
        )
        facts[f"Specificity for {name}"] = (
            f"{words.estimate(point.test['specificity'])}: so many of the others raise no false alarm"
        )
    facts["Prediction sets"] = (
        f"have the true class for {words.estimate(rules.conformal.measured)} of the test images; "
        f"{words.percent(rules.conformal.coverage)} are promised"
    )
    facts["Calibration"] = (
        f"{rules.calibration.method}, fitted on {rules.calibration.images:,} validation images; "
        f"error (ECE) on test images {words.estimate(rules.calibration.ece, percents=False)}"
    )
    st.html(
        f'<div class="lb">{definitions(facts)}<p class="small"><br>In brackets: '
        f"{100 * tested.confidence:g}% intervals over patients. "
        "Other hospitals, devices and patients were not tested.</p></div>"
    )
    st.subheader("Certificate", anchor=False)
    facts = {
        "Compared with": f"the trained model, on {certificate.images:,} test images",
        "Difference": f"{certificate.largest_difference:.1g} of a probability, {certificate.tolerance:g} is allowed",
        "Format": f"{certificate.runtime}, {certificate.precision}",
        "Made": certificate.made_at,
        "SHA-256": certificate.onnx_sha256,
    }
    st.html(f'<div class="lb">{definitions(facts)}</div>')
