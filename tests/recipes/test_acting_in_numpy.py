"""Recipes that act in NumPy choose what their Keras network would choose."""

from importlib import import_module

import numpy as np
import pytest

SIZES = {
    **dict.fromkeys(["dqn", "double_dqn", "dueling_dqn", "prioritized_dqn", "pqn"], (4, 3, 16)),
    "c51": (4, 3, 16, np.linspace(-1, 3, 5, dtype=np.float32)),
    "qr_dqn": (4, 3, 16, 7),
}


@pytest.mark.parametrize("name", SIZES)
def test_the_action_is_the_one_with_the_highest_q_of_the_network(name):
    recipe, rng = import_module(f"recipes.{name}_cartpole"), np.random.default_rng(0)
    model = recipe.build_q_network(*SIZES[name])
    model.set_weights([w + rng.normal(scale=0.1, size=w.shape) for w in model.get_weights()])  # biases are 0 at first
    obs = rng.normal(size=(500, 4)).astype(np.float32)
    outputs = model(obs)
    q = np.array(outputs[0] if isinstance(outputs, list) else outputs)  # [500, 3]
    action = recipe.act(model.get_weights(), obs)
    assert action.shape == (500,) and len(set(action)) > 1  # not one for all
    np.testing.assert_allclose(np.take_along_axis(q, action[:, None], axis=1)[:, 0], q.max(axis=1), atol=1e-5)
