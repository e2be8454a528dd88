"""Every registered world: gymnasium's own check, seeds that repeat, limits that truncate, rewards by hand."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs  # noqa: F401  registers

OURS = sorted(name for name, spec in gym.registry.items() if str(spec.entry_point).startswith("envs."))


def play(env_id, seed, steps=60):
    """Everything an environment answers to random actions, which are the same at every call."""
    env = gym.make(env_id)
    env.action_space.seed(0)
    answers = [env.reset(seed=seed)[0]]
    for _ in range(steps):
        *answer, _ = env.step(env.action_space.sample())
        answers.append(answer)
        if answer[2] or answer[3]:
            answers.append(env.reset()[0])
    env.close()
    return answers


def test_there_are_worlds():
    assert len(OURS) == 19


@pytest.mark.filterwarnings("ignore:.*different from the unwrapped version")  # as registered, wrappers and all
@pytest.mark.filterwarnings("ignore:.*we recommend using a symmetric and normalized space")  # other bounds are a point
@pytest.mark.parametrize("env_id", OURS)
def test_gymnasium_accepts_it(env_id):
    check_env(gym.make(env_id, disable_env_checker=True), skip_render_check=True)


@pytest.mark.parametrize("env_id", OURS)
def test_a_seed_repeats(env_id):
    np.testing.assert_equal(play(env_id, seed=1), play(env_id, seed=1))


@pytest.mark.parametrize("name", ["SeenReward", "ChosenReward", "Recall", "PixelChoice", "ChosenVector"])
def test_another_seed_differs(name):
    with pytest.raises(AssertionError):
        np.testing.assert_equal(play(f"probes/{name}-v0", seed=1), play(f"probes/{name}-v0", seed=2))


def rewards(env_id, choose):
    """Rewards of one episode, and how it ended."""
    env = gym.make(env_id)
    obs, _ = env.reset(seed=0)
    collected, terminated, truncated = [], False, False
    while not (terminated or truncated):
        obs, reward, terminated, truncated, _ = env.step(choose(obs))
        collected.append(reward)
    return collected, terminated, truncated


def test_the_probes_pay_what_they_promise():
    assert rewards("probes/OneStep-v0", lambda obs: 0) == ([1.0], True, False)
    assert rewards("probes/TwoSteps-v0", lambda obs: 0) == ([0.0, 1.0], True, False)
    assert rewards("probes/Endless-v0", lambda obs: 0) == ([1.0] * 10, False, True)
    assert rewards("probes/ChosenReward-v0", lambda obs: int(obs[0])) == ([1.0], True, False)
    assert rewards("probes/ChosenReward-v0", lambda obs: 1 - int(obs[0])) == ([0.0], True, False)
    first = []
    assert rewards("probes/Recall-v0", lambda obs: first.append(int(obs[0])) or first[0]) == ([0, 0, 0, 1], True, False)
    assert rewards("probes/Recall-v0", lambda obs: 1 - first[0]) == ([0.0] * 4, True, False)
    assert first[1:] == [2, 2, 2]
    lit = lambda obs: int(obs[-1, 0, -1] > 0)  # noqa: E731
    assert rewards("probes/PixelChoice-v0", lit) == ([1.0] * 4, True, False)
    assert rewards("probes/PixelChoice-v0", lambda obs: 1 - lit(obs)) == ([0.0] * 4, True, False)


def test_the_probes_of_vectors_pay_what_they_promise():
    anything = np.array([0.4, -0.4], np.float32)
    assert rewards("probes/EndlessVector-v0", lambda obs: anything) == ([1.0] * 10, False, True)
    best = lambda x: np.array([2 * x, 2.5 + 2.5 * x], np.float32)  # noqa: E731
    ((reward,), *end) = rewards("probes/ChosenVector-v0", lambda obs: best(obs[0]))
    assert reward == pytest.approx(0, abs=1e-12) and end == [True, False]
    # Half ranges are 2 and 2.5: 1 beside the best first number and 0.5 beside the second are (1/2)² + (1/5)² = 0.29.
    ((reward,), *_) = rewards("probes/ChosenVector-v0", lambda obs: best(obs[0]) + [1, -0.5])
    assert reward == pytest.approx(-0.29)
    space = gym.make("probes/ChosenVector-v0").action_space
    assert best(-1).tolist() == space.low.tolist() and best(1).tolist() == space.high.tolist()


def test_seen_reward_is_the_observation():
    env = gym.make("probes/SeenReward-v0")
    seen = set()
    for seed in range(20):
        obs, _ = env.reset(seed=seed)
        assert env.step(0)[1] == obs[0]
        seen.add(float(obs[0]))
    assert seen == {-1.0, 1.0}
