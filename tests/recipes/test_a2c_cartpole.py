"""A2C: advantages and losses by hand, what the end of a game must stop, how NumPy plays, probe worlds.

What its siblings do in the same way is tried here for them, too.
"""

import importlib
import math
from types import SimpleNamespace

import numpy as np
import pytest

from common.files import read_episodes
from common.lazy import keras, tf
from envs.checked import make_vec
from recipes import a2c_cartpole as recipe

# Enough to learn a probe world in a few seconds.
PROBE = {
    "num_envs": 8, "hidden_units": 16, "learning_rate": 0.02, "learning_rate_decay_steps": 6000, "steps": 6000,
    "max_gradient_norm": 0.5, "rollout_length": 8, "gamma": 0.9, "gae_lambda": 0.95, "value_weight": 0.5,
    "entropy_weight": 0.0, "eval_interval": 0, "eval_episodes": 20, "save_interval": 6000,
}  # fmt: skip
# A rollout is a game of ten steps and its reset; with the error of one step alone it is clear what a wrong end changes.
LONG = {**PROBE, "steps": 24_000, "learning_rate_decay_steps": 24_000, "rollout_length": 11, "gae_lambda": 0.0}


SIBLINGS = ("a2c_cartpole", "ppo_cartpole", "masked_ppo_gridworld", "ppo_pendulum")


@pytest.fixture(params=SIBLINGS)
def sibling(request):
    return importlib.import_module(f"recipes.{request.param}")


def outputs(folder, obs):
    """Probabilities [B, A] and values [B] of the network that a run saved."""
    logits, value = keras.models.load_model(folder / "model.keras")(np.array(obs, np.float32))
    return tf.nn.softmax(logits).numpy(), value.numpy()[:, 0]


def advantages(sibling, reward, value, gae_lambda, terminated=(), truncated=(), gamma=0.9):
    """Those of one game, from lists; the steps at which a game ended are given by their numbers."""
    column = lambda x: tf.constant(np.array(x)[:, None])  # noqa: E731
    terminated, ended = ([t in ends for t in range(len(reward))] for ends in (terminated, {*terminated, *truncated}))
    parts = np.array(reward, np.float32), terminated, ended, np.array(value, np.float32)
    return sibling.advantages(*map(column, parts), gamma, gae_lambda).numpy()[:, 0]


REWARD, VALUE = [1.0, 0.0, 2.0, -1.0], [0.5, 1.0, -0.5, 2.0, 1.0]


def test_advantages_by_hand(sibling):
    # Errors of one step: 1 + .9 * 1 - .5 = 1.4, 0 - .9 * .5 - 1 = -1.45, 2 + .9 * 2 + .5 = 4.3, -1 + .9 * 1 - 2 = -2.1.
    # Backwards with .9 * .8 = .72: -2.1; 4.3 - 1.512 = 2.788; -1.45 + 2.00736 = .55736; 1.4 + .4012992 = 1.8012992
    np.testing.assert_allclose(advantages(sibling, REWARD, VALUE, 0.8), [1.8012992, 0.55736, 2.788, -2.1], rtol=1e-6)


def test_advantages_of_five_steps_by_hand(sibling):
    """The numbers of a test of rlax."""
    found = advantages(sibling, [0.0, 0.0, 1.0, 0.0, -0.5], [1.0, 4.0, -3.0, -2.0, -1.0, -1.0], 0.7, gamma=0.99)
    # Errors 2.96, -6.97, 2.02, 1.01, -.49; backwards with .99 * .7 = .693: 1.01 - .33957 = .67043; 2.02 + .464608;
    # -6.97 + 1.721833; 2.96 - 3.636980
    np.testing.assert_allclose(found, [-0.676980, -5.248167, 2.484608, 0.670430, -0.49], rtol=1e-6)


def test_lambda_1_is_the_discounted_sum_and_lambda_0_the_error_of_one_step(sibling):
    # Sums: -1 + .9 * 1 = -.1; 2 - .09 = 1.91; 0 + 1.719; 1 + 1.5471 = 2.5471; each less the value of its state.
    np.testing.assert_allclose(advantages(sibling, REWARD, VALUE, 1.0), [2.0471, 0.719, 2.41, -2.1], rtol=1e-5)
    np.testing.assert_allclose(advantages(sibling, REWARD, VALUE, 0.0), [1.4, -1.45, 4.3, -2.1], rtol=1e-5)


def test_a_terminated_game_has_no_value_beyond_and_a_truncated_one_that_of_its_last_observation(sibling):
    # Terminated at step 1: 0 - 1 = -1; 1.4 + .72 * -1 = .68. Truncated: -1.45, as above; 1.4 + .72 * -1.45 = .356.
    np.testing.assert_allclose(
        advantages(sibling, REWARD, VALUE, 0.8, terminated=[1]), [0.68, -1.0, 2.788, -2.1], rtol=1e-6
    )
    np.testing.assert_allclose(
        advantages(sibling, REWARD, VALUE, 0.8, truncated=[1]), [0.356, -1.45, 2.788, -2.1], rtol=1e-5
    )
    # Step 2 resets: nothing of it and of what follows reaches back over the end.
    for end in ("terminated", "truncated"):
        one, other = (
            advantages(sibling, [1.0, 0.0, r, r], [0.5, 1.0, -0.5, v, v], 1.0, **{end: [1]})
            for r, v in ((2.0, 1.0), (1e6, 1e6))
        )
        np.testing.assert_array_equal(one[:2], other[:2])


def test_games_side_by_side_do_not_mix(sibling):
    reward = tf.constant([[1.0, 0.0], [0.0, 0.0], [2.0, 0.0], [-1.0, 1.0]])
    ended = tf.constant([[False, False], [True, False], [False, False], [False, False]])
    value = tf.constant([[0.5, 0.0], [1.0, 0.0], [-0.5, 0.0], [2.0, 0.0], [1.0, 0.0]])
    found = sibling.advantages(reward, ended, ended, value, 0.9, 0.8).numpy()
    np.testing.assert_allclose(found[:, 0], [0.68, -1.0, 2.788, -2.1], rtol=1e-6)
    np.testing.assert_allclose(found[:, 1], [0.72**3, 0.72**2, 0.72, 1.0], rtol=1e-6)


def test_losses_and_their_gradients_by_hand():
    logits = tf.Variable(np.log([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]]), dtype=tf.float32)
    value, action = tf.Variable([1.0, 2.0]), tf.constant([0, 2], tf.int64)
    advantage, returns = tf.Variable([2.0, -1.0]), tf.Variable([3.0, 1.5])
    with tf.GradientTape(persistent=True) as tape:
        actor_loss, critic_loss, entropy = recipe.compute_losses(logits, value, action, advantage, returns)
    np.testing.assert_allclose(actor_loss, [-2 * math.log(0.7), math.log(0.2)], rtol=1e-6)
    np.testing.assert_allclose(critic_loss, [2.0, 0.125])  # 2² / 2 and .5² / 2
    # .7 * .356675 + .2 * 1.609438 + .1 * 2.302585; .5 * .693147 + .3 * 1.203973 + .2 * 1.609438
    np.testing.assert_allclose(entropy, [0.8018186, 1.0296530], rtol=1e-6)
    # A * (pi - onehot): 2 * (-.3, .2, .1) and -1 * (.5, .3, -.8)
    np.testing.assert_allclose(tape.gradient(actor_loss, logits), [[-0.6, 0.4, 0.2], [-0.5, -0.3, 0.8]], atol=1e-6)
    np.testing.assert_allclose(tape.gradient(critic_loss, value), [-2.0, 0.5])
    assert tape.gradient(actor_loss, value) is None and tape.gradient(critic_loss, logits) is None


def test_a_wrong_shape_is_refused_instead_of_broadcast():
    column, row = tf.ones((3, 1)), tf.ones(3)
    with pytest.raises(AssertionError):
        recipe.compute_losses(tf.ones((3, 2)), column, tf.zeros(3, tf.int64), row, row)
    with pytest.raises(AssertionError):
        recipe.compute_losses(tf.ones((3, 2)), row, tf.zeros(3, tf.int64), row, column)
    with pytest.raises(AssertionError):
        recipe.advantages(tf.ones((4, 2)), tf.zeros((4, 2), tf.bool), tf.zeros((4, 1), tf.bool), tf.ones((5, 2)), 1, 1)


def test_neither_loss_reaches_the_weights_of_the_other_network():
    model = recipe.build_actor_critic(4, 2, 8, 1.0)
    model.set_weights([w + 0.1 for w in model.get_weights()])  # a last layer of 0 hides the layers below it
    with tf.GradientTape(persistent=True) as tape:
        logits, value = model(tf.random.stateless_normal((5, 4), (0, 1)))
        parts = recipe.compute_losses(logits, value[:, 0], tf.constant([0, 1, 0, 1, 1]), tf.range(5.0), tf.range(5.0))
    reached = []
    for loss in parts:
        gradients = tape.gradient(loss, model.trainable_variables)
        reached.append([g is not None and np.abs(g).max() > 0 for g in gradients])
    actor, critic, entropy = reached
    assert sum(actor) == sum(critic) == 6  # kernel and bias of two hidden layers and a head
    assert actor == entropy == [not touched for touched in critic]


def linear(slope=1.0, logits=(0.0, 0.0)):
    """A network of one layer: logits that are the same whatever it sees, value slope * obs."""
    obs = keras.Input((1,))
    heads = keras.layers.Dense(len(logits), name="logits"), keras.layers.Dense(1, use_bias=False, name="value")
    model = keras.Model(obs, [head(obs) for head in heads])
    heads[0].set_weights([np.zeros((1, len(logits))), np.array(logits)])
    heads[1].set_weights([np.array([[slope]])])
    return model


def rollout(obs, reward, action, terminated=(), truncated=(), resets=()):
    """A rollout of one game, [T, 1, ...]; ends and resets are given by the numbers of their steps."""
    flags = lambda steps: np.array([[t in steps] for t in range(len(reward))])  # noqa: E731
    column = lambda x, kind: np.array(x, kind)[:, None]  # noqa: E731
    return (
        column(obs, np.float32)[..., None], column(action, np.int64), column(reward, np.float32),
        flags(terminated), flags({*terminated, *truncated}), ~flags(resets),
    )  # fmt: skip


def updated(parts, model, rate=1.0, gamma=0.9, gae_lambda=0.5, value_weight=0.5, entropy_weight=0.0):
    """What one update with plain gradient descent returns; the model is changed."""
    optimizer = keras.optimizers.SGD(rate)
    update = recipe.make_update(model, optimizer, gamma, gae_lambda, value_weight, entropy_weight)
    return [float(x) for x in update(*parts)]


def test_one_update_by_hand():
    model = linear()
    parts = rollout([1.0, 2.0, 3.0], [1.0, 0.5], [0, 1], terminated=[1])
    loss, entropy = updated(parts, model, entropy_weight=0.1)
    # Errors 1 + .9 * 2 - 1 = 1.8 and .5 - 2 = -1.5; advantages 1.8 + .45 * -1.5 = 1.125 and -1.5.
    # Actor: ln 2 * (1.125 - 1.5) / 2 = -.129965; critic: (1.125² + 1.5²) / 2 / 2 = .878906; entropy ln 2
    assert entropy == pytest.approx(math.log(2))
    assert loss == pytest.approx(-0.129965 + 0.5 * 0.878906 - 0.1 * 0.693147, abs=1e-6)
    # The slope of the value: -.5 * (1.125 * 1 - 1.5 * 2) / 2 = .46875, downhill.
    np.testing.assert_allclose(model.get_layer("value").kernel, [[1 - 0.46875]], rtol=1e-6)
    # Of the logits: (1.125 * (-.5, .5) - 1.5 * (.5, -.5)) / 2; of their kernel, times obs: (-.5625 - 1.5) / 2.
    np.testing.assert_allclose(model.get_layer("logits").bias, [0.65625, -0.65625], rtol=1e-6)
    np.testing.assert_allclose(model.get_layer("logits").kernel, [[1.03125, -1.03125]], rtol=1e-6)


def test_a_truncated_step_learns_from_its_last_observation():
    # The game ends at step 0 with the observation 4, and step 1 only resets: 1 + .9 * 4 - 2 = 2.6, or terminated 1 - 2.
    for ends, error in (({"truncated": [0]}, 2.6), ({"terminated": [0]}, -1.0)):
        model = linear()
        updated(rollout([2.0, 4.0, 7.0], [1.0, 9.0], [0, 0], **ends, resets=[1]), model)
        np.testing.assert_allclose(model.get_layer("value").kernel, [[1 + 0.5 * error * 2]], rtol=1e-6)


@pytest.mark.parametrize("end", ["terminated", "truncated"])
def test_nothing_of_a_step_that_only_resets_is_learnt(end):
    """Step 1 ends a game, step 2 resets, step 3 is of the next game; only what a terminated game shows is no value."""
    learnt = []
    for reward, action, shown in ((0.0, 0, -0.5), (1e4, 1, -0.5 if end == "truncated" else 300.0)):
        model = linear()
        obs = [0.5, 1.0, shown, 2.0, 1.0]
        parts = rollout(obs, [1.0, 0.0, reward, -1.0], [0, 1, action, 0], **{end: [1]}, resets=[2])
        learnt.append([updated(parts, model, entropy_weight=0.1), *model.get_weights()])
    for one, other in zip(*learnt, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (learnt[0][-1] != linear().get_weights()[-1]).all()


def test_the_bonus_raises_the_entropy():
    """No reward and no value, so that there is no advantage: without the bonus nothing changes."""
    parts, start, entropies = rollout([0.0, 0.0], [0.0], [0], terminated=[0]), (1.0, -1.0), []
    for weight in (0.0, 0.1):
        model = linear(logits=start)
        _, entropy = updated(parts, model, entropy_weight=weight)
        entropies += [entropy, updated(parts, model)[1]]
    assert entropies[0] == entropies[1] == entropies[2] < entropies[3]


def test_a_weight_of_0_trains_no_critic():
    parts = rollout([1.0, 2.0, 3.0], [1.0, 0.5], [0, 1], terminated=[1])
    for weight, stays in ((0.0, True), (0.5, False)):
        model = linear()
        updated(parts, model, value_weight=weight)
        assert (float(model.get_layer("value").kernel[0, 0]) == 1) == stays


def test_an_update_lowers_the_loss():
    parts, model = rollout([1.0, 2.0, 3.0], [1.0, 0.5], [0, 1], terminated=[1]), linear()
    losses = [updated(parts, model, rate=0.01)[0] for _ in range(2)]
    assert losses[1] < losses[0]


WORLDS = {  # where both kinds of end come early, if there are two
    "a2c_cartpole": ("CartPole-v1", {"max_episode_steps": 20}),
    "ppo_cartpole": ("CartPole-v1", {"max_episode_steps": 20}),
    "masked_ppo_gridworld": ("MaskedGridworld-v0", {"max_episode_steps": 10}),
    "ppo_pendulum": ("Pendulum-v1", {}),
}


def settings_of(sibling, folder, num_envs, rollout_length, **others):
    """Arguments of `train` for which a rollout is one minibatch and nothing is evaluated."""
    env_id, env_kwargs = WORLDS[sibling.__name__.removeprefix("recipes.")]
    settings = {"env_id": env_id, "env_kwargs": env_kwargs, "num_envs": num_envs, "rollout_length": rollout_length}
    if sibling is not recipe:
        settings.update(epochs=1, batch_size=num_envs * rollout_length)
    return {**settings, "hidden_units": 8, "eval_episodes": 0, "logdir": str(folder), **others}


def rollouts_of(sibling, **settings):
    """Train; returns what `update` got, one namespace for each call, and in it what `actor_of` gave before the call.

    The update must be traced once.
    """
    seen, original = [], sibling.make_update
    names = "obs", "action", "reward", "terminated", "ended", "playing"

    def noting(model, *args):
        update = original(model, *args)

        def noted(*parts):
            actor = tf.nest.map_structure(np.copy, sibling.actor_of(model))
            seen.append(SimpleNamespace(**dict(zip(names, parts, strict=False)), actor=actor))
            results = update(*parts)
            assert update.experimental_get_tracing_count() == 1
            return results

        return noted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sibling, "make_update", noting)
        sibling.train(**settings)
    return seen


@pytest.mark.parametrize("sibling", SIBLINGS[:3], indirect=True)
def test_play_goes_on_from_rollout_to_rollout_as_a_hand_would(sibling, tmp_path, monkeypatch):
    """A twin of the environments, stepped by hand with the same actions; the present weights choose them."""
    acted, act = [], sibling.act

    def noted(actor, obs, rng):
        acted.append((tf.nest.map_structure(np.copy, actor), obs, act(actor, obs, rng)))
        return acted[-1][-1]

    monkeypatch.setattr(sibling, "act", noted)
    settings = settings_of(sibling, tmp_path / "run", 6, 25, seed=5, learning_rate=0.1, steps=300)
    rollouts, ends = rollouts_of(sibling, **settings), []
    twins = make_vec(settings["env_id"], 6, "vectors", settings["env_kwargs"])
    seen = twins.reset(seed=int(np.random.default_rng(5).integers(2**31)))[0]
    over, moments = np.zeros(6, bool), iter(acted)
    for games in rollouts:
        assert games.obs.shape == (26, *seen.shape) and games.action.shape == (25, 6)
        for t in range(25):
            actor, obs, action = next(moments)
            for x, y in zip(tf.nest.flatten(actor), tf.nest.flatten(games.actor), strict=True):
                np.testing.assert_array_equal(x, y)
            np.testing.assert_array_equal(obs, seen)
            np.testing.assert_array_equal(games.obs[t], seen)
            np.testing.assert_array_equal(games.action[t], action)
            np.testing.assert_array_equal(games.playing[t], ~over)  # false exactly after an end
            seen, reward, terminated, truncated, _ = twins.step(action)
            over = terminated | truncated
            np.testing.assert_array_equal(games.obs[t + 1], seen)
            for part, wanted in (("reward", reward), ("terminated", terminated), ("ended", over)):
                np.testing.assert_array_equal(getattr(games, part)[t], wanted)
            ends += [*zip(terminated[over], truncated[over], strict=True)]
    assert next(moments, None) is None and len(rollouts) >= 2
    assert (rollouts[0].actor[0][0] != rollouts[1].actor[0][0]).any()
    assert {(True, False), (False, True)} <= {*ends}  # both kinds of end came
    episodes = read_episodes(tmp_path / "run")
    assert len(episodes["episode"]) == len(ends)
    played = sum(games.playing.sum() for games in rollouts)
    # All steps but those of the last games are of games that ended.
    assert 300 <= played < 300 + 6 * 25 and 0 <= played - episodes["episode_length"].sum() < 6 * 20


# Five numbers to see and three actions. For the masked sibling the last three numbers are the mask.
SEEN = np.array([[0.3, -0.4, 1, 1, 1], [-0.5, 0.6, 1, 0, 1]], np.float32)


def untrained(sibling):
    """A network for `SEEN`, whose logits are far from each other."""
    keras.utils.set_random_seed(0)
    model = sibling.build_actor_critic(5, 3, 16, 1.0 if sibling is recipe else True)
    head = model.get_layer("logits")
    head.set_weights([np.random.default_rng(0).normal(size=(16, 3)), np.array([-1.0, 0.0, 1.0])])
    return model


class Unheard:
    """Random numbers that keep what they are added to, the logits."""

    __array_ufunc__ = None

    def gumbel(self, size):
        return self

    def __radd__(self, logits):
        self.logits = logits
        return logits


@pytest.mark.parametrize("sibling", SIBLINGS[:3], indirect=True)
def test_in_numpy_the_actor_has_the_logits_of_the_model(sibling):
    model, rng, unheard = untrained(sibling), np.random.default_rng(1), Unheard()
    obs = rng.normal(size=(500, 5)) * 10 ** rng.uniform(-3, 3, size=(500, 1))
    obs[:, 2:] = rng.integers(2, size=(500, 3))
    obs = obs.astype(np.float32)
    action = sibling.act(sibling.actor_of(model), obs, unheard)
    wanted = model(obs)[0].numpy()
    np.testing.assert_allclose(unheard.logits, wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(action, wanted.argmax(-1))  # as greedy as without random numbers
    assert {*action} == {0, 1, 2} and wanted.std(axis=0).min() > 0.5
    head = model.get_layer("logits")
    head.set_weights([2 * head.kernel.numpy(), head.bias.numpy()])  # the actor is as new as the model
    sibling.act(sibling.actor_of(model), obs, unheard)
    np.testing.assert_allclose(unheard.logits, model(obs)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sibling", SIBLINGS[:3], indirect=True)
def test_actions_follow_the_probabilities_and_the_seed(sibling):
    model, obs = untrained(sibling), SEEN.repeat(10_000, axis=0)
    actor, wanted = sibling.actor_of(model), tf.nn.softmax(model(SEEN)[0]).numpy()
    errors = np.sqrt(wanted * (1 - wanted) / 10_000)  # standard errors of 10,000 draws
    fit = []
    for noise in (np.random.default_rng(2), SimpleNamespace(gumbel=np.random.default_rng(2).normal)):
        action = sibling.act(actor, obs, noise)
        shares = np.eye(3)[action].reshape(2, 10_000, 3).mean(1)
        fit.append((abs(shares - wanted) <= 5 * errors).all())
    assert fit == [True, False]  # with noise of another distribution the shares are others
    one, same, other = (sibling.act(actor, obs, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any() and len({*one[:10_000]}) > 1


@pytest.mark.slow
def test_a_network_that_broke_plays_until_its_loss_says_so(sibling, tmp_path):
    """The weights are NaN after the first update. No other exception comes before, and the run can be continued.

    Actions that are vectors are NaN, too, and so is the return of the next game that ends, before the next loss.
    """
    first = "return of a game" if sibling.__name__.endswith("ppo_pendulum") else "loss"
    settings = settings_of(sibling, tmp_path / "run", 2, 210, steps=1000)  # a game of Pendulum and a bit more
    updates, original = [], sibling.make_update

    def breaking(model, *args):
        update = original(model, *args)

        def broken(*parts):
            updates.append(update(*parts))
            for weight in model.trainable_variables:
                weight.assign(np.nan * weight)
            return updates[-1]

        return broken

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sibling, "make_update", breaking)
        with pytest.raises(FloatingPointError, match=f"^the {first} is nan at step"):
            sibling.train(**settings)
    assert len(updates) == (2 if first == "loss" else 1)
    assert np.isfinite(updates[0]).all() and all(np.isnan(loss) for loss, *_ in updates[1:])
    sibling.train(**settings, resume=True)
    episodes = read_episodes(tmp_path / "run")
    assert len(episodes["episode"]) > 2 and np.isfinite(episodes["episode_return"]).all()


def test_the_update_is_traced_once_and_the_loss_of_a_network_that_broke_says_so():
    model = linear()
    update = recipe.make_update(model, keras.optimizers.SGD(0.1), 0.9, 0.9, 0.5, 0.0)
    for reward in (0.0, 1.0):
        loss, _ = update(*rollout([1.0, 2.0], [reward], [0]))
        assert np.isfinite(loss)
    assert update.experimental_get_tracing_count() == 1
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    loss, _ = update(*rollout([1.0, 2.0], [0.0], [0]))
    assert np.isnan(loss)  # which `train` answers with one line


def test_the_flags_reach_the_update_and_the_optimizer(tmp_path, monkeypatch):
    reached, original = [], recipe.make_update

    def spied(model, optimizer, *settings):
        update = original(model, optimizer, *settings)
        reached.append((settings, optimizer.global_clipnorm))
        rates = []
        reached.append(rates)

        def noted(*parts):
            rates.append(float(optimizer.learning_rate))
            return update(*parts)

        return noted

    monkeypatch.setattr(recipe, "make_update", spied)
    recipe.train(
        "probes/Endless-v0", logdir=str(tmp_path / "run"), num_envs=2, hidden_units=2, rollout_length=5, steps=30,
        learning_rate=0.1, learning_rate_decay_steps=40, max_gradient_norm=0.25, gamma=0.5, gae_lambda=0.75,
        value_weight=0.125, entropy_weight=0.0625, eval_episodes=0,
    )  # fmt: skip
    assert reached[0] == ((0.5, 0.75, 0.125, 0.0625), 0.25)
    # The rate is that of a rollout's first step: 5 steps of two games, 5 more, then a reset of both and 4 steps make
    # 0, 10, 20 and 28, so .1 * (1 - 10 / 40) and so on.
    np.testing.assert_allclose(reached[1], [0.1, 0.075, 0.05, 0.03], rtol=1e-6)
    assert read_episodes(tmp_path / "run")["step"].tolist() == [20, 20]


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate", [0.02, 1e-30])
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
