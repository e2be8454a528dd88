"""Whatever is remembered was seen: observations that a learner learns from but that the agent never saw are counted."""

import gymnasium as gym
import numpy as np
import pytest

from common.lazy import tf
from common.replay import FrameReplayBuffer, ReplayBuffer
from envs import atari
from envs.checked import make_vec
from envs.probes import _PixelChoice
from recipes import a2c_cartpole, actor_critic_cartpole, dqn_atari, dqn_gridworld, nfq_gridworld, reinforce_cartpole


class Colours(gym.Env):
    """One RGB image per step, channels first, as a stack of frames has them; no frame follows another."""

    observation_space = gym.spaces.Box(0, 255, (3, 84, 84), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._see(), {}

    def step(self, action):
        self.t += 1
        return self._see(), 1.0, self.t == 4, False, {}

    def _see(self):
        return self.np_random.integers(256, size=(3, 84, 84), dtype=np.uint8)


def padded(padding):
    """The probe world of pixels: four frames, before the first either zeros or copies of it."""
    return lambda: gym.wrappers.FrameStackObservation(_PixelChoice(), 4, padding_type=padding)


gym.register("memories/Zeros-v0", entry_point=padded("zero"))
gym.register("memories/Copies-v0", entry_point=padded("reset"))
gym.register("memories/Short-v0", entry_point=padded("reset"), max_episode_steps=2)  # truncated
gym.register("memories/Colours-v0", entry_point=Colours)


def watched(memory):
    """The same memory, which counts the observations that it returns and, of those, what it was never given."""

    class Watched(memory):
        seen, returned, unseen = set(), 0, 0

        def add(self, obs, action, reward, *others):
            super().add(obs, action, reward, *others)
            Watched.seen |= {row.tobytes() for row in obs}
            if memory is ReplayBuffer:  # the other finds the next observations among those acted on
                Watched.seen |= {row.tobytes() for row in others[0]}

        def sample(self, batch_size, rng):
            batch = super().sample(batch_size, rng)
            for rows in (batch.obs, batch.next_obs):
                rows = rows.reshape(-1, *rows.shape[np.size(batch_size) :])
                Watched.returned += len(rows)
                Watched.unseen += sum(row.tobytes() not in Watched.seen for row in rows)
            return batch

    return Watched


def count(recipe, memory, monkeypatch, **settings):
    """(returned, unseen) observations of a short training."""
    patched = watched(memory)
    monkeypatch.setattr(recipe, memory.__name__, patched)
    recipe.train(eval_episodes=0, **settings)
    return patched.returned, patched.unseen


FRAMES = {"num_envs": 2, "learning_starts": 60, "batch_size": 16, "train_interval": 4, "epsilon_decay_steps": 50}
ATARI = {"env_kwargs": {"max_frames": 400}, "buffer_size": 150, "episodes": 4}  # the ring is full after half of them


@pytest.mark.slow
@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize(
    ("env_id", "settings"),
    [
        ("ALE/Breakout-v5", ATARI),  # lives are lost
        ("ALE/Pong-v5", ATARI),
        ("memories/Zeros-v0", {"buffer_size": 100, "episodes": 80}),
        ("memories/Copies-v0", {"buffer_size": 100, "episodes": 80}),
        ("memories/Short-v0", {"buffer_size": 100, "episodes": 150}),
    ],
)
def test_stacks_of_frames(env_id, settings, n_step, tmp_path, monkeypatch):
    settings = {**FRAMES, **settings, "n_step": n_step, "logdir": str(tmp_path / "run")}
    returned, unseen = count(dqn_atari, FrameReplayBuffer, monkeypatch, env_id=env_id, **settings)
    assert returned > 500 and unseen == 0


@pytest.mark.slow
def test_images_that_are_no_stacks_are_refused_and_would_not_have_been_seen(tmp_path, monkeypatch):
    settings = {**FRAMES, "buffer_size": 100, "episodes": 40, "logdir": str(tmp_path / "run")}
    with pytest.raises(gym.error.Error, match="frames do not follow one another"):
        count(dqn_atari, FrameReplayBuffer, monkeypatch, env_id="memories/Colours-v0", **settings)
    monkeypatch.setattr(atari, "check_stacks", lambda env_id, env: None)
    returned, unseen = count(dqn_atari, FrameReplayBuffer, monkeypatch, env_id="memories/Colours-v0", **settings)
    assert returned == unseen > 200


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [nfq_gridworld, dqn_gridworld])
@pytest.mark.parametrize("env_id", ["grids/RandomGoal-v0", "Gridworld-v0"])
def test_grids(recipe, env_id, tmp_path, monkeypatch):
    settings = {"episodes": 30, "num_envs": 4, "max_steps": 9, "buffer_size": 100, "learning_starts": 60}
    settings.update(minibatches=2, batch_size=8, logdir=str(tmp_path / "run"))
    returned, unseen = count(recipe, ReplayBuffer, monkeypatch, env_id=env_id, **settings)
    assert returned > 500 and unseen == 0


class Clock(gym.vector.VectorEnv):
    """Shows the time, and writes it into the array that it returned before."""

    metadata = {"autoreset_mode": gym.vector.AutoresetMode.NEXT_STEP}

    def __init__(self, num_envs=1, max_episode_steps=10):
        self.num_envs, self.last = num_envs, max_episode_steps
        self.single_observation_space, self.single_action_space = OneClock.observation_space, OneClock.action_space
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)
        self.time = np.zeros((num_envs, 1), np.float32)

    def reset(self, *, seed=None, options=None):
        self.time[:] = 0
        return self.time, {}

    def step(self, actions):
        self.time += 1
        never = np.zeros(self.num_envs, bool)
        return self.time, np.ones(self.num_envs), never, self.time[:, 0] >= self.last, {}


class OneClock(gym.Env):
    """One of them."""

    observation_space, action_space = gym.spaces.Box(0, np.inf, (1,), np.float32), gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        return np.full(1, self.t, np.float32), 1.0, False, False, {}


gym.register("memories/Clock-v0", entry_point=OneClock, vector_entry_point=Clock, max_episode_steps=10)


def remembered(envs, recipe):
    """Observations of one game, [T], as the recipe keeps them until it learns."""
    if recipe is reinforce_cartpole:
        obs, *_ = recipe.play(envs, lambda obs: tf.zeros((len(obs), 2)), np.random.default_rng(0))
        return obs[:, 0, 0].tolist()
    logits, obs = (lambda obs: (tf.zeros((len(obs), 2)), None)), tf.constant(envs.reset()[0])
    return recipe.run_episodes(logits, recipe.make_env_step(envs), obs, 0).obs[:, 0, 0].numpy().tolist()


@pytest.mark.parametrize("recipe", [reinforce_cartpole, actor_critic_cartpole])
def test_whole_games_of_a_world_that_writes_into_what_it_returned(recipe):
    times = [float(t) for t in range(10)]
    assert remembered(make_vec("memories/Clock-v0", 2, "vectors"), recipe) == times
    if recipe is reinforce_cartpole:  # as it would be without the copy; a graph copies by itself
        assert remembered(gym.make_vec("memories/Clock-v0", 2), recipe) == [10.0] * 10


def first_rollout(monkeypatch, folder):
    """Observations of one game, [T + 1], as the first update of A2C gets them."""
    given, original = [], a2c_cartpole.make_update

    def noting(*args):
        update = original(*args)
        return lambda obs, *others: given.append(obs) or update(obs, *others)

    with monkeypatch.context() as patch:
        patch.setattr(a2c_cartpole, "make_update", noting)
        settings = {"num_envs": 2, "rollout_length": 10, "steps": 20, "eval_episodes": 0}
        a2c_cartpole.train("memories/Clock-v0", logdir=str(folder), **settings)
    return given[0][:, 0, 0].tolist()


def test_a_rollout_of_a_world_that_writes_into_what_it_returned(tmp_path, monkeypatch):
    """PPO plays in the same way."""
    assert first_rollout(monkeypatch, tmp_path / "run") == [float(t) for t in range(11)]
    # As it would be without the copy:
    monkeypatch.setattr(a2c_cartpole, "make_vec", lambda env_id, num_envs, **others: gym.make_vec(env_id, num_envs))
    assert first_rollout(monkeypatch, tmp_path / "twin") == [10.0] * 11
