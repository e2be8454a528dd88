"""The films of the pages: of which models, how long, how wide."""

import sys
from pathlib import Path

import imageio.v3 as imageio
import numpy as np

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
import films  # noqa: E402


def test_a_film_has_ten_seconds_at_most_and_two_models_side_by_side_where_a_beginner_is_given(tmp_path, monkeypatch):
    found = films.models()
    assert found.keys() >= {path.stem for path in (ROOT / "models").glob("*.keras")}
    (tmp_path / "book" / "results").mkdir(parents=True)
    monkeypatch.setattr(films, "ROOT", tmp_path)
    path, settings = found["q_learning_cliffwalking"]
    films.film("alone", path, settings)
    films.film("beside", path, settings, beginner=path)
    films.film("later", path, settings, start=1, seconds=2)
    alone, beside, later = (
        imageio.imread(tmp_path / "book" / "results" / n / "film.gif", index=None) for n in ("alone", "beside", "later")
    )
    assert 13 < len(alone) <= 100 and alone.shape[2] == 240 and beside.shape[2] == 480
    np.testing.assert_array_equal(later, alone[4:12])  # four pictures a second
    assert np.abs(np.diff(alone.astype(int), axis=0)).max() > 0  # something moves


def test_a_picture_keeps_its_proportions():
    assert films.small(np.zeros((400, 600, 3), np.uint8), 240).shape == (160, 240, 3)
