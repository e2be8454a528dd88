"""PPO with forbidden actions: no probability, no gradient and no entropy for them, in any model that is saved.

What it shares with PPO is tried in test_ppo_cartpole.py, and its play in test_a2c_cartpole.py.
"""

import ast
import inspect
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from test_a2c_cartpole import rollouts_of, settings_of

from common.lazy import keras, tf
from envs.checked import make_vec
from envs.masked import MOVES, MaskedGridworld
from recipes import masked_ppo_gridworld as recipe
from recipes import ppo_cartpole

SETTINGS = {
    "num_envs": 8, "hidden_units": 64, "learning_rate": 2e-3, "learning_rate_decay_steps": 100_000, "steps": 20_000,
    "adam_epsilon": 1e-5, "max_gradient_norm": 0.5, "orthogonal": True, "rollout_length": 32, "epochs": 20,
    "batch_size": 256, "gamma": 0.98, "gae_lambda": 0.8, "normalize_advantage": True, "clip_range": 0.2,
    "value_clip_range": 0.0, "value_weight": 0.5, "entropy_weight": 0.0, "target_kl": 0.0, "eval_interval": 0,
    "eval_episodes": 100, "save_interval": 20_000,
}  # fmt: skip


def observations(count=200, seed=0):
    """Observations of random cells and goals, [count, 48], and which actions are allowed there, [count, 16]."""
    envs = make_vec("MaskedGridworld-v0", count, "vectors")
    obs, _ = envs.reset(seed=seed)
    return obs, obs[:, -16:] > 0


def test_all_but_the_network_its_twin_in_numpy_and_the_world_is_ppos():
    """To the letter, comments aside, whose steps have other numbers."""
    for name, function in inspect.getmembers(ppo_cartpole, inspect.isfunction):
        if function.__module__ == ppo_cartpole.__name__ and name not in ("build_actor_critic", "act", "train"):
            one, other = (ast.unparse(ast.parse(inspect.getsource(getattr(r, name)))) for r in (ppo_cartpole, recipe))
            assert one == other, name


def test_by_hand_forbidden_actions_have_no_probability_no_entropy_and_no_gradient():
    """Two numbers to see and a mask of three actions; raw logits ln .7, ln .2 and ln .1, whatever is seen."""
    model = recipe.build_actor_critic(5, 3, 2, orthogonal=True)
    head = model.get_layer("logits")
    head.set_weights([np.zeros((2, 3)), np.log([0.7, 0.2, 0.1])])
    obs = np.array([[0.3, -0.4, 1, 1, 1], [5, 6, 1, 0, 1], [0, 0, 0, 1, 0]], np.float32)
    with tf.GradientTape(persistent=True) as tape:
        logits, _ = model(obs)
        probability, entropy = tf.nn.softmax(logits), recipe.entropies(logits)
        log_prob, second = recipe.log_probs(logits, tf.constant([0, 0, 1]))[1], entropy[1]
    np.testing.assert_allclose(logits[0], np.log([0.7, 0.2, 0.1]), rtol=1e-6)  # what is allowed is left alone
    np.testing.assert_allclose(probability, [[0.7, 0.2, 0.1], [0.875, 0, 0.125], [0, 1, 0]], rtol=1e-6)
    assert (probability.numpy() == 0).sum() == 3  # exactly
    # .8018186 as without a mask; .875 * .133531 + .125 * 2.079442; one action is certain
    np.testing.assert_allclose(entropy, [0.8018186, 0.3767702, 0.0], rtol=1e-5, atol=1e-7)
    # onehot - pi for the allowed ones: 1 - .875, 0, -.125
    slope = tape.gradient(log_prob, head.bias).numpy()
    np.testing.assert_allclose(slope, [0.125, 0.0, -0.125], rtol=1e-5)
    assert slope[1] == tape.gradient(second, head.bias).numpy()[1] == 0


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_whatever_the_raw_logits_are_forbidden_actions_have_no_probability_and_no_gradient(scale):
    keras.utils.set_random_seed(0)
    model, (obs, allowed) = recipe.build_actor_critic(48, 16, 16, orthogonal=True), observations()
    assert 0.2 < allowed.mean() < 0.5 and allowed.any(axis=1).all()
    head = model.get_layer("logits")
    head.set_weights([np.random.default_rng(0).normal(size=(16, 16)) * scale, np.zeros(16)])
    inner = keras.Model(model.input, [head.output, *model.outputs])
    raw, logits, _ = inner(obs)
    assert np.abs(raw).max() > 3 * scale
    np.testing.assert_array_equal(logits.numpy()[allowed], raw.numpy()[allowed])
    probability = tf.nn.softmax(logits).numpy()
    assert (probability[~allowed] == 0).all() and probability[allowed].min() >= 0
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-5)
    action = tf.constant(np.argmax(allowed, axis=1))
    shift = tf.Variable(tf.zeros_like(logits))  # as if it were added to the raw logits
    with tf.GradientTape(persistent=True) as tape:
        moved = logits + shift
        log_prob, entropy = recipe.log_probs(moved, action), recipe.entropies(moved)
    for loss in (log_prob, entropy):
        slopes = tape.gradient(loss, shift).numpy()
        assert (slopes[~allowed] == 0).all() and np.isfinite(slopes).all()
        assert scale > 1 or np.abs(slopes[allowed]).max() > 0.01
    # The entropy is that of the allowed ones alone.
    for row, mask, found in zip(raw.numpy().astype(float), allowed, entropy.numpy(), strict=True):
        p = np.exp(row[mask] - row[mask].max())
        p /= p.sum()
        assert found == pytest.approx(-(p[p > 0] * np.log(p[p > 0])).sum(), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("gain", [1.0, 1e5])
def test_in_numpy_forbidden_actions_are_never_drawn(gain):
    """10,000 draws of an untrained network, which would otherwise draw them in most steps, whatever its logits are."""
    keras.utils.set_random_seed(0)
    obs, allowed = observations(1000)
    rows, mask = obs.repeat(10, axis=0), allowed.repeat(10, axis=0)
    for module, never in ((recipe, True), (ppo_cartpole, False)):
        model = module.build_actor_critic(48, 16, 16, orthogonal=True)
        head = model.get_layer("logits")
        head.set_weights([gain * head.kernel.numpy(), head.bias.numpy()])
        action = module.act(module.actor_of(model), rows, np.random.default_rng(1))
        chosen = mask[np.arange(10_000), action]
        assert {*action} == {*range(16)} or gain > 1
        assert chosen.all() if never else chosen.mean() < 0.5


def test_no_game_of_a_training_has_a_forbidden_action(tmp_path):
    rollouts = rollouts_of(recipe, **settings_of(recipe, tmp_path / "run", 8, 64, steps=1200))
    action = np.concatenate([games.action for games in rollouts])  # [T, N]
    mask = np.concatenate([games.obs[:-1, :, -16:] for games in rollouts])
    assert action.shape == (192, 8) and {*action.flat} == {*range(16)}
    assert np.take_along_axis(mask, action[..., None], axis=-1).all() and mask.mean() < 0.5


def world(cell, goal):
    """What is observed on a cell, [48]."""
    env = MaskedGridworld()
    env.reset(seed=0)
    env.cell, env.goal = cell, goal
    return env._look()


@pytest.mark.slow
def test_the_mask_is_not_trained_and_a_saved_model_alone_chooses_no_forbidden_action(tmp_path):
    run = recipe.train(
        logdir=str(tmp_path / "run"),
        **{**SETTINGS, "steps": 2000, "epochs": 4, "entropy_weight": 0.1, "eval_episodes": 0},
    )
    model = keras.models.load_model(run / "model.keras")
    kernel, bias = model.get_layer("mask").get_weights()
    np.testing.assert_array_equal(kernel, np.concatenate([np.zeros((32, 16)), 1e9 * np.eye(16)]))
    assert (bias == -1e9).all() and not model.get_layer("mask").trainable
    assert [v.path.split("/")[0] for v in model.non_trainable_variables] == ["mask", "mask"]
    obs = np.array([world(cell, goal) for cell in MOVES for goal in MOVES if cell != goal])
    np.save(tmp_path / "obs.npy", obs)
    code = """
import sys
sys.modules.update(common=None, envs=None, recipes=None)  # importing one of them would fail
import keras, numpy as np
logits, value = keras.models.load_model(sys.argv[1])(np.load("obs.npy"))
np.save("action.npy", keras.ops.convert_to_numpy(logits).argmax(-1))
"""
    command = [sys.executable, "-c", code, str(run / "model.keras")]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": ""})
    action = np.load(tmp_path / "action.npy")
    assert len(action) == 48 * 47 and len(set(action)) > 3
    assert (obs[np.arange(len(obs)), 32 + action] == 1).all()
    # Without the mask, the same network would choose forbidden ones.
    raw = keras.Model(model.input, model.get_layer("logits").output)(obs).numpy().argmax(-1)
    assert (obs[np.arange(len(obs)), 32 + raw] == 0).mean() > 0.1


@pytest.mark.parametrize("env_id", ["CartPole-v1", "probes/ChosenReward-v0"])  # the last has two actions, one number
def test_a_world_without_a_mask_is_refused(env_id, tmp_path, run_recipe, no_tensorflow):
    done = run_recipe("masked_ppo_gridworld", f"--env_id={env_id}", PYTHONPATH=no_tensorflow)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert f"{env_id} shows no mask" in done.stderr and list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_with_the_mask_games_are_shorter_than_without_after_as_many_steps(tmp_path):
    """Both recipes have the same settings, and the world is the same; a game of 50 steps is truncated."""
    means = []
    for module in (recipe, ppo_cartpole):
        run = module.train("MaskedGridworld-v0", logdir=str(tmp_path / module.__name__), **SETTINGS)
        means.append(np.mean(json.loads((run / "evaluation.json").read_text())["scores"]))
    assert means[0] > -25 and means[1] < -40, means
