import numpy as np
import pytest
import torch
from scipy import stats

from stages.train.params.recipe import Mix
from stages.train.recipe.mixing import mix

B, K, SIDE = 5, 3, 12


def batch():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(B, 2, SIDE, SIDE, generator=generator)
    targets = torch.softmax(torch.randn(B, K, generator=generator), dim=1)
    return images, targets


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def share_of(soft, targets):
    """The share of the image itself, solved for from one mixed target."""
    return ((soft[0, 0] - targets[-1, 0]) / (targets[0, 0] - targets[-1, 0])).item()


@pytest.mark.parametrize("seed", range(5))
def test_mixup_blends_each_image_and_target_with_its_neighbours(seed):
    images, targets = batch()
    mixed, soft = mix(images, targets, Mix(name="mixup", alpha=1.0), seeded(seed))
    share = share_of(soft, targets)
    assert 0 < share < 1
    for i in range(B):
        np.testing.assert_allclose(mixed[i], share * images[i] + (1 - share) * images[i - 1], atol=1e-5)
        np.testing.assert_allclose(soft[i], share * targets[i] + (1 - share) * targets[i - 1], atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_cutmix_takes_one_rectangle_and_its_share_of_the_target(seed):
    images, targets = batch()
    mixed, soft = mix(images, targets, Mix(name="cutmix", alpha=1.0), seeded(seed))
    foreign = (mixed[0] != images[0]).all(dim=0)
    rows, columns = foreign.any(dim=1).nonzero().flatten(), foreign.any(dim=0).nonzero().flatten()
    assert foreign.sum() == len(rows) * len(columns)  # a filled rectangle
    share = 1 - foreign.float().mean().item()
    for i in range(B):
        for y in range(SIDE):
            for x in range(SIDE):
                source = images[i - 1] if foreign[y, x] else images[i]
                assert torch.equal(mixed[i, :, y, x], source[:, y, x])
        np.testing.assert_allclose(soft[i], share * targets[i] + (1 - share) * targets[i - 1], atol=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_shares_come_from_the_beta_distribution(alpha):
    images, targets = torch.zeros(2, 1, 2, 2), torch.eye(2)
    generator = seeded(0)
    settings = Mix(name="mixup", alpha=alpha)
    shares = [mix(images, targets, settings, generator)[1][0, 0].item() for _ in range(400)]
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 0.01


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_the_generator_alone_decides_and_nothing_else_notices(name):
    images, targets = batch()
    kept = images.clone(), targets.clone()
    state = torch.get_rng_state()
    settings, generator = Mix(name=name, alpha=1.0), seeded(1)
    first, second = (mix(images, targets, settings, generator) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    again = mix(images, targets, settings, seeded(1))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], second[0])
    assert torch.equal(images, kept[0])
    assert torch.equal(targets, kept[1])


def test_targets_stay_distributions():
    images, targets = batch()
    for name in ("mixup", "cutmix"):
        _, soft = mix(images, targets, Mix(name=name), seeded(3))
        torch.testing.assert_close(soft.sum(dim=1), torch.ones(B))


def test_bytes_are_refused():
    with pytest.raises(TypeError, match="float images"):
        mix(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.eye(2), Mix(name="mixup"), seeded(0))
