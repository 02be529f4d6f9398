from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from stages.shared.tasks.classification import LOSSES, losses, make_loss, watch
from stages.train.params.recipe import CostSensitive, CrossEntropy, Focal
from stages.train.params.recipe import Loss as Settings


def batch(classes, size=40, spread=3.0):
    generator = torch.Generator().manual_seed(classes)
    logits = spread * torch.randn(size, classes, generator=generator)
    targets = torch.rand(size, classes, generator=generator)
    weights = torch.rand(classes, generator=generator) + 0.5
    return logits, targets / targets.sum(dim=1, keepdim=True), weights


def one_hot(logits):
    return F.one_hot(torch.arange(len(logits)) % logits.shape[1], logits.shape[1]).float()


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
def test_cross_entropy_and_focal_at_gamma_0_are_torchs_cross_entropy(classes, smoothing, name):
    logits, targets, weights = batch(classes)
    kinds = {
        "cross_entropy": CrossEntropy(label_smoothing=smoothing),
        "focal": Focal(gamma=0, label_smoothing=smoothing),
    }
    found = make_loss(kinds[name], weights)(logits, targets)
    assert found.shape == (40,)
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found, F.cross_entropy(logits, targets, weights, label_smoothing=smoothing, reduction="none")
    )
    assert found.mean() == pytest.approx(F.cross_entropy(logits, targets, weights, label_smoothing=smoothing).item())


def test_smoothed_and_weighted_hard_targets_follow_torchs_convention():
    logits, _, weights = batch(3)
    found = make_loss(CrossEntropy(label_smoothing=0.2), weights)(logits, one_hot(logits))
    labels = one_hot(logits).argmax(dim=1)
    torch.testing.assert_close(found, F.cross_entropy(logits, labels, weights, label_smoothing=0.2, reduction="none"))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal_of_two_classes_is_torchvisions_on_the_difference_of_the_logits(gamma):
    logits, _, _ = batch(2)
    targets = one_hot(logits)
    difference = logits[:, 1] - logits[:, 0]
    found = make_loss(Focal(gamma=gamma), torch.ones(2))(logits, targets)
    torch.testing.assert_close(found, sigmoid_focal_loss(difference, targets[:, 1], alpha=-1, gamma=gamma))
    weighted = make_loss(Focal(gamma=gamma), torch.tensor([0.75, 0.25]))(logits, targets)
    torch.testing.assert_close(weighted, sigmoid_focal_loss(difference, targets[:, 1], alpha=0.25, gamma=gamma))


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_of_many_classes_is_its_formula_and_so_is_its_gradient(gamma):
    logits, targets, weights = batch(4)
    logp = log_softmax(logits.double().numpy(), axis=1)
    smooth = 0.9 * targets.numpy() + 0.1 / 4
    expected = (weights.numpy() * smooth * (1 - np.exp(logp)) ** gamma * -logp).sum(axis=1)
    loss = make_loss(Focal(gamma=gamma, label_smoothing=0.1), weights)
    logits.requires_grad_(True)
    found = loss(logits, targets)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4, atol=1e-6)

    found.sum().backward()
    exact = logits.detach().double().requires_grad_(True)
    p = exact.softmax(dim=1)
    (weights * torch.from_numpy(smooth) * (1 - p) ** gamma * -p.log()).sum().backward()
    torch.testing.assert_close(logits.grad, exact.grad.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", [CrossEntropy(), Focal(gamma=0), Focal(gamma=0.5), Focal(), CostSensitive()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_huge_logits_leave_loss_and_gradient_finite(settings, dtype):
    logits = torch.tensor([[1e4, -1e4, 0], [-1e4, 1e4, 0], [0, 0, 0], [60, 0, 0]], dtype=dtype, requires_grad=True)
    found = make_loss(settings, torch.ones(3))(logits, torch.eye(3)[[0, 0, 1, 0]])
    found.sum().backward()
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()
    assert torch.isfinite(logits.grad).all()
    assert found[0] == 0
    assert found[1].item() == pytest.approx(2e4, rel=0.01)  # wrong, and sure of it: nothing is taken off


def test_the_cheapest_decision_is_the_likeliest_class_under_the_cost():
    """Planted: 19 kinds of image, each ill with a known probability. Fitted without bounds, the loss has to give the
    tilted probabilities, and the threshold of Bayes' rule."""
    ill = torch.linspace(0.05, 0.95, 19)
    cost = 4.5  # threshold 1 / 5.5 = 0.18…, between two of the kinds
    logits = torch.zeros(19, 2, requires_grad=True)
    loss = make_loss(CostSensitive(miss_cost=cost), torch.ones(2))
    optimizer = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-8)

    def closure():
        optimizer.zero_grad()
        total = loss(logits, torch.stack([1 - ill, ill], dim=1)).sum()
        total.backward()
        return total

    optimizer.step(closure)
    fitted = logits.detach().softmax(dim=1)[:, 1]
    torch.testing.assert_close(fitted, cost * ill / (cost * ill + 1 - ill), rtol=1e-3, atol=1e-3)
    cheapest = cost * ill > 1 - ill  # expected cost of calling it healthy > of calling it ill
    assert torch.equal(logits.detach().argmax(dim=1) == 1, cheapest)
    assert torch.equal(cheapest, ill > 1 / (1 + cost))


def test_cost_sensitive_fits_what_scikit_learn_fits_under_the_same_weights():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 2)), rng.integers(0, 3, 200)
    x[np.arange(200), y % 2] += 0.7 * y
    reference = LogisticRegression(C=np.inf, class_weight={0: 1, 1: 3, 2: 3}, tol=1e-8, max_iter=1000).fit(x, y)

    model = torch.nn.Linear(2, 3)
    loss = make_loss(CostSensitive(miss_cost=3), torch.ones(3))
    features, targets = torch.tensor(x, dtype=torch.float32), F.one_hot(torch.tensor(y), 3).float()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        total = loss(model(features), targets).mean()
        total.backward()
        return total

    optimizer.step(closure)
    found = model(features).detach().softmax(dim=1).numpy()
    np.testing.assert_allclose(found, reference.predict_proba(x), atol=2e-3)


def test_a_loss_adds_nothing_to_a_checkpoint():
    assert make_loss(Focal(), torch.ones(2)).state_dict() == {}


def test_every_loss_of_the_settings_is_known_and_takes_classes_or_soft_targets():
    names = {kind.model_fields["name"].default: kind for kind in get_args(get_args(Settings)[0])}
    assert set(names) >= set(LOSSES)
    logits, _, weights = batch(3)
    classes = torch.arange(len(logits)) % 3
    for name in LOSSES:
        loss = make_loss(names[name](), weights)
        torch.testing.assert_close(loss(logits, classes), loss(logits, loss.soft(classes)))


def test_balanced_weights_are_those_of_the_targets_given():
    arrays, rows = SimpleNamespace(targets=np.array([0, 0, 0, 1, 1, 1]), classes=["healthy", "ill"]), np.arange(4)
    assert losses(CrossEntropy(), "balanced", arrays, rows).class_weights.tolist() == pytest.approx([4 / 6, 2])
    assert losses(CrossEntropy(), "none", arrays, rows).class_weights.tolist() == [1, 1]


def test_what_is_watched_comes_from_the_logits_and_is_better_when_higher():
    logits, _, _ = batch(2)
    targets = torch.arange(len(logits)) % 2
    metrics = watch(2)
    metrics.update(logits[:25], targets[:25])
    metrics.update(logits[25:], targets[25:])
    assert metrics["val_auroc"].compute() == pytest.approx(roc_auc_score(targets, logits[:, 1] - logits[:, 0]))
    assert metrics["val_accuracy"].compute() == pytest.approx(float((logits.argmax(dim=1) == targets).float().mean()))
    assert all(metric.higher_is_better for metric in metrics.values())
