from __future__ import annotations

import numpy as np
import pytest

from edgesim.core.errors import EdgesimError
from edgesim.learning.data import Dataset, Samples, _photographs, digits, photo_patches, synthetic


def test_digits_are_all_there_a_fifth_of_each_to_test_with() -> None:
    found = digits()
    assert found.shape == (1, 8, 8)
    assert len(found.train) + len(found.test) == 1797
    shares = np.bincount(found.test.labels) / np.bincount(
        np.concatenate([found.train.labels, found.test.labels])
    )
    assert shares == pytest.approx(np.full(10, 0.2), abs=0.01)
    assert found.train.inputs.min() == 0
    assert found.train.inputs.max() == 1


def test_a_digest_tells_different_data_apart() -> None:
    assert digits(1).digest == digits(1).digest
    assert len({digits(1).digest, digits(2).digest, synthetic(clients=3).digest}) == 3


def test_synthetic_clients_do_not_depend_on_how_many_there_are() -> None:
    few, many = synthetic(clients=3, seed=1), synthetic(clients=9, seed=1)
    for source in range(3):
        rows = [each.train.sources == source for each in (few, many)]
        assert (few.train.inputs[rows[0]] == many.train.inputs[rows[1]]).all()
        assert (few.train.labels[rows[0]] == many.train.labels[rows[1]]).all()


def test_synthetic_inputs_vary_as_the_paper_says() -> None:
    found = synthetic(0, 0, 1, seed=3, samples=(9.0, 0.0, 0)).train.inputs
    deviations = found.std(axis=0)
    assert deviations == pytest.approx(np.arange(1, 61) ** -0.6, rel=0.05)


def test_alpha_makes_models_differ_and_beta_inputs() -> None:
    def spread(alpha: float, beta: float) -> float:
        found = synthetic(alpha, beta, 100, seed=1)
        means = [found.train.inputs[found.train.sources == client].mean() for client in range(100)]
        return float(np.std(means))

    assert spread(0, 3) > 5 * spread(0, 0)
    assert spread(3, 0) == pytest.approx(spread(0, 0))


def test_patches_to_train_and_to_test_with_share_no_pixel() -> None:
    # Every pixel is marked by where it is, so that a patch tells which pixels it has.
    import edgesim.learning.data as module

    real = _photographs()
    marked = {}
    for number, (name, picture) in enumerate(real.items()):
        height, width = picture.shape[:2]
        marks = np.arange(height * width).reshape(height, width)
        marked[name] = np.stack([marks // 65536, marks // 256 % 256, marks % 256], axis=2).astype(
            np.uint8
        )
        assert number < 256
    original = module._photographs
    module._photographs = lambda: marked
    try:
        found = photo_patches(60, 30, seed=2)
    finally:
        module._photographs = original
    for label in range(len(found.classes)):
        pixels = []
        for samples in (found.train, found.test):
            rows = np.round(samples.inputs[samples.labels == label] * 255).astype(np.int64)
            pixels.append(
                set((rows[:, 0] * 65536 + rows[:, 1] * 256 + rows[:, 2]).ravel().tolist())
            )
        assert pixels[0]
        assert pixels[1]
        assert not pixels[0] & pixels[1]


def test_photo_patches_have_ten_classes() -> None:
    found = photo_patches(20, 5)
    assert found.shape == (3, 32, 32)
    assert len(found.classes) == 10
    assert np.bincount(found.train.labels).tolist() == [20] * 10
    assert np.bincount(found.test.labels).tolist() == [5] * 10
    assert 0 <= found.train.inputs.min() < found.train.inputs.max() <= 1


def test_what_does_not_belong_together_is_refused() -> None:
    one = Samples(np.zeros((3, 2), np.float32), np.array([0, 1, 2]))
    with pytest.raises(ValueError, match="3 inputs"):
        Samples(np.zeros((3, 2), np.float32), np.array([0, 1]))
    with pytest.raises(EdgesimError, match="has 2 classes, but its train labels go from 0 to 2"):
        Dataset("mine", one, one, ("a", "b"))
    other = Samples(np.zeros((3, 4), np.float32), np.array([0, 1, 2]))
    with pytest.raises(EdgesimError, match=r"shape \(2,\) to train, but \(4,\) to test"):
        Dataset("mine", one, other, ("a", "b", "c"))
    with pytest.raises(EdgesimError, match="no samples to test"):
        Dataset("mine", one, one.take(np.empty(0, np.int64)), ("a", "b", "c"))
