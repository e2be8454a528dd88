"""Pictures in time: an MP4 and a GIF, which need no display, or a window, which does."""

import contextlib
import os
import sys

import numpy as np

from common.cli import UsageError
from common.files import replacing

GIF_SECONDS = 20  # a GIF holds every picture whole and grows large


def has_display():
    """Whether a window could be opened; asked before pygame is, which does not survive the answer no."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def check_display():
    """UsageError where no window could be opened."""
    if not has_display():
        raise UsageError("there is no display for a window; --video writes a film without one")


def write_film(pictures, folder, fps):
    """Write `play.mp4` with all pictures and `play.gif` with the first 20 seconds, each whole or not at all.

    Args:
        pictures: iterable of [height, width, 3] bytes, height and width even.
        folder: where to.
        fps: pictures per second.

    Returns:
        Paths of the two files.
    """
    import imageio.v2 as imageio

    if not has_display():
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # for environments that draw with pygame
    first = []
    with replacing(folder / "play.mp4") as temporary:
        temporary.touch()  # where nothing can be written, the encoder would say so in five lines
        with contextlib.closing(imageio.get_writer(temporary, fps=fps, macro_block_size=2)) as film:  # on errors, too
            for picture in pictures:
                film.append_data(picture)
                if len(first) < GIF_SECONDS * fps:
                    first.append(picture)
    with replacing(folder / "play.gif") as temporary:
        imageio.mimwrite(temporary, first, duration=1000 / fps, loop=0)
    return folder / "play.mp4", folder / "play.gif"


def show(pictures, fps):
    """Show the pictures in a window until they end or it is closed; UsageError where none can be opened."""
    check_display()
    # SDL would draw through the system's OpenGL, which does not bear TensorFlow in the same process.
    os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
    import pygame

    clock, window = pygame.time.Clock(), None
    try:
        pygame.display.init()
        for picture in pictures:
            window = window or pygame.display.set_mode(picture.shape[1::-1])
            window.blit(pygame.surfarray.make_surface(np.swapaxes(picture, 0, 1)), (0, 0))
            pygame.display.flip()
            if any(event.type == pygame.QUIT for event in pygame.event.get()):
                break
            clock.tick(fps)
    except pygame.error as error:
        raise UsageError(f"no window can be opened: {error}") from None
    finally:
        pygame.display.quit()
