"""Worlds as pure functions of tensors, many games side by side, for recipes that compile the whole loop.

Each module is a world: `reset(seed, n)` → state; `observe(state)` → obs [N, ...]; `step(state, action, seed)` → next
state, obs, reward [N], terminated [N], truncated [N]. A seed is two integers, and the same seed draws the same numbers.

A game that has ended starts again in the same step: `obs` is its true last observation, and the next state is that of
the new game, so that the next action is chosen from `observe(next state)`. No step is lost to a reset.
"""

import importlib

import gymnasium as gym

WORLDS = {  # gymnasium's name → module
    "CartPole-v1": "cartpole",
    "Acrobot-v1": "acrobot",
    "MountainCar-v0": "mountain_car",
    "Pendulum-v1": "pendulum",
    "FrozenLake-v1": "frozen_lake",
    "Gridworld-v0": "gridworld",
    "MinAtarBreakout-v0": "breakout",
}


def find(env_id):
    """The module of a world.

    Raises:
        gymnasium.error.NameNotFound: the world is not here.
    """
    if env_id not in WORLDS:
        raise gym.error.NameNotFound(f"{env_id} is not written in TensorFlow; these are: {', '.join(WORLDS)}")
    return importlib.import_module(f"envs.tensor.{WORLDS[env_id]}")
