"""What the page says of the paired tests, and of the luck in the first row."""

from __future__ import annotations

from math import isnan
from typing import Any

from ..numbers.comparison import Study
from ..numbers.paired import agreement
from ..text import number, span

NAMED = 1  # comparisons in a sentence


def of_page(study: Study) -> dict[str, Any]:
    """What paired.j2 shows. `paired`: the rows of paired.csv by what they are against; empty without any."""
    table = study.paired
    groups = {against: rows.to_dict("records") for against, rows in table.groupby("against", sort=False)}
    return {
        "paired": groups,
        "agreement": agrees(study),
        "luck": study.optimism.to_dict("records"),
        "ensembles": study.ensembles.to_dict("records"),
    }


def agrees(study: Study) -> str:
    """Whether the tests and the bootstrap say the same."""
    table = study.paired
    sentences = []
    for name, (same, number_of) in agreement(table).items():
        if not number_of:
            continue
        test, bootstrap = ("delong_verdict", "verdict") if name == "DeLong" else ("mcnemar_verdict", "accuracy_verdict")
        what = "AUROC" if name == "DeLong" else "accuracy"
        if same == number_of:
            all_of = "the only comparison" if number_of == 1 else f"all {number_of} comparisons"
            sentences.append(f"{name}’s test and the bootstrap of the {what} give the same result in {all_of}.")
            continue
        apart = table[(table[test] != table[bootstrap]) & (table[test] != "") & (table[bootstrap] != "")]
        examples = "; ".join(
            f"{row['key']} against {row['other']} ({name}: {row[test]}, bootstrap: {row[bootstrap]})"
            for row in apart.head(NAMED).to_dict("records")
        )
        more = f"; and {len(apart) - NAMED} more" if len(apart) > NAMED else ""
        sentences.append(
            f"{name}’s test and the bootstrap of the {what} give the same result in {same} of {number_of} comparisons. "
            f"They differ on {examples}{more}."
        )
    if any("They differ" in sentence for sentence in sentences):
        sentences.append("A result that only one of two methods gives is not firm.")
    return " ".join(sentences)


def luck(study: Study) -> str:
    """How much of the first row's value may be luck: a sentence to follow the one on the first row."""
    first = study.optimism.iloc[0]
    if first["rows"] < 2 or isnan(first["optimism"]):
        return ""
    chosen = study.board.loc[study.board["chosen"], "key"].tolist()
    same = " Validation chose the same row; as that choice, its value stands uncorrected." * (chosen == [first["key"]])
    choosing = f"Choosing the best of {first['rows']} rows by the test images flatters it"
    if number(first["optimism"]) == number(0):
        return f" {choosing} by less than 0.001."
    return (
        f" {choosing}: about {number(first['optimism'])} of this may be luck. Corrected, it is "
        f"{number(first['corrected'])} [{span(first['corrected_low'], first['corrected_high'])}].{same}"
    )
