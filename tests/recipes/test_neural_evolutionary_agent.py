"""Elites by hand, lessons that are learnt, a generation that finds the goal."""

import json

import numpy as np
import pytest

from common.lazy import keras, tf
from recipes.neural_evolutionary_agent import (
    Agent,
    Trajectories,
    build_brain,
    cross_entropy,
    gather_elite_xp,
    rollout,
    train,
)


def agent(seed=0, learning_rate=0.01):
    keras.utils.set_random_seed(seed)
    return Agent(build_brain((8, 8), 5, 32), keras.optimizers.Adam(learning_rate), np.random.default_rng(seed))


def test_elites_by_hand():
    """Rewards [3,1,4,1,5,9,2,6,5,3]: the 70th percentile is 5, and four games reach it, ties included."""
    rewards = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 3.0])
    obs = np.broadcast_to(np.arange(10, dtype=np.uint8)[None, :, None, None], (3, 10, 1, 1))
    playing = np.ones((3, 10), bool)
    playing[1:, 5] = False  # the best game had one step
    actions = np.broadcast_to(np.arange(10), (3, 10))
    elite_obs, elite_actions, threshold = gather_elite_xp(Trajectories(obs, actions, playing, rewards), 70)
    assert threshold == 5.0
    assert sorted(elite_actions.tolist()) == [4, 4, 4, 5, 7, 7, 7, 8, 8, 8]
    assert (elite_obs[:, 0, 0] == elite_actions).all()  # observation and action of the same step of the same game


def test_the_loss_by_hand_and_what_the_texts_loss_makes_of_logits():
    logits = tf.constant(np.log([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]]).astype(np.float32))
    assert float(cross_entropy(logits, tf.constant([0, 2]))) == pytest.approx(
        0.524911, abs=1e-6
    )  # -(ln 0.7 + ln 0.5)/2
    raw = tf.constant([[2.0, -1.0, 0.5]])
    assert np.isnan(tf.math.log(raw).numpy()).any()  # the text draws actions from this
    taken_for_probabilities = keras.losses.categorical_crossentropy(tf.constant([[0.0, 1.0, 0.0]]), raw)
    assert abs(float(taken_for_probabilities[0]) - float(cross_entropy(raw, tf.constant([1])))) > 1


def test_lessons_are_learnt_with_one_trace():
    pupil, rng = agent(), np.random.default_rng(0)
    obs, actions = rng.integers(0, 5, size=(100, 8, 8), dtype=np.uint8), rng.integers(5, size=100)
    first = pupil.learn(obs, actions, epochs=1, batch_size=32)
    last = pupil.learn(obs, actions, epochs=60, batch_size=32)
    assert last < 0.6 * first
    assert (pupil.get_best_action(obs) == actions).mean() > 0.9
    assert pupil.update.experimental_get_tracing_count() == 1


def test_actions_are_drawn_with_their_probability():
    player = agent()
    wanted = np.array([0.1, 0.2, 0.3, 0.15, 0.25])
    player.think = lambda obs: tf.constant(np.log(np.tile(wanted, (len(obs), 1))))
    counts = np.bincount(player.get_action(np.zeros((20_000, 8, 8), np.uint8)), minlength=5) / 20_000
    np.testing.assert_allclose(counts, wanted, atol=5 * 0.5 / np.sqrt(20_000))  # five standard errors


class Scripted:
    """Three games that last 2, 4 and 3 steps, the second truncated; each step pays its number."""

    num_envs, lengths = 3, np.array([2, 4, 3])

    def reset(self, seed):
        self.t = 0
        return np.zeros((3, 8, 8), np.uint8), {}

    def step(self, actions):
        self.t += 1
        ended, limit = self.t == self.lengths, np.array([False, True, False])
        return np.full((3, 8, 8), self.t, np.uint8), np.full(3, float(self.t)), ended & ~limit, ended & limit, {}


def test_a_rollout_stops_each_game_at_its_end():
    played = rollout(Scripted(), lambda obs: np.zeros(3, int), seed=0)
    assert played.rewards.tolist() == [3, 10, 6]  # 1 + 2, 1 + 2 + 3 + 4, 1 + 2 + 3
    assert played.playing.sum(0).tolist() == [2, 4, 3]
    assert played.obs[:, 1, 0, 0].tolist() == [0, 1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize(("learning_rate", "generations"), [(0.01, 30), (1e-30, 4)])
def test_it_reaches_the_goal_and_its_twin_without_learning_does_not(tmp_path, learning_rate, generations):
    train(seed=11, logdir=str(tmp_path / "run"), learning_rate=learning_rate, episodes=300 * generations)
    found = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert len(found["generation_mean"]) == len(found["elite_threshold"]) == generations
    reached = max(found["generation_mean"]) >= 0.95, np.mean(found["scores"]) >= 0.95
    assert reached == ((True, True) if learning_rate > 1e-9 else (False, False))
    assert (tmp_path / "run" / "generations.png").exists() and (tmp_path / "run" / "policy.png").exists()
