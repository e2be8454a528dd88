"""The trained models in models/ still play as their cards say, and load wherever Keras does."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from common.evaluation import evaluate, make_greedy
from common.files import NEW_IN_KERAS
from common.saved import load_policy
from envs.remake import remake

MODELS = Path(__file__).parent.parent / "models"
NAMES = sorted(path.stem for path in MODELS.glob("*.keras"))


def test_every_model_has_a_card_and_all_together_are_small():
    assert sorted(path.stem for path in MODELS.glob("*.json")) == NAMES
    table = (MODELS / "README.md").read_text()
    assert all(f"`{name}.keras`" in table for name in NAMES)
    assert {"dqn_atari_pong", "actor_critic_cartpole", "q_table_frozenlake", "neural_evolutionary_gridworld"} <= {
        *NAMES
    }
    assert sum(path.stat().st_size for path in MODELS.iterdir()) < 10e6


@pytest.mark.parametrize("name", NAMES)
def test_it_names_no_argument_that_keras_3_10_refuses(name):
    with zipfile.ZipFile(MODELS / f"{name}.keras") as archive:
        config = archive.read("config.json").decode()
    assert "Functional" in config and not [argument for argument in NEW_IN_KERAS if argument in config]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_plays_as_its_card_says(name):
    card = json.loads((MODELS / f"{name}.json").read_text())
    said, games = card["scores"][0], 8 if card["env_id"].startswith("ALE/") else 100
    envs = remake(card["env_id"], card["env_kwargs"], games)
    model = load_policy(MODELS / f"{name}.keras", envs.single_observation_space, envs.single_action_space)
    returns = evaluate(envs, make_greedy(model, said["epsilon"], 1, envs.single_action_space), seed=123).returns
    # Both means lie around the true one: five standard errors of their difference.
    assert abs(returns.mean() - said["mean"]) <= 5 * said["deviation"] * (1 / games + 1 / said["games"]) ** 0.5 + 1e-9


LOAD = """
import sys
sys.modules.update(common=None, envs=None, recipes=None)  # importing one of them would fail
import keras, numpy as np
assert keras.backend.backend() == sys.argv[1]
for path, obs, out in zip(sys.argv[2::3], sys.argv[3::3], sys.argv[4::3]):
    outputs = keras.models.load_model(path)(np.load(obs))
    np.save(out, keras.ops.convert_to_numpy(outputs[0] if isinstance(outputs, (list, tuple)) else outputs))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_every_model_loads_under_every_backend_and_acts_alike(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed here: pip install -e .[backends] brings it")
    words, wanted, is_discrete = [], {}, {}
    for name in NAMES:
        card = json.loads((MODELS / f"{name}.json").read_text())
        envs = remake(card["env_id"], card["env_kwargs"], 4)
        envs.action_space.seed(0)
        seen = [envs.reset(seed=0)[0]]
        for _ in range(15):
            seen.append(envs.step(envs.action_space.sample())[0])
        obs = np.concatenate(seen)
        np.save(tmp_path / f"{name}.npy", obs)
        model = load_policy(MODELS / f"{name}.keras", envs.single_observation_space, envs.single_action_space)
        wanted[name], is_discrete[name] = model(obs).numpy(), isinstance(envs.single_action_space, gym.spaces.Discrete)
        words += [str(MODELS / f"{name}.keras"), str(tmp_path / f"{name}.npy"), str(tmp_path / f"{name}_out.npy")]
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": "", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, backend, *words], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    for name in NAMES:
        found = np.load(tmp_path / f"{name}_out.npy")
        np.testing.assert_allclose(found, wanted[name], rtol=1e-3, atol=1e-4)
        if not is_discrete[name]:
            continue  # what came out is the action
        best = np.sort(wanted[name], axis=-1)
        clear = best[:, -1] - best[:, -2] > 1e-3  # where two actions are not as good as each other
        assert clear.any() and (found.argmax(-1) == wanted[name].argmax(-1))[clear].all()
