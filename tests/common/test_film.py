"""Films can be read back; a window needs a display and says so."""

import imageio.v3 as imageio
import numpy as np
import pytest

from common.cli import UsageError
from common.film import show, write_film

PICTURES = [np.full((40, 60, 3), 5 * i, np.uint8) for i in range(45)]  # ever brighter


def test_a_film_holds_every_picture_in_order(tmp_path, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    film, gif = write_film(iter(PICTURES), tmp_path, fps=15)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["play.gif", "play.mp4"] == [gif.name, film.name]
    pictures = imageio.imread(film)
    assert pictures.shape == (45, 40, 60, 3)
    assert (np.diff(pictures.mean((1, 2, 3))) > 2).all()
    assert imageio.immeta(film)["fps"] == 15
    assert imageio.imread(gif).shape == (45, 40, 60, 3)


def test_a_gif_holds_twenty_seconds(tmp_path):
    film, gif = write_film(iter(PICTURES), tmp_path, fps=2)
    assert len(imageio.imread(film)) == 45 and len(imageio.imread(gif)) == 40


def test_a_film_that_breaks_off_leaves_nothing(tmp_path):
    def torn():
        yield PICTURES[0]
        raise RuntimeError("torn")

    with pytest.raises(RuntimeError, match="torn"):
        write_film(torn(), tmp_path, fps=15)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named_without_the_encoders_words(tmp_path, capfd):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_film(iter(PICTURES), tmp_path / "nowhere", fps=15)
    assert capfd.readouterr() == ("", "")


def test_a_window_needs_a_display(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="no display"):
        show(PICTURES, fps=15)
