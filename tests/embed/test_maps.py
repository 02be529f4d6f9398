from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from stages.embed import Params, check_data
from stages.embed.maps import choose, maps
from stages.shared.core.errors import UserError


def clusters() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    of = np.arange(120) % 3
    return (rng.normal(size=(120, 20)) + 6 * np.eye(3, 20)[of]).astype(np.float32), of


def test_a_seed_gives_one_map_with_any_number_of_threads():
    features, _ = clusters()
    with threadpool_limits(1):
        one = maps(features, 10, 250, seed=3)
    two = maps(features, 10, 250, seed=3)
    assert (one.tsne == two.tsne).all()
    assert (one.pca == two.pca).all()


def test_images_that_are_alike_lie_together_on_both_maps():
    features, of = clusters()
    drawn = maps(features, 10, 300, seed=0)
    for points in (drawn.tsne, drawn.pca):
        distances = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(len(points))
        assert (of[distances.argmin(axis=1)] == of).mean() > 0.95
    reference = PCA(2).fit(features)
    assert drawn.explained == pytest.approx(reference.explained_variance_ratio_, rel=1e-4)


def test_features_with_one_axis_have_a_map():
    drawn = maps(np.arange(30, dtype=np.float32)[:, None], 5, 250, seed=0)
    assert drawn.tsne.shape == drawn.pca.shape == (30, 2)
    assert not drawn.pca[:, 1].any()


def test_test_and_validation_images_are_on_the_map_first():
    use = np.repeat(["train", "val", "test"], [80, 10, 10])
    rows = choose(use, 30, seed=0)
    assert np.unique(use[rows], return_counts=True)[1].tolist() == [10, 10, 10]
    assert len(choose(use, 500, seed=0)) == 100


@pytest.mark.parametrize(("images", "points", "most"), [(80, 2000, "26.3"), (5000, 50, "16.3")])
def test_a_perplexity_above_what_the_images_allow_is_refused(images, points, most):
    with pytest.raises(UserError, match=rf"^perplexity: 30: .* Give at most {most}"):
        check_data(Params(points=points, perplexity=30), range(images))
    check_data(Params(points=points), range(images))  # auto: as much as they allow
    check_data(Params(points=points, perplexity=float(most)), range(images))


def test_the_usual_perplexity_shrinks_where_images_are_few():
    perplexity = Params().perplexity_of
    assert perplexity(1000) == perplexity(91) == 30
    assert 29 < perplexity(90) < 30
    features, _ = clusters()
    assert np.isfinite(maps(features[:7], perplexity(7), 250, seed=0).tsne).all()


def test_so_few_images_have_no_map():
    with pytest.raises(UserError, match="needs more images"):
        check_data(Params(perplexity=1), range(3))
    with pytest.raises(UserError, match="^perplexity: auto: .*needs more images"):
        check_data(Params(), range(3))
