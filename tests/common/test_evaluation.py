"""Whole games, each once; how a model acts; the record of evaluations and the best network."""

import gymnasium as gym
import numpy as np
import pytest

from common.evaluation import Evaluations, Scores, evaluate, make_greedy
from common.files import read_csv
from common.lazy import keras
from envs.atari import make_atari
from envs.checked import make_vec


class Scripted:
    """Three games that last 2, 4 and 3 steps, the second truncated; each step pays its number, after the end, too."""

    num_envs, lengths = 3, np.array([2, 4, 3])

    def reset(self, seed):
        self.t = 0
        return np.zeros((3, 4), np.float32), {}

    def step(self, action):
        self.t += 1
        ended, truncated = self.t == self.lengths, np.array([False, True, False])
        obs = np.full((3, 4), self.t, np.float32)
        return obs, np.full(3, float(self.t)), ended & ~truncated, ended & truncated, {}


def test_every_game_counts_once_and_whole(capsys):
    scores = evaluate(Scripted(), lambda obs: np.zeros(3, int), seed=0)
    assert scores.returns.tolist() == [1 + 2, 1 + 2 + 3 + 4, 1 + 2 + 3] and scores.lengths.tolist() == [2, 4, 3]
    assert capsys.readouterr().err == "playing 3 games, greedy\n"  # said before the first step


def test_it_says_how_many_games_before_it_plays(capsys):
    def act(obs):
        raise ZeroDivisionError  # the first step

    with pytest.raises(ZeroDivisionError):
        evaluate(Scripted(), act, seed=0, how="epsilon 0.1")
    assert capsys.readouterr().err == "playing 3 games, epsilon 0.1\n"


def test_on_the_chain_that_never_ends_the_time_limit_ends_a_game():
    scores = evaluate(make_vec("probes/Endless-v0", 3, "vectors"), lambda obs: np.zeros(3, int), seed=0)
    assert scores.returns.tolist() == [10.0] * 3 and scores.lengths.tolist() == [10] * 3


def test_a_game_without_a_time_limit_is_given_up(monkeypatch):
    monkeypatch.setattr("common.evaluation.LONGEST", 40)
    cliff = make_vec("CliffWalking-v1", 2, "numbers")  # whoever walks up stays on the board
    scores = evaluate(cliff, lambda obs: np.zeros(2, int), seed=0)
    assert scores.lengths.tolist() == [40, 40] and scores.returns.tolist() == [-40, -40]


def linear(weights):
    obs = keras.Input((1,))
    policy = keras.Model(obs, keras.layers.Dense(len(weights), use_bias=False)(obs))
    policy.set_weights([np.array([weights], np.float32)])
    return policy


def test_greedy_is_the_highest_output_and_of_several_outputs_the_first():
    policy = linear([0.0, 0, 1, 0])
    two_heads = keras.Model(policy.input, [policy.output, keras.layers.Dense(1)(policy.input)])
    for model in (policy, two_heads):
        assert make_greedy(model)(np.ones((3, 1), np.float32)).tolist() == [2, 2, 2]
        assert 2 not in make_greedy(model)(-np.ones((3, 1), np.float32))


def counting(limit):
    """A recurrent model whose state counts its calls: action 1 as soon as it counts `limit`, action 0 before."""
    obs, state = keras.Input((4,)), keras.Input((1,))
    next_state = keras.layers.Rescaling(1.0, 1.0)(state)
    q = keras.layers.Dense(2, kernel_initializer="zeros")(obs), keras.layers.Dense(2, name="count")(next_state)
    model = keras.Model([obs, state], [keras.layers.Add()(q), next_state])
    model.get_layer("count").set_weights([np.array([[0.0, 1.0]], np.float32), np.array([limit - 0.5, 0.0])])
    return model


def test_a_recurrent_model_keeps_its_state_from_step_to_step_and_begins_with_zeros():
    act, obs = make_greedy(counting(3)), np.zeros((2, 4), np.float32)
    assert [act(obs).tolist() for _ in range(4)] == [[0, 0], [0, 0], [1, 1], [1, 1]]
    again = make_greedy(counting(3))
    assert [again(obs)[0] for _ in range(3)] == [0, 0, 1]

    class Paid(Scripted):  # by the actions
        def step(self, action):
            obs, _, *answer = super().step(action)
            return obs, np.array(action, float), *answer

    scores = evaluate(Paid(), make_greedy(counting(3)), seed=0)
    assert scores.returns.tolist() == [0, 2, 1]  # games of 2, 4 and 3 steps; the third and later ones pay


def test_an_output_that_is_nan_chooses_nothing():
    with pytest.raises(FloatingPointError, match="NaN"):
        make_greedy(linear([0.0, np.nan, 1, 0]))(np.ones((3, 1), np.float32))


def vectors(scale, offset):
    """A model whose action is `scale` times the only number observed plus `offset`."""
    obs = keras.Input((1,))
    model = keras.Model(obs, keras.layers.Dense(len(scale))(obs))
    model.set_weights([np.array([scale], np.float32), np.array(offset, np.float32)])
    return model


def test_where_actions_are_vectors_the_first_output_is_the_action_itself_within_its_bounds():
    for kind in (np.float32, np.float64):
        space = gym.spaces.Box(np.array([0.1, -0.3], kind), np.array([0.7, 0.2], kind), dtype=kind)
        policy = vectors([1, 1], [0, -0.5])
        two_heads = keras.Model(policy.input, [policy.output, keras.layers.Dense(1)(policy.input)])
        for model in (policy, two_heads):
            actions = make_greedy(model, action_space=space)(np.array([[0.25], [-9], [9]], np.float32))
            assert actions.dtype == kind and all(map(space.contains, actions))
            np.testing.assert_array_equal(actions, np.array([[0.25, -0.25], [0.1, -0.3], [0.7, 0.2]], kind))


def test_the_best_action_of_the_probe_scores_0_and_a_random_one_what_it_must():
    envs = make_vec("probes/ChosenVector-v0", 3000, "vectors", actions="continuous")
    best, space = vectors([2, 2.5], [0, 2.5]), envs.single_action_space
    np.testing.assert_allclose(evaluate(envs, make_greedy(best, action_space=space), 0).returns, 0, atol=1e-12)
    # Two numbers, each a uniform one against another: the mean of (x - y)² on -1 to 1 is 1/3 + 1/3, and of two 4/3.
    returns = evaluate(envs, make_greedy(best, 1.0, action_space=space), 0).returns
    assert returns.mean() == pytest.approx(-4 / 3, abs=5 * returns.std() / np.sqrt(3000))  # five standard errors


def test_epsilon_is_the_share_of_random_vectors_each_number_anywhere_between_its_bounds():
    space = gym.spaces.Box(np.array([0, -4], np.float32), np.array([1, 4], np.float32))
    act = make_greedy(vectors([0, 0], [0.5, 9]), 0.4, seed=0, action_space=space)
    actions = np.concatenate([act(np.ones((100, 1), np.float32)) for _ in range(100)])
    assert actions.shape == (10_000, 2) and all(map(space.contains, actions))
    is_greedy = actions == np.array([0.5, 4], np.float32)
    assert (is_greedy[:, 0] == is_greedy[:, 1]).all()  # the whole vector is random, or none of it
    assert is_greedy[:, 0].mean() == pytest.approx(0.6, abs=5 * 0.5 / np.sqrt(10_000))  # five standard errors
    drawn = (actions[~is_greedy[:, 0]] - space.low) / (space.high - space.low)
    tenths = np.stack([np.histogram(column, 10, (0, 1))[0] / len(drawn) for column in drawn.T])
    np.testing.assert_allclose(tenths, 0.1, atol=5 * 0.3 / np.sqrt(len(drawn)))
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 5 / np.sqrt(len(drawn))  # each number is drawn by itself


def test_a_vector_that_is_nan_or_of_another_size_is_no_action():
    space, obs = gym.spaces.Box(-2, 2, (2,), np.float32), np.ones((3, 1), np.float32)
    with pytest.raises(FloatingPointError, match="NaN"):
        make_greedy(vectors([0, np.nan], [0, 0]), action_space=space)(obs)
    for wide in ([0], [0, 0, 0]):  # of which the first would be repeated
        with pytest.raises(AssertionError, match="not the environment's"):
            make_greedy(vectors(wide, wide), action_space=space)(obs)


def test_epsilon_is_the_share_of_random_actions():
    act = make_greedy(linear([0.0, 0, 1, 0]), 0.4, seed=0)
    actions = np.concatenate([act(np.ones((100, 1), np.float32)) for _ in range(100)])
    counts = np.bincount(actions, minlength=4) / actions.size
    np.testing.assert_allclose(counts, [0.1, 0.1, 0.7, 0.1], atol=5 * 0.5 / np.sqrt(10_000))  # five standard errors


def test_scores_in_words():
    # mean 20 / 4, deviation sqrt((16 + 4 + 4 + 16) / 4) = 3.16
    scores = Scores(np.array([1.0, 3, 7, 9]), np.array([1, 2, 3, 4]), 4)
    assert str(scores) == "5.00 ± 3.16, 1 to 9, length 2.5, 4 games"
    assert str(scores._replace(different=3)).endswith("length 2.5, 4 games (3 different)")
    assert str(Scores(np.array([1.0]), np.array([2]), 1)) == "1.00 ± 0.00, 1 to 1, length 2.0, 1 game"


def test_games_that_show_the_same_are_not_different():
    assert evaluate(make_vec("probes/Endless-v0", 9, "vectors"), lambda obs: np.zeros(9, int), 0).different == 1
    assert evaluate(make_vec("probes/SeenReward-v0", 9, "vectors"), lambda obs: np.zeros(9, int), 0).different == 2
    assert evaluate(make_vec("CartPole-v1", 9, "vectors"), lambda obs: np.zeros(9, int), 0).different == 9
    pong = make_atari("ALE/Pong-v5", 40, {"max_frames": 200, "noop_max": 5})  # 1 to 4 idle frames
    assert evaluate(pong, lambda obs: np.zeros(40, int), 0).different == 4


def constant(value):
    """A model that can be told from others."""
    obs = keras.Input((1,))
    model = keras.Model(obs, keras.layers.Dense(1, use_bias=False)(obs))
    model.set_weights([np.array([[value]])])
    return model


def scores(*returns):
    return Scores(np.array(returns, float), np.full(len(returns), 7), len(returns))


def best(folder):
    return keras.models.load_model(folder / "best.keras").get_weights()[0].item()


def test_the_best_network_is_kept(tmp_path):
    table = Evaluations(tmp_path)
    for step, value in ((10, 3.0), (20, 5.0), (30, 4.0)):
        table.add(step, step // 10, 0.5, scores(value - 1, value + 1), constant(step))
    assert best(tmp_path) == 20
    rows = read_csv(tmp_path / "evaluations.csv")
    assert rows["step"].tolist() == [10, 20, 30] and rows["mean"].tolist() == [3, 5, 4]
    assert rows["deviation"].tolist() == [1, 1, 1] and rows["games"].tolist() == [2, 2, 2]
    assert (
        rows["min"].tolist() == [2, 4, 3] and rows["max"].tolist() == [4, 6, 5] and rows["length"].tolist() == [7] * 3
    )


def test_what_was_measured_after_the_last_save_is_measured_again(tmp_path):
    table = Evaluations(tmp_path)
    for step, value in ((10, 3.0), (20, 5.0)):
        table.add(step, 1, 0.5, scores(value), constant(step))
    table, before = Evaluations(tmp_path), (tmp_path / "evaluations.csv").read_bytes()
    table.load(step=15)
    assert (tmp_path / "evaluations.csv").read_bytes() == before  # it is only read
    table.cut()
    assert read_csv(tmp_path / "evaluations.csv")["mean"].tolist() == [3]
    table.add(20, 1, 0.5, scores(4.0), constant(21))
    assert read_csv(tmp_path / "evaluations.csv")["mean"].tolist() == [3, 4] and best(tmp_path) == 21


def test_the_same_step_has_one_line(tmp_path):
    table = Evaluations(tmp_path)
    for value in (3.0, 4.0):
        table.add(10, 1, 0.5, scores(value), constant(value))
    assert read_csv(tmp_path / "evaluations.csv")["mean"].tolist() == [4.0]
