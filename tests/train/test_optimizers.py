from functools import partial

import pytest
import torch
from torch import nn

from stages.shared.core.errors import UserError
from stages.shared.core.settings import Settings, parse
from stages.train.params.recipe import (
    Adam,
    Constant,
    Cosine,
    CrossEntropy,
    Focal,
    Loss,
    Optimizer,
    RmsProp,
    Schedule,
    Sgd,
)
from stages.train.recipe.optimizers import make_optimizer

LR, DECAY = 0.1, 0.3


def one_step(settings, gradients=(0.5, -2.0)):
    """A filter of value 1 after a step for each gradient."""
    weight = nn.Parameter(torch.ones(1, 1, dtype=torch.float64))
    optimizer = make_optimizer(settings, [{"params": [weight], "name": "head", "lr": LR}])
    for gradient in gradients:
        weight.grad = torch.full_like(weight, gradient)
        optimizer.step()
    return weight.item()


def adam(gradients, l2, shrink, beta1=0.9, beta2=0.999):
    w, m, v = 1.0, 0.0, 0.0
    for t, gradient in enumerate(gradients, start=1):
        w *= 1 - LR * shrink
        g = gradient + l2 * w
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        w -= LR * (m / (1 - beta1**t)) / ((v / (1 - beta2**t)) ** 0.5 + 1e-8)
    return w


def sgd(gradients, momentum, nesterov=False):
    w, velocity = 1.0, 0.0
    for gradient in gradients:
        g = gradient + DECAY * w
        velocity = momentum * velocity + g
        w -= LR * (g + momentum * velocity if nesterov else velocity)
    return w


def rmsprop(gradients, alpha, momentum):
    w, square, velocity = 1.0, 0.0, 0.0
    for gradient in gradients:
        g = gradient + DECAY * w
        square = alpha * square + (1 - alpha) * g * g
        velocity = momentum * velocity + g / (square**0.5 + 1e-8)
        w -= LR * velocity
    return w


G = (0.5, -2.0)
BY_HAND = [
    (Adam(weight_decay=DECAY), adam(G, l2=DECAY, shrink=0)),
    (Adam(weight_decay=DECAY, betas=(0.5, 0.9)), adam(G, DECAY, 0, 0.5, 0.9)),
    (Adam(name="adamw", weight_decay=DECAY), adam(G, l2=0, shrink=DECAY)),
    (Sgd(weight_decay=DECAY), sgd(G, momentum=0.9)),
    (Sgd(weight_decay=DECAY, momentum=0), sgd(G, momentum=0)),
    (Sgd(weight_decay=DECAY, momentum=0.8, nesterov=True), sgd(G, momentum=0.8, nesterov=True)),
    (RmsProp(weight_decay=DECAY), rmsprop(G, alpha=0.99, momentum=0)),
    (RmsProp(weight_decay=DECAY, alpha=0.9, momentum=0.5), rmsprop(G, 0.9, 0.5)),
]


@pytest.mark.parametrize(("settings", "expected"), BY_HAND, ids=[repr(s) for s, _ in BY_HAND])
def test_two_steps_are_the_formulas_of_the_papers(settings, expected):
    assert one_step(settings, G) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", [Adam, partial(Adam, name="adamw"), Sgd, RmsProp])
def test_weight_decay_shrinks_weights_and_no_norm_or_bias(kind):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.LayerNorm(12), nn.Linear(12, 2))
    for parameter in model.parameters():
        nn.init.uniform_(parameter, 0.5, 1.0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = make_optimizer(
        kind(weight_decay=DECAY), [{"params": model.parameters(), "name": "everything", "lr": 0.01}]
    )
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    shrunk = {name for name, p in model.named_parameters() if (p < before[name]).all()}
    same = {name for name, p in model.named_parameters() if torch.equal(p, before[name])}
    assert shrunk == {"0.weight", "4.weight"}
    assert same == before.keys() - shrunk


def test_every_parameter_is_in_a_group_with_its_name_and_rate():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    given = [
        {"params": list(model[:2].parameters()), "name": "stem", "lr": 0.5},
        {"params": list(model[2].parameters()), "name": "head", "lr": 0.25},
        {"params": [], "name": "pool", "lr": 1.0},
    ]
    optimizer = make_optimizer(Adam(name="adamw", weight_decay=DECAY), given)
    found = [(g["name"], g["lr"], g["weight_decay"], len(g["params"])) for g in optimizer.param_groups]
    assert found == [("stem", 0.5, DECAY, 1), ("stem", 0.5, 0, 3), ("head", 0.25, DECAY, 1), ("head", 0.25, 0, 1)]
    assert len(given[0]["params"]) == 4


class Recipe(Settings):
    optimizer: Optimizer = Adam()
    schedule: Schedule = Constant()
    loss: Loss = CrossEntropy()


def test_settings_without_a_name_and_names_without_settings_are_understood():
    found = Recipe.model_validate({"optimizer": {"lr": 0.01}, "schedule": "cosine", "loss": "focal"})
    assert found == Recipe(optimizer=Adam(lr=0.01), schedule=Cosine(), loss=Focal())
    assert Recipe.model_validate(found.model_dump(mode="json")) == found


WRONG = [
    (
        {"optimizer": {"name": "sgd", "momentun": 1}},
        r"train\.optimizer\.momentun: unknown key\. Did you mean 'momentum'\? Valid keys: name, lr, weight_decay, momentum, nesterov\.$",
    ),
    (
        {"optimizer": {"momentum": 0.9}},
        r"train\.optimizer\.momentum: unknown key\. Valid keys: name, lr, weight_decay, betas\.$",
    ),
    (
        {"optimizer": {"name": "addam"}},
        r"train\.optimizer\.name: 'addam' is not known\. Did you mean 'adam'\? Valid: adam, adamw, rmsprop, sgd\.$",
    ),
    ({"optimizer": {"name": "sgd", "lr": -1}}, r"train\.optimizer\.lr: .*greater than 0; found -1"),
    ({"optimizer": {"betas": [0.9, 1]}}, r"train\.optimizer\.betas\.1: .*less than 1; found 1"),
    ({"optimizer": {"name": "sgd", "nesterov": True, "momentum": 0}}, r"train\.optimizer: nesterov needs a momentum"),
    ({"schedule": {"name": "step", "every": 0}}, r"train\.schedule\.every: .*greater than or equal to 1; found 0"),
    (
        {"schedule": "cosin"},
        r"train\.schedule\.name: 'cosin' is not known\. Did you mean 'cosine'\? Valid: constant, cosine, one_cycle, plateau, step\.$",
    ),
    (
        {"loss": {"name": "cost_sensitive", "gamma": 2}},
        r"train\.loss\.gamma: unknown key\. Valid keys: name, miss_cost\.$",
    ),
]


@pytest.mark.parametrize(("values", "message"), WRONG, ids=[str(v) for v, _ in WRONG])
def test_a_fault_in_one_of_a_union_is_told_for_that_one(values, message):
    with pytest.raises(UserError, match=r"^params\.yaml: " + message):
        parse(Recipe, values, "train")
