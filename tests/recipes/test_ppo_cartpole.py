"""PPO: its losses by hand, what a round of minibatches must keep and when it must stop, probe worlds.

Advantages and play are tried in test_a2c_cartpole.py. The losses that siblings share are tried here for them, too.
"""

import importlib
import inspect
import math

import numpy as np
import pytest
from test_a2c_cartpole import linear, outputs, rollout

from common.lazy import keras, tf
from recipes import a2c_cartpole
from recipes import ppo_cartpole as recipe

# Enough to learn a probe world in a few seconds.
PROBE = {
    "num_envs": 8, "hidden_units": 16, "learning_rate": 0.01, "learning_rate_decay_steps": 4000, "steps": 4000,
    "adam_epsilon": 1e-5, "max_gradient_norm": 0.5, "orthogonal": True, "rollout_length": 8, "epochs": 4,
    "batch_size": 32, "gamma": 0.9, "gae_lambda": 0.95, "normalize_advantage": True, "clip_range": 0.2,
    "value_clip_range": 0.0, "value_weight": 0.5, "entropy_weight": 0.0, "target_kl": 0.0, "eval_interval": 0,
    "eval_episodes": 20, "save_interval": 4000,
}  # fmt: skip
# A rollout is a game of ten steps and its reset; with the error of one step alone it is clear what a wrong end changes.
LONG = {
    **PROBE, "steps": 12_000, "learning_rate_decay_steps": 12_000, "rollout_length": 11, "batch_size": 44,
    "gae_lambda": 0.0,
}  # fmt: skip


@pytest.fixture(params=["ppo_cartpole", "masked_ppo_gridworld", "ppo_pendulum", "ppo_atari"])
def sibling(request):
    return importlib.import_module(f"recipes.{request.param}")


def test_the_actors_loss_and_its_gradient_by_hand(sibling):
    log_ratio, advantage = tf.Variable(np.log([1.25, 0.75, 0.25, 1.5]), dtype=tf.float32), [1.0, 1.0, -1.0, -1.0]
    with tf.GradientTape() as tape:
        loss = sibling.actor_loss(log_ratio, tf.zeros(4), tf.constant(advantage), 0.2)
    # min(1.25, 1.2), min(.75, .8), min(-.25, -.8), min(-1.5, -1.2)
    np.testing.assert_allclose(loss, [-1.2, -0.75, 0.8, 1.5], rtol=1e-6)
    # Where the ratio is beyond 1 ± .2 on the side that the advantage asks for, nothing; else -A * ratio.
    np.testing.assert_allclose(tape.gradient(loss, log_ratio), [0.0, -0.75, 0.0, 1.5], rtol=1e-6)


def test_the_critics_loss_and_its_gradient_by_hand(sibling):
    # The old value is 1, the new one 1.5, at most 1.2 if it may move by .2. Returns .5: squares 1 and .49; 2: .25, .64.
    for returns, clip_range, wanted, slope in ((0.5, 0.2, 0.5, 1.0), (2.0, 0.2, 0.32, 0.0), (2.0, 0.0, 0.125, -0.5)):
        value = tf.Variable([1.5])
        with tf.GradientTape() as tape:
            loss = sibling.critic_loss(value, tf.constant([1.0]), tf.constant([returns]), clip_range)
        np.testing.assert_allclose(loss, [wanted], rtol=1e-6)
        np.testing.assert_allclose(tape.gradient(loss, value), [slope], rtol=1e-6)


def test_the_divergence_by_hand(sibling):
    # (.1 - ln 1.1 - .1 - ln .9 + .2 - ln 1.2) / 3
    found = sibling.divergence(tf.math.log([1.1, 0.9, 1.2]), tf.zeros(3)).numpy()
    assert found.mean() == pytest.approx(0.0092429, abs=1e-6) and (found > 0).all()
    assert sibling.divergence(tf.constant([0.3]), tf.constant([0.3])).numpy().tolist() == [0.0]


def test_log_probabilities_and_entropies_by_hand():
    logits = tf.constant(np.log([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]]), tf.float32)
    np.testing.assert_allclose(recipe.log_probs(logits, tf.constant([0, 2])), np.log([0.7, 0.2]), rtol=1e-6)
    np.testing.assert_allclose(recipe.entropies(logits), [0.8018186, 1.0296530], rtol=1e-6)


def test_a_wrong_shape_is_refused_instead_of_broadcast(sibling):
    column, row = tf.ones((3, 1)), tf.ones(3)
    for loss in (sibling.actor_loss, sibling.critic_loss):
        for wrong in ((column, row, row), (row, column, row), (row, row, column)):
            with pytest.raises(AssertionError):
                loss(*wrong, 0.2)


SETTINGS = {
    "gamma": 0.9, "gae_lambda": 0.5, "clip_range": 0.2, "value_clip_range": 0.0, "value_weight": 0.5,
    "entropy_weight": 0.0, "normalize_advantage": False, "target_kl": 0.0,
}  # fmt: skip


def updated(parts, model, minibatches, rate=1.0, **changes):
    """(what a round of plain gradient descent returns, how many steps it was); the model is changed."""
    optimizer = keras.optimizers.SGD(rate)
    update = recipe.make_update(model, optimizer, **{**SETTINGS, **changes})
    return [float(x) for x in update(*parts, np.array(minibatches))], int(optimizer.iterations)


TWO_STEPS = [1.0, 2.0, 3.0], [1.0, 0.5], [0, 1], [1]  # obs, reward, action, terminated


@pytest.mark.parametrize("normalized", [False, True])
def test_one_update_by_hand(normalized):
    model = linear()
    found, _ = updated(rollout(*TWO_STEPS), model, [[1, 0]], entropy_weight=0.1, normalize_advantage=normalized)
    # Advantages 1.125 and -1.5 as in A2C; their mean is -.1875 and their deviation 1.3125, so standardised 1 and -1.
    # All ratios are 1. Critic: (1.125² + 1.5²) / 2 / 2 = .878906, whatever the actor's advantages are; entropy ln 2.
    actor = 0.0 if normalized else 0.1875
    assert found[0] == pytest.approx(actor + 0.5 * 0.878906 - 0.1 * math.log(2), abs=1e-6)
    assert found[1] == pytest.approx(math.log(2)) and found[2] == pytest.approx(0, abs=1e-7)
    np.testing.assert_allclose(model.get_layer("value").kernel, [[1 - 0.46875]], rtol=1e-6)
    # A * (pi - onehot): (1.125 * (-.5, .5) - 1.5 * (.5, -.5)) / 2, or ((-.5, .5) - (.5, -.5)) / 2; downhill.
    slope = 0.5 if normalized else 0.65625
    np.testing.assert_allclose(model.get_layer("logits").bias, [slope, -slope], rtol=1e-6)


def test_the_first_minibatch_is_a_step_of_a2c():
    """The ratio is 1 everywhere, so that the gradient is that of the policy which played."""
    rng = np.random.default_rng(0)
    parts = rollout(
        rng.normal(size=13), rng.normal(size=12), rng.integers(2, size=12), terminated=[3], truncated=[8], resets=[4, 9]
    )
    keras.utils.set_random_seed(1)
    model, other = (recipe.build_actor_critic(1, 2, 8, orthogonal=False) for _ in range(2))
    other.set_weights(model.get_weights())
    (_, entropy, kl), _ = updated(parts, model, [rng.permutation(12)], rate=0.1, entropy_weight=0.1)
    update = a2c_cartpole.make_update(other, keras.optimizers.SGD(0.1), 0.9, 0.5, 0.5, 0.1)
    _, wanted = update(*parts)
    assert kl == pytest.approx(0, abs=1e-6) and entropy == pytest.approx(float(wanted))
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize(("reward", "action"), [(1.0, 0), (-1.0, 1)])
def test_the_old_probabilities_stay_until_the_round_is_over(reward, action):
    """One step from the observation 0, the same in each of three minibatches; advantage 1 or -1.

    Both make the first action more probable: its logit rises by .5 in the first step, and that of the other falls.
    """
    parts = rollout([0.0, 0.0], [reward], [action], terminated=[0])
    results = []
    for clip_range in (0.2, 0.5):
        model = linear()
        (_, _, kl), count = updated(parts, model, [[0]] * 3, clip_range=clip_range)
        results.append((float(model.get_layer("logits").bias[0]), kl))
        assert count == 3
    # Now the chosen action has the probability p = sigmoid(1) or 1 - p: the ratio is 1.462 or .538.
    p = sigmoid(1) if reward > 0 else 1 - sigmoid(1)
    kl = 2 * p - 1 - math.log(2 * p)
    # The first clip range is passed, so that two steps have no gradient.
    assert results[0] == (pytest.approx(0.5), pytest.approx((0 + kl + kl) / 3, rel=1e-4))
    # The second is not: the logit rises by 1.462 * .269 or .538 * .731, which is the same, to a ratio of 1.713 or .287.
    moved = 0.5 + 2 * sigmoid(1) * (1 - sigmoid(1))
    q = sigmoid(2 * moved) if reward > 0 else 1 - sigmoid(2 * moved)
    assert abs(2 * q - 1) > 0.5
    last = 2 * q - 1 - math.log(2 * q)
    assert results[1] == (pytest.approx(moved), pytest.approx((0 + kl + last) / 3, rel=1e-4))


@pytest.mark.parametrize(("target_kl", "count", "mean_of"), [(0.0, 3, None), (0.05, 1, 2), (1000.0, 3, None)])
def test_a_divergence_above_the_target_stops_the_round(target_kl, count, mean_of):
    """As above, without a clip: the divergence of the second minibatch is 1.462 - 1 - ln 1.462 = .082."""
    parts, model = rollout([0.0, 0.0], [1.0], [0], terminated=[0]), linear()
    (_, _, kl), steps = updated(parts, model, [[0]] * 3, clip_range=1000.0, target_kl=target_kl)
    assert steps == count
    assert (float(model.get_layer("logits").bias[0]) == pytest.approx(0.5)) == (count == 1)
    if mean_of:
        ratio = 2 * sigmoid(1)
        assert kl == pytest.approx((ratio - 1 - math.log(ratio)) / mean_of, rel=1e-4)


def test_a_value_clip_stops_a_value_that_has_moved_far():
    """The observation and its value are 1, the return 2: half of the way with one step, a quarter with the next."""
    parts = rollout([1.0, 1.0], [2.0], [0], terminated=[0])
    for clip_range, slope in ((0.0, 1.75), (0.2, 1.5), (0.6, 1.75)):
        model = linear()
        updated(parts, model, [[0]] * 2, value_clip_range=clip_range)
        np.testing.assert_allclose(model.get_layer("value").kernel, [[slope]], rtol=1e-6)


# Three games of one step, which the value 0 is predicted for, and two resets that are paid nonsense.
GAMES = rollout(
    [0.0] * 6, [1.0, 99.0, 3.0, -99.0, 5.0], [0, 1, 1, 0, 0], terminated=[0, 2, 4], resets=[1, 3]
)  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "bias"),
    [
        ([0, 1, 2], -0.5),  # advantages 1 and 3 → -1 and 1: (-1 * (-.5, .5) + 1 * (.5, -.5)) / 2 = (.5, -.5), downhill
        ([4, 3, 2], 0.5),  # 5 and 3 → 1 and -1: (1 * (-.5, .5) - 1 * (.5, -.5)) / 2
        # 1, 3, 5 → -1.224745, 0, 1.224745: the two with action 0 have opposite ones
        ([0, 1, 2, 3, 4], 0.0),
        ([0], 0.0),  # nothing stands out from the mean
        ([1, 3], 0.0),  # only resets
    ],
)
def test_each_minibatch_is_standardised_without_the_steps_that_only_reset(rows, bias):
    model = linear()
    found, _ = updated(GAMES, model, [rows], normalize_advantage=True)
    np.testing.assert_allclose(model.get_layer("logits").bias, [bias, -bias], atol=1e-6)
    assert np.isfinite(found).all()


def test_advantages_are_left_alone_where_this_is_asked_for():
    model = linear()
    updated(GAMES, model, [[0, 1, 2]], normalize_advantage=False)
    # (1 * (-.5, .5) + 3 * (.5, -.5)) / 2 = (.5, -.5), downhill
    np.testing.assert_allclose(model.get_layer("logits").bias, [-0.5, 0.5], rtol=1e-6)


@pytest.mark.parametrize("end", ["terminated", "truncated"])
def test_nothing_of_a_step_that_only_resets_is_learnt(end):
    """Step 1 ends a game, step 2 resets, step 3 is of the next game; only what a terminated game shows is no value."""
    learnt = []
    for reward, action, shown in ((0.0, 0, -0.5), (1e4, 1, -0.5 if end == "truncated" else 300.0)):
        model = linear()
        parts = rollout(
            [0.5, 1.0, shown, 2.0, 1.0], [1.0, 0.0, reward, -1.0], [0, 1, action, 0], **{end: [1]}, resets=[2]
        )
        minibatches = [[0, 2], [3, 1], [2, 1], [3, 0]]
        found, _ = updated(
            parts, model, minibatches, rate=0.1, normalize_advantage=True, value_clip_range=0.5, entropy_weight=0.1
        )
        learnt.append([found, *model.get_weights()])
    for one, other in zip(*learnt, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (learnt[0][-1] != linear().get_weights()[-1]).all()


def test_the_weights_of_both_parts_of_the_loss():
    parts, start = rollout([1.0, 1.0], [1.0], [0], terminated=[0]), linear(logits=(1.0, -1.0))
    # The value is the return, so that there is no advantage: only the bonus moves the logits, towards each other.
    for weight in (0.0, 0.1):
        model = linear(logits=(1.0, -1.0))
        updated(parts, model, [[0]], entropy_weight=weight)
        before, after = (abs(np.ptp(m.get_layer("logits").bias)) for m in (start, model))
        assert after < before if weight else after == before
    parts = rollout([1.0, 1.0], [2.0], [0], terminated=[0])
    for weight in (0.0, 0.5, 1.0):  # the slope of the value is weight * (1 - 2)
        model = linear()
        updated(parts, model, [[0]], value_weight=weight)
        np.testing.assert_allclose(model.get_layer("value").kernel, [[1 + weight]], rtol=1e-6)


def test_updates_lower_the_loss():
    """The mean loss of a round of four is below that of its first."""
    (one, *_), (four, *_) = (updated(rollout(*TWO_STEPS), linear(), [[0, 1]] * k, rate=0.05)[0] for k in (1, 4))
    assert four < one


def test_a_round_is_traced_once_and_the_loss_of_a_network_that_broke_says_so():
    model = recipe.build_actor_critic(1, 2, 8, orthogonal=True)
    update = recipe.make_update(model, keras.optimizers.SGD(0.05), **SETTINGS)
    parts, minibatches = rollout(*TWO_STEPS), np.array([[0, 1]] * 4)
    for _ in range(2):
        assert np.isfinite(update(*parts, minibatches)).all()
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    assert np.isnan(update(*parts, minibatches)[0])  # which `train` answers with one line
    assert update.experimental_get_tracing_count() == 1


def test_weights_are_orthogonal_with_a_gain_for_each_layer():
    keras.utils.set_random_seed(0)
    model = recipe.build_actor_critic(4, 3, 32, orthogonal=True)
    kernels = [layer.kernel.numpy() for layer in model.layers if layer.weights]
    assert sorted(kernel.shape for kernel in kernels) == [(4, 32)] * 2 + [(32, 1), (32, 3)] + [(32, 32)] * 2
    for kernel in kernels:
        gain = {3: 0.01, 1: 1.0}.get(kernel.shape[1], 2**0.5)
        product = kernel @ kernel.T if len(kernel) < kernel.shape[1] else kernel.T @ kernel
        np.testing.assert_allclose(product, gain**2 * np.eye(len(product)), rtol=1e-4, atol=1e-5 * gain**2)
    assert all((layer.bias.numpy() == 0).all() for layer in model.layers if layer.weights)
    model = recipe.build_actor_critic(4, 3, 32, orthogonal=False)
    for layer in model.layers:
        if layer.weights:  # Glorot's: uniform, at most the root of 6 / (inputs + outputs)
            kernel = layer.kernel.numpy()
            assert 0.8 < np.abs(kernel).max() / (6 / sum(kernel.shape)) ** 0.5 <= 1
            assert abs(kernel @ kernel.T - np.diag(np.diag(kernel @ kernel.T))).max() > 0.01


def test_the_flags_reach_the_network_the_update_and_the_optimizer(tmp_path, monkeypatch):
    settings = {
        "gamma": 0.5, "gae_lambda": 0.75, "clip_range": 0.125, "value_clip_range": 0.375, "value_weight": 0.625,
        "entropy_weight": 0.0625, "normalize_advantage": False, "target_kl": 7.0,
    }  # fmt: skip
    reached, rates, rounds, original, build = [], [], [], recipe.make_update, recipe.build_actor_critic

    def spied(model, optimizer, *args):
        update = original(model, optimizer, *args)
        bound = inspect.signature(original).bind(model, optimizer, *args).arguments
        reached.append({name: bound[name] for name in settings})
        reached.append((optimizer.epsilon, optimizer.global_clipnorm, optimizer.clipnorm))

        def noted(*parts):
            rates.append(float(optimizer.learning_rate))
            rounds.append(parts[-1])
            return update(*parts)

        return noted

    monkeypatch.setattr(recipe, "make_update", spied)
    monkeypatch.setattr(recipe, "build_actor_critic", lambda *args: reached.append(args) or build(*args))
    recipe.train(
        "probes/Endless-v0", logdir=str(tmp_path / "run"), num_envs=2, hidden_units=3, orthogonal=False, steps=30,
        rollout_length=5, epochs=3, batch_size=2, learning_rate=0.1, learning_rate_decay_steps=40,
        max_gradient_norm=0.25, adam_epsilon=1e-3, eval_episodes=0, **settings,
    )  # fmt: skip
    assert reached == [(1, 2, 3, False), settings, (1e-3, 0.25, None)]
    # The rate is that of a rollout's first step: 5 steps of two games, 5 more, then a reset of both and 4 steps make
    # 0, 10, 20 and 28, so .1 * (1 - 10 / 40) and so on.
    np.testing.assert_allclose(rates, [0.1, 0.075, 0.05, 0.03], rtol=1e-6)
    for minibatches in rounds:  # each epoch takes each step once, in an order of its own
        assert minibatches.shape == (15, 2)
        orders = minibatches.reshape(3, 10)
        assert (np.sort(orders) == np.arange(10)).all() and (orders[0] != orders[1]).any()
    assert (rounds[0] != rounds[1]).any()


def test_a_batch_that_does_not_divide_a_rollout_is_refused(tmp_path, run_recipe, no_tensorflow):
    flags = ["--rollout_length=10", "--num_envs=4", "--batch_size=32"]
    done = run_recipe("ppo_cartpole", *flags, PYTHONPATH=no_tensorflow)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "does not divide the 40 steps" in done.stderr and list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate", [0.01, 1e-30])
def test_it_chooses_what_is_rewarded_and_its_twin_without_learning_does_not(tmp_path, learning_rate):
    settings = {**PROBE, "learning_rate": learning_rate}
    run = recipe.train("probes/ChosenReward-v0", logdir=str(tmp_path / "run"), **settings)
    probability, value = outputs(run, [[0.0], [1.0]])
    learnt = probability.diagonal().min() > 0.9 and abs(value - 1).max() < 0.1
    assert learnt == (learning_rate > 1e-9), (probability, value)


@pytest.mark.slow
def test_a_truncated_game_goes_on_and_a_terminated_one_does_not(tmp_path, monkeypatch):
    run = recipe.train("probes/Endless-v0", logdir=str(tmp_path / "run"), **LONG)
    assert outputs(run, [[0.0]])[1].item() == pytest.approx(10, abs=0.1)  # 1 / (1 - 0.9)
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
    # All steps look alike, and of ten one ends the game: v = 1 + .9 * .9 * v, so 1 / (1 - .81).
    assert outputs(run, [[0.0]])[1].item() == pytest.approx(5.263, abs=0.1)


@pytest.mark.slow
def test_the_second_step_is_discounted(tmp_path):
    run = recipe.train("probes/TwoSteps-v0", logdir=str(tmp_path / "run"), **PROBE)
    np.testing.assert_allclose(outputs(run, [[0.0], [1.0]])[1], [0.9, 1.0], atol=0.1)
