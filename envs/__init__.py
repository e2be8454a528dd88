"""Worlds. Importing this package registers them with gymnasium and does nothing else."""

import ale_py
import gymnasium as gym

gym.register_envs(ale_py)

_PROBES = (
    "OneStep", "SeenReward", "TwoSteps", "ChosenReward", "Recall", "Endless", "AlikeActions", "OnlyNoise",
    "ChosenVector", "EndlessVector", "NoiseVector",
)  # fmt: skip
for _name in _PROBES:
    gym.register(f"probes/{_name}-v0", entry_point=f"envs.probes:{_name}")
gym.register("probes/PixelChoice-v0", entry_point="envs.probes:pixel_choice")

_GRID = {"entry_point": "envs.grids:GridEnv", "vector_entry_point": "envs.grids:GridVectorEnv"}
gym.register("Gridworld-v0", kwargs={"task": "bombs"}, **_GRID)
for _name, _task in (("Simple", "simple"), ("Obstacle", "obstacle"), ("RandomGoal", "random_goal")):
    gym.register(f"grids/{_name}-v0", kwargs={"task": _task}, **_GRID)

gym.register(
    "numpy/Blackjack-v1",
    entry_point="gymnasium.envs.toy_text.blackjack:BlackjackEnv",
    vector_entry_point="envs.blackjack:BlackjackVectorEnv",
    kwargs=dict(gym.spec("Blackjack-v1").kwargs),
)
gym.register(
    "CartPoleNoVelocity-v1",
    entry_point="envs.cartpole:CartPoleNoVelocity",
    vector_entry_point="envs.cartpole:CartPoleNoVelocityVector",
    max_episode_steps=500,
)
gym.register("MinAtarBreakout-v0", entry_point="envs.breakout:Breakout", max_episode_steps=1000)
gym.register("MaskedGridworld-v0", entry_point="envs.masked:MaskedGridworld", max_episode_steps=50)
