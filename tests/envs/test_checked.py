"""The door: what is let in keeps gymnasium's rules, and what is not is answered in one line."""

import sys

import gymnasium as gym
import numpy as np
import pytest

from envs.checked import find, make, make_vec
from envs.remake import remake


class Pole(gym.Env):
    """A world that keeps the rules."""

    observation_space, action_space = gym.spaces.Box(-1, 1, (2,), np.float32), gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 1.0, True, False, {}


class OldReset(Pole):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0]


class OldStep(Pole):
    def step(self, action):
        return np.zeros(2, np.float32), 1.0, True, {}


class NoSeed(Pole):
    def reset(self):
        return np.zeros(2, np.float32), {}


class OtherShape(Pole):
    def step(self, action):
        return np.zeros(3, np.float32), 1.0, True, False, {}


class ArrayReward(Pole):
    def step(self, action):
        return np.zeros(2, np.float32), np.ones(1), True, False, {}


class Nothing(Pole):
    observation_space = gym.spaces.Box(-1, 1, (0,))


class Fails(Pole):
    def step(self, action):
        raise RuntimeError("out of\nbatteries")


class SameStep(gym.vector.VectorEnv):
    """A vector that resets in the step that ends a game."""

    metadata = {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}
    single_observation_space, single_action_space = Pole.observation_space, Pole.action_space

    def __init__(self, num_envs=1):
        self.num_envs = num_envs


class Strict(Pole):
    """Pays the sum of the action, which must be one of its own, and overwrites the array that held it."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)  # as MuJoCo's

    def __init__(self, action_space):
        self.action_space = action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.full(2, 0.1), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        reward = float(action.sum())
        action[:] = 99
        return np.full(2, 0.1), reward, False, False, {}


for _world in (Pole, OldReset, OldStep, NoSeed, OtherShape, ArrayReward, Nothing, Fails, Strict):
    gym.register(f"door/{_world.__name__}-v0", entry_point=_world)
gym.register("door/SameStep-v0", entry_point=Pole, vector_entry_point=SameStep)


def test_a_world_that_keeps_the_rules_is_served():
    obs, _ = make_vec("door/Pole-v0", 3, "vectors").reset(seed=0)
    assert obs.shape == (3, 2)


@pytest.mark.parametrize(
    ("world", "said"),
    [
        ("OldReset", "fails at its first step: "),
        ("OldStep", "fails at its first step: "),
        ("NoSeed", "fails at its first step: "),
        ("ArrayReward", r"a reward is a number, not an array of the shape \(1,\)"),
        ("Nothing", "vectors of numbers are wanted"),
        ("OtherShape", r"an observation has the shape \(3,\), not that of its space"),
        ("Fails", r"fails at its first step: RuntimeError: out of batteries \(test_checked.py, line \d+\)"),
        ("SameStep", "NEXT_STEP"),
    ],
)
def test_a_world_that_breaks_the_rules_is_refused_in_one_line(world, said):
    with pytest.raises(gym.error.Error, match=said) as refusal:
        make_vec(f"door/{world}-v0", 3, "vectors")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("env_kwargs", "said"),
    [
        ({"num_envs": 3}, "num_envs is no argument of the environment"),
        ({"render_mode": "human", "id": "x"}, "id, render_mode is no argument"),
        ({"vectorization_mode": "async"}, "vectorization_mode is no argument"),
        ({"lenght": 3}, "cannot be made with {'lenght': 3}: TypeError: .*unexpected keyword argument 'lenght'"),
        ({"not a name": 3}, "cannot be made"),
    ],
)
def test_arguments_that_the_environment_does_not_take(env_kwargs, said):
    for maker in (
        lambda: make_vec("CartPole-v1", 2, "vectors", env_kwargs),
        lambda: remake("CartPole-v1", env_kwargs, 2),
    ):
        with pytest.raises(gym.error.Error, match=said):
            maker()


Box, inf = gym.spaces.Box, np.inf
VECTORS = {
    "one": Box(-1, 1, (1,), np.float32),
    "asymmetric": Box(np.array([-2, 0, 100], np.float32), np.array([5, 1, 101], np.float32)),
    "float64": Box(np.array([0.1, -0.3]), np.array([0.7, 0.2]), dtype=np.float64),  # float32 has none of these numbers
    "float16": Box(-0.1, 0.1, (2,), np.float16),
}


@pytest.mark.parametrize("space", VECTORS.values(), ids=VECTORS)
@pytest.mark.filterwarnings("error")
def test_vectors_of_actions_between_any_bounds_reach_the_world_as_it_wants_them(space):
    envs = make_vec("door/Strict-v0", 3, "vectors", {"action_space": space}, actions="continuous")
    assert envs.reset(seed=0)[0].dtype == envs.single_observation_space.dtype == np.float32
    own, low, high = envs.single_action_space, space.low, space.high
    assert own.shape == space.shape and own.dtype == np.float32
    np.testing.assert_array_equal([own.low, own.high], np.array([low, high]).astype(np.float32))
    for action, paid in (
        (own.low, low.sum()), (own.high, high.sum()),
        (own.low - 1, low.sum()), (own.high.astype(float) + 1, high.sum()),  # out of bounds, and of another type
    ):  # fmt: skip
        actions = np.tile(action, (3, 1))
        reward = envs.step(actions)[1]  # `Strict` asserts that each is an action of its own
        np.testing.assert_allclose(reward, [paid] * 3, rtol=1e-6)
        assert (actions == action).all()  # and what it wrote is not seen here
    envs.action_space.seed(0)
    actions = envs.action_space.sample()
    np.testing.assert_allclose(envs.step(actions)[1], actions.sum(axis=1), rtol=1e-3)


REFUSED_ACTIONS = {
    "infinite": Box(-inf, inf, (2,)),
    "half infinite": Box(0, inf, (2,)),
    "too wide for float32": Box(-1e300, 1e300, (2,), np.float64),
    "width too wide": Box(-3e38, 3e38, (2,)),
    "equal": Box(np.array([-1, 0], np.float32), np.array([1, 0], np.float32)),
    "equal in float32": Box(np.array([1.0]), np.array([1.0 + 1e-9]), dtype=np.float64),
    "number": Box(-1, 1, ()),
    "two axes": Box(-1, 1, (2, 2)),
    "empty": Box(-1, 1, (0,)),
    "whole numbers": Box(0, 3, (2,), np.int32),
    "dict": gym.spaces.Dict(a=Box(-1, 1, (2,))),
    "tuple": gym.spaces.Tuple([Box(-1, 1, (2,)), gym.spaces.Discrete(2)]),
    "several numbers": gym.spaces.MultiDiscrete([2, 2]),
    "bits": gym.spaces.MultiBinary(2),
}


@pytest.mark.parametrize("space", REFUSED_ACTIONS.values(), ids=REFUSED_ACTIONS)
@pytest.mark.filterwarnings("error")
def test_actions_that_no_recipe_takes_are_refused_in_one_line(space):
    env_kwargs, vectors = {"action_space": space}, "vectors of floats with finite, different bounds are wanted"
    for maker, said in (
        (lambda: make_vec("door/Strict-v0", 2, "vectors", env_kwargs, actions="continuous"), vectors),
        (lambda: make_vec("door/Strict-v0", 2, "vectors", env_kwargs), "; discrete ones are wanted"),
        (lambda: remake("door/Strict-v0", env_kwargs, 2), f"; discrete ones or {vectors}"),
    ):
        with pytest.raises(gym.error.Error, match="has the actions ") as refusal:
            maker()
        text = str(refusal.value)
        assert said in text and text.endswith("TransformAction makes them") and "\n" not in text, text


def test_actions_that_other_recipes_take_are_refused_and_these_named():
    for kind in ("vectors", "numbers"):
        with pytest.raises(gym.error.Error, match=r"DiscretizeAction .*; the recipes \*_pendulum take these$"):
            make_vec("Pendulum-v1", 2, kind)
    with pytest.raises(gym.error.Error, match=r"vectors of floats .*; most other recipes take these$"):
        make_vec("CartPole-v1", 2, "vectors", actions="continuous")
    assert remake("Pendulum-v1", {}, 2).single_action_space.shape == (1,)
    assert remake("CartPole-v1", {}, 2).single_action_space.n == 2


def test_arguments_reach_one_environment_and_a_vector():
    assert make("FrozenLake-v1", "numbers", {"map_name": "8x8"}).observation_space.n == 64
    envs = make_vec("CartPole-v1", 2, "vectors", {"max_episode_steps": 3})
    envs.reset(seed=0)
    assert [envs.step(np.array([0, 1]))[3].tolist() for _ in range(3)] == [[False] * 2, [False] * 2, [True] * 2]


def test_tuples_of_numbers_become_the_number_of_the_state():
    env, plain = make("Blackjack-v1", "numbers"), gym.make("Blackjack-v1")
    assert env.observation_space.n == 32 * 11 * 2
    (player, dealer, ace), _ = plain.reset(seed=3)
    assert env.reset(seed=3)[0] == (player * 11 + dealer) * 2 + ace
    (player, dealer, ace), *_ = plain.step(1)
    assert env.step(1)[0] == (player * 11 + dealer) * 2 + ace
    for envs in (make_vec("Blackjack-v1", 4, "numbers"), remake("Blackjack-v1", {}, 4)):
        player, dealer, ace = gym.make_vec("Blackjack-v1", num_envs=4).reset(seed=3)[0]
        obs, _ = envs.reset(seed=3)
        assert obs.tolist() == ((player * 11 + dealer) * 2 + ace).tolist() and envs.single_observation_space.n == 704
        assert envs.observation_space.contains(envs.step(np.array([0, 1, 0, 1]))[0])


MISSING = ["Ant-v5", "Ant-v2", "LunarLander-v3", "CarRacing-v3", "GymV21Environment-v0", "phys2d/CartPole-v1"]


@pytest.mark.parametrize("env_id", MISSING)
def test_a_world_whose_package_is_missing_is_one_line(env_id, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("gymnasium.envs.box2d.")]:
        monkeypatch.delitem(sys.modules, name)
    for package in ("Box2D", "mujoco"):  # which somebody may have installed
        monkeypatch.setitem(sys.modules, package, None)
    for maker in (lambda: make_vec(env_id, 2, "vectors"), lambda: remake(env_id, {}, 2)):
        with pytest.raises(gym.error.Error, match=f"{env_id} cannot be made: ") as refusal:
            maker()
        assert "\n" not in str(refusal.value)


def test_a_module_is_found_where_one_works_and_comes_after_what_is_installed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    (tmp_path / "door_module.py").write_text(
        "import gymnasium\ngymnasium.register('door/Late-v0', entry_point='x:X')\n"
    )
    (tmp_path / "json.py").write_text("raise ImportError('this must not shadow the library')\n")
    assert find("door_module:door/Late-v0") == "door/Late-v0"
    assert sys.path[-1] == str(tmp_path)
    with pytest.raises(gym.error.Error, match="unknown environment json:No-v0"):
        find("json:No-v0")
    with pytest.raises(gym.error.Error, match="cannot be imported"):
        find(":CartPole-v1x:")


class Reusing(gym.vector.VectorEnv):
    """A vector that writes every answer into the same arrays."""

    metadata = {"autoreset_mode": gym.vector.AutoresetMode.NEXT_STEP}
    single_observation_space, single_action_space = Pole.observation_space, Pole.action_space

    def __init__(self, num_envs=1):
        self.num_envs = num_envs
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.answer = (
            np.zeros((num_envs, 2), np.float32),
            np.zeros(num_envs, np.float32),
            *np.zeros((2, num_envs), bool),
        )

    def reset(self, *, seed=None, options=None):
        self.answer[0][:] = 0
        return self.answer[0], {}

    def step(self, actions):
        for part in self.answer:
            part += np.ones_like(part)
        return *self.answer, {}


gym.register("door/Reusing-v0", entry_point=Pole, vector_entry_point=Reusing)


def test_what_a_vector_returned_stays_as_it_was():
    envs = make_vec("door/Reusing-v0", 2, "vectors")
    answers = [envs.reset(seed=0)[:1], *(envs.step(np.zeros(2, int))[:2] for _ in range(2))]
    assert [float(obs[0, 0]) for obs, *_ in answers] == [0, 1, 2]
    assert [float(reward[0]) for _, reward in answers[1:]] == [1, 2]
