"""What the pictures of the return's distribution are drawn from."""

import sys
from pathlib import Path

import numpy as np
import pytest

from common.cli import UsageError
from recipes import c51_cartpole, dqn_cartpole, qr_dqn_cartpole

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))
import return_distribution  # noqa: E402

EDGES = np.arange(-0.5, 5)  # around 0 to 4
OBS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def test_returns_to_go_by_hand():
    # 3; 2 + 0.5·3; 1 + 0.5·3.5. Where the game goes on and is worth 4: 3 + 0.5·4 = 5, 4.5, 3.25.
    np.testing.assert_allclose(return_distribution.returns_to_go([1.0, 2.0, 3.0], 0.5), [2.75, 3.5, 3.0])
    np.testing.assert_allclose(return_distribution.returns_to_go([1.0, 2.0, 3.0], 0.5, 4.0), [3.25, 4.5, 5.0])


def test_the_atoms_are_put_where_they_belong():
    model = c51_cartpole.build_q_network(4, 2, 8, np.arange(5, dtype=np.float32))
    share, q = return_distribution.distribution(model, OBS, EDGES)
    np.testing.assert_allclose(share.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(share @ np.arange(5), q, atol=1e-5)  # the mean of the distribution of the best action
    np.testing.assert_allclose(q, np.max(model(OBS)[0], axis=1), atol=1e-6)


def test_the_quantiles_are_counted():
    model = qr_dqn_cartpole.build_q_network(4, 3, 8, 4)
    (last,) = (layer for layer in model.layers if layer.name.startswith("dense") and layer.units == 12)
    last.set_weights([np.zeros((8, 12)), np.array([*[0] * 8, 0.2, 3.1, 2.9, 9.0])])  # action 2 is the best
    share, q = return_distribution.distribution(model, OBS, EDGES)
    np.testing.assert_allclose(share, np.tile([0.25, 0, 0, 0.5, 0.25], (6, 1)))  # 9 counts as the outermost
    np.testing.assert_allclose(q, 3.8, atol=1e-6)


def test_a_network_without_a_distribution_is_refused():
    with pytest.raises(UsageError, match="no distribution"):
        return_distribution.kind(dqn_cartpole.build_q_network(4, 2, 8))
