"""The trained models in models/ still play as their cards say."""

from pathlib import Path

from common.lazy import keras
from recipes.dqn_atari import evaluate

MODELS = Path(__file__).parent.parent / "models"


def test_every_model_has_a_card():
    cards = (MODELS / "README.md").read_text()
    files = [path.name for path in MODELS.glob("*.keras")]
    assert files and all(f"`{name}`" in cards for name in files)


def test_pong():
    model = keras.models.load_model(MODELS / "dqn_atari_pong.keras")
    scores = evaluate(model, "ALE/Pong-v5", games=6, seed=123, epsilon=0.0)
    # The card says 20.00 with deviation 0.77: the mean of 6 games lies within five standard errors, 1.6.
    assert abs(scores.mean() - 20.0) < 5 * 0.77 / 6**0.5
