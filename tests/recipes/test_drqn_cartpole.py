"""DRQN: what its state may know and its loss may hold, by hand; a probe world that asks for what is no longer seen."""

import gymnasium as gym
import numpy as np
import pytest

from common.lazy import keras, tf
from recipes import drqn_cartpole as recipe

# Enough to learn a probe world in a few seconds, and to compile fast.
PROBE = {
    "num_envs": 4, "obs_scale": 1.0, "memory_units": 8, "hidden_units": 8, "learning_rate": 0.02,
    "learning_rate_decay_steps": 4000, "burn_in": 1, "length": 4, "learning_starts": 64, "epsilon_decay_steps": 2000,
    "train_interval": 16, "minibatches": 8, "batch_size": 16, "target_interval": 16, "eval_interval": 0,
    "eval_episodes": 20, "steps": 4000, "gamma": 0.9,
}  # fmt: skip


def stepped(model, obs, state=None):
    """One step of the network: obs [B, D] and state [B, S], zeros if there is none → q and the next state."""
    state = np.zeros((len(obs), *model.inputs[1].shape[1:]), np.float32) if state is None else state
    return model([tf.convert_to_tensor(obs), tf.convert_to_tensor(state)])


def values(folder, obs):
    """q [T, A] of the network that a run saved, in a game that shows the numbers `obs`, [T]."""
    model = keras.models.load_model(folder / "model.keras")
    state, outputs = None, []
    for number in obs:
        q, state = stepped(model, np.array([[number]], np.float32), state)
        outputs.append(q[0])
    return np.array(outputs)


def test_targets_by_hand():
    """Three steps with gamma 0.5 and lambda 0.5, rewards 1 2 4; the best next values are 8, 4 and 2."""
    next_q = tf.constant([[[8.0, 3.0], [1.0, 4.0], [2.0, 2.0]]] * 3)
    discount, learned = np.full((3, 3), 0.5, np.float32), np.ones((3, 3), np.float32)
    discount[1, 1] = 0  # the second game terminates with its second step
    learned[1, 2] = learned[2, 2] = 0  # the third is truncated there
    reward = tf.constant([[1.0, 2.0, 4.0]] * 3)
    y = recipe.lambda_returns(reward, discount, next_q, learned, 0.5).numpy()
    # The last one has only the bootstrap: 4 + 0.5 * 2 = 5. Before it 2 + 0.5 * (4 + 5) / 2 = 4.25 and
    # 1 + 0.5 * (8 + 4.25) / 2 = 4.0625.
    np.testing.assert_allclose(y[0], [4.0625, 4.25, 5])
    # Terminated: 2 alone, and 1 + 0.5 * (8 + 2) / 2 = 3.5.
    np.testing.assert_allclose(y[1, :2], [3.5, 2])
    # Truncated: 2 + 0.5 * 4 = 4 whatever the masked row holds, and 1 + 0.5 * (8 + 4) / 2 = 4.
    np.testing.assert_allclose(y[2, :2], [4, 4])
    # lambda 0 is one step: 1 + 4, 2 + 2, 4 + 1; lambda 1 is all rewards and the last bootstrap: 1 + (2 + 5 / 2) / 2.
    np.testing.assert_allclose(recipe.lambda_returns(reward, discount, next_q, learned, 0.0)[0], [5, 4, 5])
    np.testing.assert_allclose(recipe.lambda_returns(reward, discount, next_q, learned, 1.0)[0], [3.25, 4.5, 5])


def network(seed=0, obs_size=2):
    keras.utils.set_random_seed(seed)
    model = recipe.build_q_network(obs_size, 2, 4, 3, 1.0)
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def sequence(rows=1, steps=5):
    """Observations [B, T + 1, 2] and actions [B, T]."""
    rng = np.random.default_rng(1)
    return tf.constant(rng.normal(size=(rows, steps, 2)), tf.float32), tf.constant(rng.integers(2, size=(rows, 4)))


def empty(rows=1):
    """The state [B, S] in which a game begins."""
    return tf.zeros((rows, 2 * 3 + 2))


def test_the_state_has_the_greedy_action_or_the_one_that_was_taken():
    model, (obs, _) = network(), sequence(rows=20)
    q, state = stepped(model, obs[:, 0])
    np.testing.assert_array_equal(state[:, -2:], np.eye(2)[np.argmax(q, axis=-1)])
    taken = recipe.with_action(state, np.zeros(20, int), 2)
    np.testing.assert_array_equal(taken[:, -2:], [[1, 0]] * 20)
    np.testing.assert_array_equal(taken[:, :-2], state[:, :-2])
    assert abs(stepped(model, obs[:, 1], taken)[0] - stepped(model, obs[:, 1], state)[0]).numpy().max() > 0.01


def test_unrolling_is_stepping():
    model, (obs, action) = network(), sequence(rows=4)
    state, wanted = None, []
    for t in range(5):
        q, state = stepped(model, obs[:, t], state)
        state = recipe.with_action(state, action[:, t], 2) if t < 4 else None
        wanted.append(q)
    for burn_in in (0, 2, 4):
        q = recipe.unroll(model, empty(4), obs, tf.ones((4, 5)), action, burn_in)
        np.testing.assert_allclose(q, np.stack(wanted, axis=1)[:, burn_in:], rtol=1e-5, atol=1e-6)
    state = recipe.with_action(stepped(model, obs[:, 0])[1], action[:, 0], 2)  # as remembered at the second step
    q = recipe.unroll(model, state, obs[:, 1:], tf.ones((4, 4)), action[:, 1:], 0)
    np.testing.assert_allclose(q, np.stack(wanted, axis=1)[:, 1:], rtol=1e-5, atol=1e-6)


def test_a_game_begins_with_the_state_0_whatever_came_before():
    model, (obs, action) = network(), sequence()
    inside = np.array([[0, 0, 1, 1, 1]], np.float32)
    q = recipe.unroll(model, empty(), obs, inside, action, 2)
    wanted = recipe.unroll(model, empty(), obs[:, 2:], inside[:, 2:], action[:, 2:], 0)
    np.testing.assert_allclose(q, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(q[:, 0], stepped(model, obs[:, 2])[0], rtol=1e-5, atol=1e-6)
    crossing = recipe.unroll(model, empty(), obs, np.ones_like(inside), action, 2)
    assert abs(crossing - q)[:, 0].numpy().max() > 0.01


def test_the_burn_in_warms_the_state_and_gets_no_gradient():
    model, (obs, action) = network(), sequence()
    for burn_in, reached in ((2, [0, 0, 1, 1, 1]), (0, [1, 1, 1, 1, 1])):
        with tf.GradientTape() as tape:
            tape.watch(obs)
            last = tf.reduce_sum(recipe.unroll(model, empty(), obs, tf.ones((1, 5)), action, burn_in)[:, -1])
        assert tf.reduce_any(tape.gradient(last, obs) != 0, axis=-1).numpy().tolist() == [[bool(r) for r in reached]]
    parts = [(obs[:, t:], tf.ones((1, 5 - t)), action[:, t:]) for t in (0, 2)]
    with_it, without = (recipe.unroll(model, empty(), *part, 0)[:, -1] for part in parts)
    assert abs(with_it - without).numpy().max() > 1e-4


def constant(q):
    """A network that gives the same q whatever it sees and remembers."""
    model = network(obs_size=1)
    model.set_weights([*(np.zeros_like(w) for w in model.get_weights()[:-1]), np.array(q, np.float32)])
    return model


def test_one_update_by_hand():
    """Two sequences of two steps after one of burn-in; the second game terminates with the first of them."""
    model, target_model, optimizer = constant([1.0, 2.0]), constant([5.0, 3.0]), keras.optimizers.SGD(1.0)
    update = recipe.make_update(model, target_model, optimizer, 0.99, 0.5, 1)
    obs, action = np.zeros((1, 2, 4, 1), np.float32), np.array([[[1, 0, 1], [0, 1, 0]]])
    reward, terminated = np.array([[[1, 0], [2.5, 1000]]], np.float32), np.array([[[0, 0], [1, 0]]], np.float32)
    inside, learned = np.array([[[1, 1, 1, 1], [1, 1, 1, 0]]], np.float32), np.array([[[1, 1], [1, 0]]], np.float32)
    loss = float(update(empty(2)[None], obs, inside, action, reward, terminated, learned))
    # Targets, the last step first: 0 + 0.99 * 5 = 4.95 and 1 + 0.99 * (5 + 4.95) / 2 = 5.92525; and 2.5, terminated.
    # Errors 5.92525 - 1 = 4.92525, 4.95 - 2 = 2.95 and 2.5 - 2 = 0.5; the masked step counts 0:
    # (24.2580875625 + 8.7025 + 0.25) / 4 = 8.302647.
    assert loss == pytest.approx(8.302647)
    # Slopes: 2 * 4.92525 / 4 = 2.462625 for the first action, 2 * (2.95 + 0.5) / 4 = 1.725 for the second, uphill.
    np.testing.assert_allclose(model.get_weights()[-1], [1 + 2.462625, 2 + 1.725], rtol=1e-5)
    np.testing.assert_array_equal(target_model.get_weights()[-1], [5.0, 3.0])


@pytest.mark.slow
def test_minibatches_in_one_call_are_the_same_as_one_after_the_other():
    rng = np.random.default_rng(0)
    batch = [
        rng.normal(size=(3, 8, 8)), rng.normal(size=(3, 8, 4, 1)), rng.integers(2, size=(3, 8, 4)),
        rng.integers(2, size=(3, 8, 3)), rng.normal(size=(3, 8, 3)), rng.integers(2, size=(3, 8, 3)),
        rng.integers(2, size=(3, 8, 3)),
    ]  # fmt: skip
    batch = [part if i == 3 else part.astype(np.float32) for i, part in enumerate(batch)]
    results = []
    for pieces in ([slice(0, 3)], [slice(k, k + 1) for k in range(3)]):
        model, target_model = network(0, 1), network(1, 1)
        update = recipe.make_update(model, target_model, keras.optimizers.Adam(0.01), 0.9, 0.5, 0)
        for piece in pieces:
            update(*(part[piece] for part in batch))
        results.append(model.get_weights())
    for x, y in zip(*results, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_acting_state_is_0_at_the_first_step_of_a_game_and_nowhere_else(tmp_path, monkeypatch):
    original, seen = recipe.make_act, []

    def recording(model):
        act = original(model)

        def recorded(obs, state):
            seen.append((obs.copy(), np.array(state)))
            return act(obs, state)

        return recorded

    monkeypatch.setattr(recipe, "make_act", recording)
    recipe.train("probes/Recall-v0", logdir=str(tmp_path / "run"), **{**PROBE, "steps": 200, "eval_episodes": 0})
    obs, state = (np.concatenate(part) for part in zip(*seen, strict=True))
    first = obs[:, 0] < 2  # the cue; later the world shows 2
    assert 40 < first.sum() < len(first) / 2
    kept = (state != 0).any(axis=1)
    assert not kept[first].any() and kept[~first].mean() > 0.7  # a cue of 0 leaves a new network's state 0 once more


@pytest.mark.slow
@pytest.mark.parametrize("remembers", [True, False])
def test_it_remembers_a_cue_and_its_twin_whose_state_is_always_0_does_not(tmp_path, monkeypatch, remembers):
    original = recipe.build_q_network

    def forgetful(*sizes):
        model = original(*sizes)
        q, next_state = model.outputs
        return keras.Model(model.inputs, [q, keras.layers.Rescaling(0.0)(next_state)])

    if not remembers:
        monkeypatch.setattr(recipe, "build_q_network", forgetful)
    run = recipe.train("probes/Recall-v0", logdir=str(tmp_path / "run"), **PROBE)
    q = np.stack([values(run, [cue, 2, 2, 2]) for cue in (0, 1)])  # [cue, step, action]
    if remembers:  # the last step pays 1 for the cue's action; the steps before are worth 0.9, 0.81 and 0.729
        np.testing.assert_allclose(q[:, 3], np.eye(2), atol=0.15)
        np.testing.assert_allclose(q[:, :3].max(axis=-1), [[0.729, 0.81, 0.9]] * 2, atol=0.15)
    else:  # it sees the same 2 either way, and chance pays a half
        np.testing.assert_array_equal(q[0, 1:], q[1, 1:])
        assert abs(q[:, 3] - np.eye(2)).max() > 0.3


@pytest.mark.slow
def test_a_truncated_game_goes_on_and_a_terminated_one_does_not(tmp_path):
    run = recipe.train("probes/TwoSteps-v0", logdir=str(tmp_path / "two"), **PROBE)
    np.testing.assert_allclose(values(run, [0, 1]), [[0.9, 0.9], [1, 1]], atol=0.1)
    # Worth 1 / (1 - 0.9) = 10 at every step; the ten rewards of a game that ended there would be 1 at the last.
    long = {**PROBE, "steps": 8000, "learning_rate_decay_steps": 8000}
    run = recipe.train("probes/Endless-v0", logdir=str(tmp_path / "endless"), **long)
    assert abs(values(run, [0.0] * 10) - 10).max() < 1


def test_without_velocities_one_observation_is_not_enough_and_two_are():
    """The same position and angle, one pole falling to the left and one to the right: only a memory tells them."""
    env, model = gym.make("CartPoleNoVelocity-v1").unwrapped, network()
    q = []
    for speed in (-1.0, 1.0):
        env.reset(seed=0)
        env.state = np.array([0.0, 0.0, -0.02 * speed, speed])  # after one step of 0.02 s the angle is 0
        before = np.array([env.state[[0, 2]]], np.float32)
        now = env.step(0)[0][None]
        np.testing.assert_allclose(now, 0, atol=1e-6)
        q.append([stepped(model, now)[0], stepped(model, now, stepped(model, before)[1])[0]])
    (forgetful, remembering), (forgetful_too, remembering_too) = q
    np.testing.assert_allclose(forgetful, forgetful_too, atol=1e-6)
    assert abs(remembering - remembering_too).numpy().max() > 1e-4
