"""A model's card says how it plays, whatever its actions are."""

import sys
from pathlib import Path

import numpy as np

from common.lazy import keras

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))
import model_cards  # noqa: E402


def test_a_model_whose_actions_are_vectors_is_judged(tmp_path, monkeypatch):
    monkeypatch.setattr(model_cards, "MODELS", tmp_path)
    obs = keras.Input((1,))
    model = keras.Model(obs, keras.layers.Dense(2)(obs))
    model.set_weights([np.array([[2, 2.5]], np.float32), np.array([0, 2.5 + 1], np.float32)])
    model.save(tmp_path / "vector.keras")
    (score,) = model_cards.judged("vector", "probes/ChosenVector-v0", {})["scores"]
    # The best action is (2 x, 2.5 + 2.5 x), and the half range of its second number 2.5: 1 too much costs 0.4² = 0.16,
    # and less where the bound, 5, clips it.
    assert score["games"] == 100 and abs(score["min"] + 0.16) < 1e-6 and -0.16 < score["mean"] <= score["max"] <= 0
    card = {
        "env_id": "probes/ChosenVector-v0", "env_kwargs": {}, "scores": [score], "seed": 0, "steps": 9, "minutes": 0.1,
        "machine": {"processor": "x", "cores": 2}, "git_commit": "abc", "command": "python",
    }  # fmt: skip
    assert f"| `vector.keras` | `probes/ChosenVector-v0` | greedy: {score['in_words']} |" in model_cards.row(
        "vector", card
    )
