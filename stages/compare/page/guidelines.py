"""What to use, in sentences: each carries the numbers that it is written from, and the files that have them.

A sentence says no more than the intervals do. Where they do not decide, it says so, and names the best on validation
and the cheapest of those that are not shown to be worse.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from ...shared.core.words import listed
from ..numbers.comparison import Study
from ..numbers.guidelines import Choice, cheapest, more
from ..text import count, duration, level, number, signed, signed_span, span
from .made import environments

Numbers = dict[str, float | int | str | None]
FOLDER = "reports/compare/"
NAMED = 4  # models in one sentence
BOARD, REPEATS, FLOORS = FOLDER + "leaderboard.csv", FOLDER + "repeats.csv", FOLDER + "tables/floors.csv"


@dataclass(frozen=True)
class Advice:
    """`numbers`: what the sentence is written from; `files`: where they lie, or what they were computed from."""

    topic: str
    sentence: str
    numbers: Numbers
    files: tuple[str, ...]


def for_json(advice: Advice) -> dict[str, Any]:
    """With null for a number that is not defined."""
    numbers = {name: None if value != value else value for name, value in advice.numbers.items()}
    return asdict(replace(advice, numbers=numbers))


def guidelines(study: Study) -> list[Advice]:
    """What to use for each size of training set, how sure that is, and what would change the answer."""
    if not study.choices:
        sentence = f"No model has a validation {study.measure.label}, so there is nothing to choose by."
        return [Advice("What to use", sentence, {"models": len(study.models)}, (BOARD,))]
    largest, which = study.choices[0], [use(study, choice) for choice in study.choices]
    about = [cost(study, largest), how_sure(study, largest)]
    change = [decision(study, largest), other_seeds(study, largest), more_images(study, largest)]
    caveats = [missing(study), shortcut(study), one_class(study, largest), calibration(study, largest)]
    return [*which, *(advice for advice in [*about, *change, *caveats] if advice)]


def best(study: Study, choice: Choice) -> int:
    """The cell that the advice is about: of those above the floor, the best on validation."""
    return choice.tied[0] if choice.tied else choice.chosen


def use(study: Study, choice: Choice) -> Advice:
    topic, files = f"With {count(choice.images)} training images", (_table(study), FLOORS)
    if not choice.tied:
        return Advice(topic, *_no_network(study, choice), files)
    own = best(study, choice)
    numbers = _numbers(study, own) | {"train_images": choice.images, "models": len(choice.others) + 1}
    numbers |= {"not_shown_to_be_worse": len(choice.tied) - 1}
    first = f"{_name(study, own)} is the best on validation: test {study.measure.label} {_value(study, own)}"
    if own != choice.chosen:
        first = (
            f"{_name(study, choice.chosen)} is the best on validation, but is not shown to be better than the floor. "
            f"Of those that are, the best on validation is {_name(study, own)}: test {study.measure.label} "
            f"{_value(study, own)}"
        )
    if not len(choice.others):
        return Advice(topic, f"{first}. There is no other model of this size to compare it with.", numbers, files)
    if len(choice.tied) == 1:
        alone = (choice.others["verdict"] == "worse").all()
        lead = f"Use {_name(study, own)}" if alone else f"Only {_name(study, own)} is shown to be better than the floor"
        return Advice(topic, f"{lead}. {first}.{_rest(study, choice)}", numbers, files)
    cheap = cheapest(study.cells, choice.tied, own)
    numbers |= {f"cheapest_{name}": value for name, value in _numbers(study, cheap).items()}
    if own == choice.chosen and cheap != own:
        numbers |= {f"cheapest_{name}": float(choice.others.loc[cheap, name]) for name in ("difference", "low", "high")}
    names = [_name(study, cell) for cell in choice.tied]
    among = f"of {listed(names)}" if len(names) <= NAMED else f"of {len(names)} models"
    text = (
        f"It is not shown which {among} is best. {first}. {_cheapest(study, choice, own, cheap)}{_rest(study, choice)}"
    )
    return Advice(topic, text, numbers, (*files, FOLDER + "tables/pareto.csv"))


def _rest(study: Study, choice: Choice) -> str:
    """What is shown of the others."""
    verdicts = choice.others["verdict"]
    worse, better = (int((verdicts == word).sum()) for word in ("worse", "better"))
    below = len(verdicts) + 1 - len(choice.tied) - worse
    own = _name(study, choice.chosen)
    sentences = []
    if worse:
        which = f"{'All' if worse == len(verdicts) else worse} of the {_count(len(verdicts), 'other')}"
        which = which if len(verdicts) > 1 else "The other"
        sentences.append(f"{which} {_is(worse)} shown to be worse than {own}")
    if better:
        on_test = "better than it on the test images, which do not choose here"
        sentences.append(f"{_count(better, 'other')} {_is(better)} shown to be {on_test}")
    if below:
        sentences.append(f"{_count(below, 'model')} {_is(below)} not shown to be better than the floor")
    return "".join(f" {sentence}." for sentence in sentences)


def _is(n: int) -> str:
    return "is" if n == 1 else "are"


def _cheapest(study: Study, choice: Choice, own: int, cheap: int) -> str:
    seconds = [duration(float(study.cells.table["seconds"][cell])) for cell in (own, cheap)]
    if cheap == own:
        other = "The other does not train" if len(choice.tied) == 2 else "None of the others trains"
        return f"{other} in clearly less time than its {seconds[0]}."
    apart = ""
    if own == choice.chosen:
        row = choice.others.loc[cheap]
        apart = f", a difference of {signed(row['difference'])} [{signed_span(row['low'], row['high'])}]"
    return (
        f"The cheapest is {_name(study, cheap)}: {seconds[1]} of training instead of {seconds[0]}, "
        f"{study.measure.label} {_value(study, cheap)}{apart}."
    )


def _no_network(study: Study, choice: Choice) -> tuple[str, Numbers]:
    assert study.floor is not None  # without a floor every model is above it
    row, floor, own = choice.above.loc[choice.chosen], study.floor, choice.chosen
    value = floor.value("test", study.metric)
    sentence = (
        f"No network is justified by these data. {floor.about['title']}, which needs none, reaches a test "
        f"{study.measure.label} of {number(value)}. {_name(study, own)}, the best on validation, reaches "
        f"{_value(study, own)}, a difference of {signed(row['difference'])} "
        f"[{signed_span(row['low'], row['high'])}]: {_shown(row['verdict'])}."
    )
    numbers = _numbers(study, own) | {"train_images": choice.images, "floor": floor.key, "floor_value": value}
    numbers |= {"above_floor": row["difference"], "above_floor_low": row["low"], "above_floor_high": row["high"]}
    return sentence, numbers


def _shown(verdict: str) -> str:
    return verdict if verdict == "not shown to differ" else f"shown to be {verdict}"


def cost(study: Study, choice: Choice) -> Advice:
    """On the machine that trained."""
    own, table = best(study, choice), study.cells.table
    (environment, _), *others = environments(study.ranked)
    where = f"On {environment.get('hardware', 'the machine that trained')}"
    where += f" and {_count(len(others), 'other machine')}" if others else ""
    seconds, memory = float(table["seconds"][own]), float(table["peak_memory_mb"][own])
    text = f"{where}, {_name(study, own)} took {duration(seconds)} to train and {count(memory)} MB at most"
    numbers: Numbers = {"seconds": seconds, "peak_memory_mb": memory, "parameters": float(table["parameters"][own])}
    if "latency_1_ms" in table and table["latency_1_ms"][own] > 0:
        latency = float(table["latency_1_ms"][own])
        numbers["latency_1_ms"] = latency
        text += f"; it reads one image in {number(latency, 1)} ms"
    return Advice("On this machine", text + ".", numbers, (BOARD,))


def how_sure(study: Study, choice: Choice) -> Advice:
    own, draws = best(study, choice), study.cells.draws
    row = study.cells.table.loc[own]
    seeds = int(row["seeds"])
    numbers = _numbers(study, own) | {"seeds": seeds, "test_patients": draws.clusters, "seed_sd": None}
    ends = f"The {level(draws.level)} interval of {_name(study, own)}, {span(row['value_low'], row['value_high'])},"
    patients = f"{count(draws.clusters)} {_units(study)}"
    if seeds == 1:
        text = f"{ends} covers the chance of {patients} alone. It was trained once: another training may differ."
    else:
        numbers["seed_sd"] = float(row["value_sd"])
        text = (
            f"{ends} covers the chance of {patients} and of {seeds} seeds, whose standard deviation is "
            f"{number(row['value_sd'])}."
        )
    return Advice("How sure", text, numbers, (_table(study),))


def decision(study: Study, choice: Choice) -> Advice | None:
    """What would decide between the best on validation and the cheapest of its like, or the next on validation."""
    if len(choice.tied) < 2:
        return None
    own = best(study, choice)
    cheap = cheapest(study.cells, choice.tied, own)
    other = cheap if cheap != own else choice.tied[1]
    needed, clusters = more(study.cells, own, other), study.cells.draws.clusters
    row, seeds = study.cells.differences([(other, own)]).iloc[0], study.cells.seeds(own, other)
    names = f"{_name(study, other)} and {_name(study, own)}"
    if_true = f"{names} differ by {signed(row['difference'])}. If that is the true difference"
    ways = [f"about {count(needed.patients)} {_units(study)} (now {count(clusters)})"] if needed.patients else []
    ways += [f"{needed.seeds} seeds each (now {seeds})"] if needed.seeds else []
    if ways:
        text = f"{if_true}, {' or '.join(ways)} would show it."
    else:
        nor = ", and neither would 100 seeds" if seeds > 1 else ""
        text = f"{if_true}, 100 times as many {_units(study)} would not show it{nor}."
    numbers: Numbers = {name: float(row[name]) for name in ("difference", "low", "high")}
    numbers |= {"test_patients": clusters, "test_patients_needed": needed.patients}
    numbers |= {"seeds": seeds, "seeds_needed": needed.seeds}
    return Advice("What would decide", text, numbers, (_table(study), "reports/evaluate/*/draws.parquet"))


def other_seeds(study: Study, choice: Choice) -> Advice | None:
    if not len(choice.others) or (study.cells.table.loc[[choice.chosen, *choice.others.index], "seeds"] > 1).all():
        return None
    text = (
        "Some of these models were trained once. Whether a strategy is better, and not only this model of it, takes "
        "repeats with other seeds: add samples that differ in their seed to params.yaml."
    )
    seeds = int(study.cells.table.loc[[choice.chosen, *choice.others.index], "seeds"].min())
    return Advice("Other seeds", text, {"seeds": seeds}, (_table(study),))


def more_images(study: Study, choice: Choice) -> Advice | None:
    row = study.cells.table.loc[best(study, choice)]
    names = [row[name] for name in ("backbone", "strategy", "site")]
    curve = next((c for c in study.curves if [c.backbone, c.strategy, c.site] == names), None)
    if curve is None:
        return None
    images = 2 * float(curve.images[-1])
    value, low, high = curve.at(images)
    text = (
        f"With {count(images)} training images, twice as many, the fitted curve of {_name(study, best(study, choice))} "
        f"expects {study.measure.label} {number(value)} [{span(low, high)}], after {number(row['value'])} now."
    )
    numbers: Numbers = {"train_images": images, "expected": value, "expected_low": low, "expected_high": high}
    numbers["value"] = float(row["value"])
    return Advice("More training images", text, numbers, (_table(study), FOLDER + "tables/learning_curves.csv"))


def missing(study: Study) -> Advice | None:
    if not study.missing:
        return None
    models = len(study.missing) + len(study.ranked)
    text = f"{len(study.missing)} of {models} models are missing. The answer is about the others alone."
    return Advice("Missing models", text, {"missing": len(study.missing), "models": models}, (BOARD,))


def shortcut(study: Study) -> Advice | None:
    flags = [meter for meter in study.data.shortcuts["meters"] if meter["flag"]]
    if not flags:
        return None
    highest = max(flags, key=lambda meter: float(meter["auroc"]))
    text = (
        f"The label can be told from the {highest['title'].lower()} (AUROC {number(highest['auroc'])}). If the models "
        "learned that, none of this advice holds for images from elsewhere: test on such images first."
    )
    numbers: Numbers = {name: highest[name] for name in ("auroc", "low", "high")}
    return Advice("A possible shortcut", text, numbers, ("reports/validate/shortcuts/shortcuts.json",))


def one_class(study: Study, choice: Choice) -> Advice | None:
    row = study.cells.table.loc[best(study, choice)]
    keys = [f"{row['backbone']}-{row['strategy']}-{name}" for name in row["samples"].split()]
    models = study.models.set_index("key").loc[keys]
    marked = models[models["one_class"].notna()]
    if marked.empty:
        return None
    predict = f"predict{'s' * (len(marked) == 1)} one class for nearly all test images"
    text = (
        f"{_count(len(marked), 'model')} of {_name(study, best(study, choice))} {predict}. Such a model can rank "
        "images; its predictions cannot be used as they are."
    )
    return Advice("One class", text, {"models": len(marked)}, (BOARD,))


def calibration(study: Study, choice: Choice) -> Advice | None:
    """Whether a probability can be taken at its word: of the first repeat of the best."""
    row = study.cells.table.loc[best(study, choice)]
    key = f"{row['backbone']}-{row['strategy']}-{row['samples'].split()[0]}"
    section = study.by_key[key].metrics.get("calibration")
    if not section:
        return None
    before, after = (section[state]["ece"] for state in ("before", "after"))
    if before["value"] is None or after["value"] is None:
        return None
    errors = [f"{number(ece['value'])} [{span(ece['low'], ece['high'])}]" for ece in (before, after)]
    text = (
        f"The probabilities of {key} are off by {errors[0]} on average (expected calibration error), and by "
        f"{errors[1]} once calibrated on the validation images. A perfect model with as many images has "
        f"{number(section['expected_ece'])}."
    )
    numbers: Numbers = {"ece": before["value"], "ece_calibrated": after["value"]}
    return Advice("Its probabilities", text, numbers, (f"reports/evaluate/{key}/metrics.json",))


def _table(study: Study) -> str:
    return REPEATS if study.repeated else BOARD


def _name(study: Study, cell: int) -> str:
    row, table = study.cells.table.loc[cell], study.cells.table
    if table["backbone"].nunique() == 1:
        return str(row["strategy"])
    return f"{row['strategy']} of {row['backbone']}" if table["strategy"].nunique() > 1 else str(row["backbone"])


def _value(study: Study, cell: int) -> str:
    row = study.cells.table.loc[cell]
    return f"{number(row['value'])} [{span(row['value_low'], row['value_high'])}]"


def _numbers(study: Study, cell: int) -> Numbers:
    row = study.cells.table.loc[cell]
    names: Numbers = {name: str(row[name]) for name in ("backbone", "strategy", "sample")}
    return names | {name: float(row[name]) for name in ("value", "value_low", "value_high", "val_value", "seconds")}


def _units(study: Study) -> str:
    """What the draws take whole: images that share a duplicate count once."""
    return "different test images" if study.data.validation.get("patients_known") is False else "test patients"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
