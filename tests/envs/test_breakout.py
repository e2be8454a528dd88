"""Both worlds of Breakout do what MinAtar's own does, step by step, and what each other does."""

import gymnasium as gym
import minatar
import numpy as np
import pytest
import tensorflow as tf
from minatar.environments.breakout import Env as Original

import envs  # noqa: F401  registers
from envs.breakout import Breakout
from envs.tensor import breakout
from envs.tensor.games import State

GAMES, STEPS = 250, 500  # 125,000 transitions
CHOICES = minatar.Environment("breakout").minimal_action_set()  # what our actions 0, 1, 2 are called there
DIRECTIONS = {(-1, -1): 0, (1, -1): 1, (1, 1): 2, (-1, 1): 3}  # across, down → its number in MinAtar


def following(obs, chooses, t):
    """Actions [N] that keep the ball in the air for a while, so that bricks are cleared: often those under the ball."""
    ball, paddle = obs[..., 1].any(1).argmax(1), obs[:, 9, :, 0].argmax(1)
    towards = np.where(ball < paddle, 1, np.where(ball > paddle, 2, 0))
    return np.where(chooses.random(len(ball)) < (0.98 if t % 3 else 1.0), towards, chooses.integers(0, 3, len(ball)))


@pytest.fixture(scope="module", params=["random", "following"])
def played(request):
    """Arrays [STEPS, GAMES, ...] of the states before, the actions, and what followed, by one XLA program."""
    step, chooses = tf.function(breakout.step, jit_compile=True), np.random.default_rng(0)
    state, rows = breakout.reset([0, 0], GAMES), []
    for t in range(STEPS):
        obs = breakout.observe(state).numpy()
        action = chooses.integers(0, 3, GAMES) if request.param == "random" else following(obs, chooses, t)
        after, *answer = step(state, tf.constant(action, tf.int32), tf.constant([t, 1]))
        rows.append([state.now, action, *answer, after.now])
        state = after
    names = ("now", "action", "obs", "reward", "terminated", "truncated", "next_now")
    return {
        name: np.stack(column).reshape(-1, *column[0].shape[1:])
        for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }


def put(original, now):
    """Make MinAtar's game the one of a row of ours, [39]."""
    x, y, dx, dy, last_x, last_y, paddle, on_brick, _, *bricks = now.tolist()
    original.ball_x, original.ball_y, original.last_x, original.last_y = x, y, last_x, last_y
    original.ball_dir, original.pos, original.strike = DIRECTIONS[dx, dy], paddle, bool(on_brick)
    original.brick_map[1:4], original.terminal = np.reshape(bricks, (3, 10)), False


def test_each_step_is_that_of_minatar(played):
    original, ended = Original(), played["terminated"] | played["truncated"]
    assert len(ended) >= 100_000
    repeated = 0
    for i, now in enumerate(played["now"]):
        done = {int(played["action"][i]), int(now[8])}  # what was chosen, and what the last action was
        if not ended[i]:
            assert played["next_now"][i, 8] in done
            done = {played["next_now"][i, 8]}
        answers = []
        for action in done:
            put(original, now)
            reward, terminal = original.act(CHOICES[action])
            answers.append((reward, terminal, original.state()))
        assert any(
            reward == played["reward"][i] and terminal == played["terminated"][i] and (obs == played["obs"][i]).all()
            for reward, terminal, obs in answers
        ), (now, done)
        differs = not ended[i] and played["action"][i] != now[8]
        repeated += differs and played["next_now"][i, 8] == now[8]
    could = (~ended & (played["action"] != played["now"][:, 8])).sum()
    assert abs(repeated / could - breakout.STICKY) < 5 * np.sqrt(0.09 / could)


def test_everything_that_can_happen_has_happened(played):
    now, after, going = played["now"], played["next_now"], ~played["terminated"] & ~played["truncated"]
    assert played["reward"].sum() > 1000 and played["terminated"].sum() > 100
    assert (now[:, 7] == 1).any()  # on a brick
    if now[:, 9:].sum(1).min() < 20:  # only games that lasted come so far
        assert (going & (after[:, 1] == 0)).any()  # at the ceiling
    turned = going & (now[:, 1] == 8) & (now[:, 3] == 1)  # from the paddle
    assert (turned & (after[:, 2] == now[:, 2])).any() and (turned & (after[:, 2] == -now[:, 2])).any()


def test_bricks_come_back_as_in_minatar():
    now = breakout.reset([0, 0], 1).now.numpy()
    now[0, :7], now[0, 9:] = [3, 8, 1, 1, 2, 7, 3], 0  # the ball is above the paddle, no brick is left
    original = Original()
    put(original, now[0])
    assert original.act(0) == (0, False)
    state = State(tf.constant(now), tf.zeros(1, tf.int32))
    after, obs, reward, terminated, truncated = breakout.step(state, [0], [0, 0])
    assert after.now.numpy()[0, 9:].all() and not reward and not terminated and not truncated
    np.testing.assert_array_equal(obs[0], original.state())


def test_starts_are_those_of_minatar():
    original = Original()
    wanted = set()
    for _ in range(50):
        original.reset()
        wanted.add(original.state().tobytes())
    state = breakout.reset([3, 4], 1000)
    found = [obs.astype(bool).tobytes() for obs in breakout.observe(state).numpy()]
    assert len(wanted) == 2 and set(found) == wanted
    assert abs(found.count(found[0]) / 1000 - 0.5) < 0.08
    assert (state.now.numpy()[:, 2] == np.where(state.now.numpy()[:, 0] == 0, 1, -1)).all()


def test_the_world_in_numpy_is_minatars():
    env, original = Breakout(sticky_action_prob=0.0), Original()
    chooses, steps, paid = np.random.default_rng(1), 0, 0
    while steps < 100_000:
        obs, _ = env.reset(seed=steps)
        original.reset()
        while original.ball_x != env.ball[1]:
            original.reset()
        terminated = False
        while not terminated:
            np.testing.assert_array_equal(obs, original.state())
            (action,) = following(obs[None], chooses, steps)
            obs, reward, terminated, truncated, _ = env.step(action)
            assert (reward, terminated) == original.act(CHOICES[action]) and not truncated
            steps, paid = steps + 1, paid + reward
    assert paid > 5000


def test_a_sticky_action_is_repeated_and_a_new_game_remembers_none():
    env, chooses = Breakout(sticky_action_prob=0.25), np.random.default_rng(0)
    repeated = possible = 0
    for game in range(300):
        env.reset(seed=game)
        assert env.last_action == 0
        terminated = False
        while not terminated:
            before, action = env.last_action, chooses.integers(0, 3)
            _, _, terminated, _, _ = env.step(action)
            possible += action != before
            repeated += action != before and env.last_action == before
    assert abs(repeated / possible - 0.25) < 0.05
    env = Breakout(sticky_action_prob=1.0)
    env.reset(seed=0)
    for _ in range(3):
        env.step(2)
    assert env.paddle == 4
    with pytest.raises(ValueError, match="sticky_action_prob=2 is no probability"):
        Breakout(sticky_action_prob=2)


def test_games_are_truncated_in_both_worlds_after_as_many_steps():
    env = gym.make("MinAtarBreakout-v0")
    assert env.spec.max_episode_steps == breakout.LIMIT
    now = breakout.reset([0, 0], 2).now
    state = State(now, tf.constant([breakout.LIMIT - 1, breakout.LIMIT - 2]))
    after, _, _, terminated, truncated = breakout.step(state, tf.constant([0, 0]), [0, 1])
    assert truncated.numpy().tolist() == [True, False] and not terminated.numpy().any()
    assert after.time.numpy().tolist() == [0, breakout.LIMIT - 1]
    assert (after.now.numpy()[0, 4:6] == after.now.numpy()[0, :2]).all()  # a new game: the ball has left no cell yet


def test_a_picture_shows_each_thing_in_its_place():
    env = Breakout(render_mode="rgb_array")
    env.reset(seed=0)
    env.step(0)
    picture = env.render()[::24, ::24]
    assert picture.shape == (10, 10, 3) and len(np.unique(picture.reshape(-1, 3), axis=0)) == 5
    assert (picture == (200, 60, 50)).all(-1).sum() == 29  # the ball has left the place of one
