"""Environments inside a graph: what a step takes and returns, and what it raises."""

import re

import gymnasium as gym
import numpy as np
import pytest

from common.graph import compile_first, make_env_step
from common.lazy import tf
from common.run import Run

BYTES = gym.spaces.Box(0, 255, (2, 3), np.uint8)


class Recorder(gym.vector.VectorEnv):
    """Two games that note each action and answer with what they were given."""

    num_envs, single_observation_space = 2, BYTES

    def __init__(self, *answer):
        self.answer, self.actions = answer, []

    def step(self, action):
        self.actions.append(action)
        if isinstance(self.answer[0], BaseException):
            raise self.answer[0]
        return *self.answer, {}


def answer(obs=BYTES, reward=(1, -2), count=2):
    obs = np.arange(count * 6, dtype=obs.dtype).reshape(count, 2, 3)
    return obs, np.array(reward), np.array([True, False]), np.array([False, True])


@pytest.mark.parametrize(
    "action", [np.array([1, 0]), np.array([[0.5, -0.5, 0.0], [1.0, 2.0, 3.0]], np.float32)], ids=["numbers", "vectors"]
)
def test_a_step_takes_the_action_as_it_is_and_returns_what_the_world_answered(action):
    wanted = answer()
    envs = Recorder(*wanted)
    env_step, shapes = make_env_step(envs), []

    @tf.function
    def graph(action):
        results = env_step(action)
        shapes.append([(result.dtype, result.shape) for result in results])  # known before anything is stepped
        return results

    results = graph(action)
    assert shapes == [[(tf.uint8, (2, 2, 3)), (tf.float32, (2,)), (tf.bool, (2,)), (tf.bool, (2,))]]
    for result, part in zip(results, wanted, strict=True):
        np.testing.assert_array_equal(result, part)
    (taken,) = envs.actions
    assert taken.dtype == action.dtype
    np.testing.assert_array_equal(taken, action)


@pytest.mark.parametrize(
    "reward", [np.array([1, -2], np.int32), np.array([1.0, -2.0]), np.array([1.0, -2.0], np.float32)], ids=str
)
def test_rewards_of_any_type_are_float32(reward):
    _, result, *_ = tf.function(make_env_step(Recorder(*answer(reward=reward))))(np.array([0, 0]))
    assert result.dtype == tf.float32 and result.numpy().tolist() == [1.0, -2.0]


def test_an_observation_of_another_shape_or_type_is_refused():
    for wrong in (answer(count=3), answer(obs=np.zeros(0, np.int64))):
        with pytest.raises(tf.errors.OpError):
            tf.function(make_env_step(Recorder(*wrong)))(np.array([0, 0]))


class Broken(Exception):
    """What no library raises."""


def test_an_exception_of_a_world_comes_out_as_it_is(tmp_path):
    """TensorFlow makes an error of its own of it, which a run undoes."""
    envs = Recorder(Broken("the world broke"))
    with pytest.raises(tf.errors.OpError):
        tf.function(make_env_step(envs))(np.array([0, 0]))
    arguments = {"env_id": "a", "episodes": 1, "seed": 0, "logdir": str(tmp_path), "resume": False}
    run = Run("a_recipe", arguments)
    run.begin(step=0)
    env_step = tf.function(make_env_step(run.in_graph(envs)))
    with pytest.raises(Broken, match="^the world broke$") as error, run:
        env_step(np.array([0, 0]))
    assert error.value is envs.answer[0] and len(envs.actions) == 2


def test_a_function_is_compiled_before_it_counts_and_changes_nothing(capsys):
    weight, step = tf.Variable([1.0, 2.0]), tf.Variable(3)

    @tf.function(jit_compile=True)
    def learn(x):
        weight.assign_add(x)
        step.assign_add(1)
        return tf.reduce_sum(weight)

    compile_first(learn, [weight, step], tf.constant([0.5, 0.5]))
    assert re.fullmatch(r"compiled        in \d+\.\d s\n", capsys.readouterr().out)
    assert weight.numpy().tolist() == [1, 2] and step.numpy() == 3
    assert learn(tf.constant([0.5, 0.5])) == 4 and learn.experimental_get_tracing_count() == 1
