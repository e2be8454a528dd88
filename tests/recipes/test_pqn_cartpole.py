"""PQN: its returns by hand, probe worlds whose values are known, and what a game's end must stop."""

import numpy as np
import pytest

from common.lazy import keras, tf
from recipes import pqn_cartpole as recipe

# Enough to learn a probe world in a few seconds.
PROBE = {
    "num_envs": 4, "hidden_units": 16, "learning_rate": 0.01, "learning_rate_decay_steps": 4000,
    "epsilon_decay_steps": 500, "rollout_length": 16, "epochs": 4, "batch_size": 16, "q_lambda": 0.65,
    "eval_interval": 0, "eval_episodes": 20, "steps": 4000, "gamma": 0.9,
}  # fmt: skip
LONG = {**PROBE, "steps": 12_000, "learning_rate_decay_steps": 12_000}


def values(folder, obs):
    """q [B, A] of the network that a run saved."""
    return np.array(keras.models.load_model(folder / "model.keras")(np.array(obs, np.float32)))


def returns(reward, next_value, q_lambda, terminated=(), truncated=(), gamma=0.9):
    """The returns of one game, from lists; the steps at which a game ended are given by their numbers."""
    column = lambda x: tf.constant(np.array(x, np.float32)[:, None])  # noqa: E731
    steps = range(len(reward))
    ended = tf.constant([[t in terminated or t in truncated] for t in steps])
    discount = column([0.0 if t in terminated else gamma for t in steps])
    return recipe.lambda_returns(column(reward), discount, column(next_value), ended, q_lambda).numpy()[:, 0]


REWARD, NEXT_VALUE = [1.0, 0.0, 2.0], [0.5, 1.0, 4.0]


def test_returns_by_hand():
    # 2 + .9 * 4 = 5.6; 0 + .9 * (.5 * 1 + .5 * 5.6) = 2.97; 1 + .9 * (.5 * .5 + .5 * 2.97) = 2.5615
    np.testing.assert_allclose(returns(REWARD, NEXT_VALUE, 0.5), [2.5615, 2.97, 5.6], rtol=1e-6)


def test_lambda_0_is_the_target_of_one_step_and_lambda_1_the_discounted_sum():
    # 1 + .9 * .5, 0 + .9 * 1, 2 + .9 * 4
    np.testing.assert_allclose(returns(REWARD, NEXT_VALUE, 0.0), [1.45, 0.9, 5.6], rtol=1e-6)
    # 2 + .9 * 4 = 5.6; .9 * 5.6 = 5.04; 1 + .9 * 5.04 = 5.536
    np.testing.assert_allclose(returns(REWARD, NEXT_VALUE, 1.0), [5.536, 5.04, 5.6], rtol=1e-6)


def test_a_terminated_game_has_no_value_and_a_truncated_one_that_of_its_last_observation():
    # Step 1 ends the game: its return is 0, or 0 + .9 * 1 = .9, whatever the next row holds.
    # Step 0: 1 + .9 * (.5 * .5 + .5 * 0) = 1.225, or 1 + .9 * (.5 * .5 + .5 * .9) = 1.63
    np.testing.assert_allclose(returns(REWARD, NEXT_VALUE, 0.5, terminated=[1]), [1.225, 0.0, 5.6], rtol=1e-6)
    np.testing.assert_allclose(returns(REWARD, NEXT_VALUE, 0.5, truncated=[1]), [1.63, 0.9, 5.6], rtol=1e-6)
    for end in ("terminated", "truncated"):
        one, other = (returns([1.0, 0.0, r], [0.5, 1.0, v], 1.0, **{end: [1]}) for r, v in ((2.0, 4.0), (1e6, 1e6)))
        np.testing.assert_array_equal(one[:2], other[:2])


def test_games_side_by_side_do_not_mix():
    both = recipe.lambda_returns(
        tf.constant([[1.0, 0.0], [0.0, 0.0], [2.0, 0.0]]), tf.fill((3, 2), 0.9),
        tf.constant([[0.5, 0.0], [1.0, 0.0], [4.0, 1.0]]), tf.zeros((3, 2), tf.bool), 0.5,
    )  # fmt: skip
    # The second game: .9 * 1 = .9; .9 * .5 * .9 = .405; .9 * .5 * .405 = .18225
    np.testing.assert_allclose(both, [[2.5615, 0.18225], [2.97, 0.405], [5.6, 0.9]], rtol=1e-6)


def constant(q):
    """A network that gives the same q whatever it sees."""
    model = recipe.build_q_network(1, 2, 2)
    model.set_weights([np.zeros_like(w) for w in model.get_weights()[:-1]] + [np.array(q, np.float32)])
    return model


def batch(reward, action, terminated=(), resets=()):
    """A rollout of one game, [T, 1, ...]."""
    steps = range(len(reward))
    column = lambda x, kind: np.array(x, kind)[:, None]  # noqa: E731
    obs = np.zeros((len(reward), 1, 1), np.float32)
    return (
        obs, column(action, np.int64), column(reward, np.float32), obs,
        column([t in terminated for t in steps], bool), column([t in terminated for t in steps], bool),
        column([t not in resets for t in steps], bool),
    )  # fmt: skip


def test_one_update_by_hand():
    model = constant([1.0, 2.0])
    update = recipe.make_update(model, keras.optimizers.SGD(0.1), 0.9, 0.5)
    loss = float(update(*batch([1.0, 2.5], [0, 1], terminated=[1]), np.array([[0, 1]])))
    # Returns 2.5 and 1 + .9 * (.5 * 2 + .5 * 2.5) = 3.025; errors 2.025 and .5; squares 4.100625 and .25.
    assert loss == pytest.approx(2.1753125)
    # Slopes, of the mean: 2 * 2.025 / 2 and 2 * .5 / 2, uphill; the rate is .1.
    np.testing.assert_allclose(model.get_weights()[-1], [1.2025, 2.05], rtol=1e-6)


def test_a_step_that_only_resets_is_in_no_loss():
    """After a game's end at step 0, step 1 resets and holds nonsense; step 2 plays."""
    results = []
    for nonsense in (0.0, 1e6):
        model = constant([1.0, 2.0])
        update = recipe.make_update(model, keras.optimizers.SGD(1.0), 0.9, 0.5)
        parts = batch([1.0, nonsense, 1.0], [0, 1, 0], terminated=[0], resets=[1])
        results.append((float(update(*parts, np.array([[0, 1, 2]]))), *model.get_weights()[-1]))
    assert results[0] == results[1]
    # Returns 1 and 1 + .9 * 2 = 2.8, both of action 0; errors 0 and 1.8; 1.8² over two steps = 1.62; slope 2 * 1.8 / 2.
    np.testing.assert_allclose(results[0], [1.62, 2.8, 2.0], rtol=1e-6)


def test_the_targets_are_those_of_the_network_before_the_round():
    model = constant([1.0, 2.0])
    update = recipe.make_update(model, keras.optimizers.SGD(0.5), 0.9, 0.0)
    update(*batch([1.0], [1]), np.zeros((3, 1), int))
    # 1 + .9 * 2 = 2.8, reached by the first of three steps; with targets that move it would be 1 + .9 * 2.8 = 3.52, …
    np.testing.assert_allclose(model.get_weights()[-1], [1.0, 2.8], rtol=1e-6)


def test_a_batch_that_does_not_divide_a_rollout_is_refused(tmp_path, run_recipe, no_tensorflow):
    flags = ["--rollout_length=10", "--num_envs=4", "--batch_size=32"]
    done = run_recipe("pqn_cartpole", *flags, PYTHONPATH=no_tensorflow)
    assert done.returncode == 2 and "does not divide the 40 steps" in done.stderr and list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate", [0.01, 1e-30])
def test_it_chooses_what_is_rewarded_and_its_twin_without_learning_does_not(tmp_path, learning_rate):
    settings = {**PROBE, "learning_rate": learning_rate}
    run = recipe.train("probes/ChosenReward-v0", logdir=str(tmp_path / "run"), **settings)
    q = values(run, [[0.0], [1.0]])  # 1 for the action shown
    assert (abs(q - np.eye(2)).max() < 0.1) == (learning_rate > 1e-9), q


@pytest.mark.slow
def test_a_truncated_game_goes_on_and_a_terminated_one_does_not(tmp_path, monkeypatch):
    run = recipe.train("probes/Endless-v0", logdir=str(tmp_path / "run"), **LONG)
    assert abs(values(run, [[0.0]]).max() - 10) < 0.5  # 1 / (1 - 0.9); a sum of ten rewards is 6.5
    original = recipe.make_vec

    def merged(*args, **kwargs):
        envs = original(*args, **kwargs)
        step = envs.step

        def both(actions):
            obs, reward, terminated, truncated, info = step(actions)
            return obs, reward, terminated | truncated, truncated, info

        envs.step = both
        return envs

    monkeypatch.setattr(recipe, "make_vec", merged)
    run = recipe.train("probes/Endless-v0", logdir=str(tmp_path / "twin"), **LONG)
    assert values(run, [[0.0]]).max() < 9


@pytest.mark.slow
def test_the_second_step_is_discounted(tmp_path):
    run = recipe.train("probes/TwoSteps-v0", logdir=str(tmp_path / "run"), **PROBE)
    np.testing.assert_allclose(values(run, [[0.0], [1.0]]), [[0.9, 0.9], [1.0, 1.0]], atol=0.1)
