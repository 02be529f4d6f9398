"""Memories against scikit-learn, and against what their papers say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

from stages.shared.core.errors import UserError
from stages.shared.model.backbones.small_cnn import small_cnn
from stages.shared.model.detectors import maps, scores
from stages.shared.model.memories.coreset import coreset
from stages.shared.model.memories.gaussian import MahalanobisMemory, Moments, PositionMemory
from stages.shared.model.memories.make import make_memory
from stages.shared.model.memories.memory import layers_of
from stages.shared.model.memories.neighbours import KnnMemory, PatchMemory, nearest
from stages.shared.model.memories.settings import Padim, PatchKnn


def random_maps(images, channels=6, cells=4, seed=0):
    return torch.randn(images, channels, cells, cells, generator=torch.Generator().manual_seed(seed)) + 3


def fitted(memory, *parts, seed=0):
    memory.begin(sum(len(part) for part in parts), seed)
    for part in parts:
        memory.add([part])
    memory.finish()
    return memory


def features(part):
    return part.mean(dim=(2, 3)).numpy()


def test_the_nearest_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    points, bank = rng.normal(size=(50, 7)).astype(np.float32), rng.normal(size=(300, 7)).astype(np.float32)
    expected, where = NearestNeighbors(n_neighbors=4).fit(bank).kneighbors(points)
    distances, indices = nearest(torch.from_numpy(points), torch.from_numpy(bank), 4)
    np.testing.assert_allclose(distances, expected, rtol=1e-4)
    np.testing.assert_array_equal(indices, where)


def test_knn_scores_are_the_mean_distance_from_the_nearest_normal_images():
    normal, others = random_maps(30), random_maps(8, seed=1)
    memory = fitted(KnnMemory(6, neighbours=3), normal[:20], normal[20:])
    expected = NearestNeighbors(n_neighbors=3).fit(features(normal)).kneighbors(features(others))[0].mean(axis=1)
    np.testing.assert_allclose(scores(memory([others])), expected, rtol=1e-4)


def test_mahalanobis_scores_are_those_of_scikit_learn():
    normal, others = random_maps(9), random_maps(8, seed=1)  # hardly more images than features: the covariance shrinks
    memory = fitted(MahalanobisMemory(6), normal[:5], normal[5:])
    expected = LedoitWolf().fit(features(normal).astype(np.float64)).mahalanobis(features(others)) ** 0.5
    np.testing.assert_allclose(scores(memory([others])), expected, rtol=1e-3)


@pytest.mark.parametrize(("images", "numbers"), [(5, 20), (200, 8), (3, 2)])
def test_the_covariance_of_every_position_is_that_of_ledoit_and_wolf(images, numbers):
    points = np.random.default_rng(0).normal(50, 2, (images, 3, numbers)) * np.arange(1, numbers + 1)
    moments = Moments()
    for part in np.array_split(points, 2):
        moments.add(torch.from_numpy(part))
    for position in range(3):
        expected = LedoitWolf().fit(points[:, position])
        np.testing.assert_allclose(moments.covariance()[position], expected.covariance_, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(moments.mean()[position], expected.location_, rtol=1e-9)


def test_padim_takes_the_worst_position():
    normal, others = random_maps(40), random_maps(5, seed=1)
    memory = fitted(PositionMemory(6, kept=4), normal)
    kept = memory.channels.numpy()
    assert len(set(kept)) == 4
    expected = np.stack(
        [
            LedoitWolf().fit(normal[:, kept, y, x].numpy()).mahalanobis(others[:, kept, y, x].numpy()) ** 0.5
            for y in range(4)
            for x in range(4)
        ],
        axis=1,
    )
    outputs = memory([others])
    np.testing.assert_allclose(outputs[:, 1].flatten(1), expected, rtol=1e-3)
    np.testing.assert_allclose(scores(outputs), expected.max(axis=1), rtol=1e-3)


@pytest.mark.parametrize("memory", [KnnMemory(6, 3), MahalanobisMemory(6)])
def test_the_map_of_an_image_memory_adds_up_to_its_score(memory):
    outputs = fitted(memory, random_maps(30))([random_maps(8, seed=1)])
    np.testing.assert_allclose(outputs[:, 1].mean(dim=(1, 2)), scores(outputs), rtol=1e-4)


def test_patches_that_were_seen_are_not_anomalous_and_an_odd_one_is_found():
    normal = random_maps(10)
    memory = fitted(PatchMemory(6, neighbours=1, share=1.0, max_mb=1), normal)
    assert memory([normal])[:, 1].max() < 0.01
    odd = normal[:1].clone()
    odd[0, :, 2, 3] += 100
    outputs = memory([odd])
    assert (outputs[0, 1] > 1).nonzero().tolist() == [[y, x] for y in (1, 2, 3) for x in (2, 3)]  # it and around it
    assert scores(outputs) == outputs[0, 1].max()


def test_an_image_is_weighed_by_the_neighbourhood_of_its_worst_patch():
    """Equation 7 of Roth et al. 2022, by hand."""
    memory = fitted(PatchMemory(6, neighbours=5, share=1.0, max_mb=1), random_maps(10))
    other = random_maps(1, seed=1)
    bank, patches = memory.bank.numpy(), memory.patches([other])[0].flatten(1).T.numpy()
    apart = np.linalg.norm(patches[:, None] - bank[None], axis=2)
    worst = apart.min(axis=1).argmax()
    own = apart[worst].argmin()
    around = np.argsort(np.linalg.norm(bank - bank[own], axis=1))[:5]
    weight = 1 - np.exp(apart[worst, own]) / np.exp(apart[worst, around]).sum()
    assert float(scores(memory([other]))) == pytest.approx(weight * apart[worst, own], rel=1e-3)


def test_the_coreset_is_greedy_and_the_same_for_the_same_seed():
    points = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    chosen = coreset(points, 12, torch.Generator().manual_seed(3))
    assert torch.equal(chosen, coreset(points, 12, torch.Generator().manual_seed(3)))
    assert len(set(chosen.tolist())) == 12
    for i in range(1, 12):  # each is the point furthest from those before it
        apart = torch.cdist(points, points[chosen[:i]]).amin(dim=1)
        assert float(apart[chosen[i]]) == pytest.approx(float(apart.max()), rel=1e-5)


def test_a_coreset_of_all_points_takes_each_once_even_where_they_are_equal():
    assert sorted(coreset(torch.ones(6, 2), 6, torch.Generator()).tolist()) == list(range(6))


def test_patches_stay_within_the_cap():
    normal = random_maps(20)  # 20 images × 16 cells × 6 numbers × 4 bytes
    memory = PatchMemory(6, neighbours=1, share=0.1, max_mb=20 * 5 * 6 * 4 / 1e6)
    memory.begin(20, seed=0)
    memory.add([normal])
    assert sum(part.numel() for part in memory._parts) == 20 * 5 * 6
    memory.finish()
    assert memory.bank.shape == (32, 6)


@pytest.mark.parametrize(
    ("max_mb", "share", "message"),
    [
        (0.0001, 0.1, r"a patch of each of 20 images, 6 numbers of 4 bytes, takes 0.01 MB"),
        (0.0025, 0.9, r"coreset: 0.9 of 320 patches is 288, and only 100 fit. Raise max_mb to 0.01, .* to 0.3125"),
    ],
)
def test_a_cap_that_is_too_small_says_what_would_do(max_mb, share, message):
    memory = PatchMemory(6, neighbours=1, share=share, max_mb=max_mb)
    memory.begin(20, seed=0)
    with pytest.raises(UserError, match=message):
        memory.add([random_maps(20)])


def test_too_few_images_for_the_neighbours_or_a_covariance_are_refused():
    with pytest.raises(UserError, match="neighbours: 5 .* only 3 normal images"):
        KnnMemory(6, 5).begin(3, seed=0)
    with pytest.raises(UserError, match="1 normal image trains"):
        MahalanobisMemory(6).begin(1, seed=0)


def test_a_new_memory_takes_the_shapes_that_are_loaded_into_it():
    memory, others = fitted(PositionMemory(6, kept=4), random_maps(40)), random_maps(5, seed=1)
    new = PositionMemory(6, kept=4)
    new.load_state_dict(memory.state_dict())
    assert torch.equal(new([others]), memory([others]))


def test_the_maps_that_are_read_are_those_of_8_and_16_pixels_or_those_that_are_named():
    backbone = small_cnn()
    assert [layer.stride for layer in layers_of(backbone, None, "padim")] == [8, 16]
    memory, layers = make_memory(Padim(plan="padim", blocks=["block1"], channels=500), backbone)
    assert [layer.module for layer in layers] == [backbone.map_layers["block1"].module]
    assert memory.mean.shape == (1, 32)  # of all its channels
    with pytest.raises(UserError, match=r"blocks \(plan: patch_knn\): 'block9' is not known.*block1"):
        make_memory(PatchKnn(plan="patch_knn", blocks=["block9"]), backbone)


def test_the_features_of_an_image_are_those_of_the_backbone():
    """The mean of the last map, where the network averages it too."""
    backbone = small_cnn().eval()
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(backbone.maps(images)[-1].mean(dim=(2, 3)), backbone(images))


def test_a_map_is_smoothed_and_keeps_its_level():
    outputs = torch.full((1, 2, 8, 8), 3.0)
    torch.testing.assert_close(maps(outputs, (64, 48)), torch.full((1, 64, 48), 3.0))
    outputs[0, 1, 2, 5] = 9.0
    drawn = maps(outputs, (64, 64))[0]
    assert divmod(int(drawn.argmax()), 64) == pytest.approx((8 * 2.5, 8 * 5.5), abs=2)
