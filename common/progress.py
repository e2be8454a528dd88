"""The progress of a run: a bar on a terminal or in a notebook, elsewhere a line every half minute."""

import sys
import time
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # in a notebook without ipywidgets it recommends them; its bar of text serves
    from tqdm.auto import tqdm

LINE_SECONDS = 30


class Progress:
    """Counts up to `total`.

    Args:
        total: how many there will be.
        unit: what is counted, in the singular.
        done: how many there are already.
        title: what a part of a run does, such as an evaluation; its bar vanishes at its end.
    """

    def __init__(self, total, unit, done=0, title=""):
        self.total, self.unit, self.done = total, unit, done
        shows_bar = sys.stderr.isatty() or "ipykernel" in sys.modules
        settings = {"total": total, "initial": done, "unit": unit, "smoothing": 0.1, "desc": title, "leave": not title}
        self.bar = tqdm(**settings) if shows_bar else None
        if title and not shows_bar:
            self.say(title)
        self.started, self.first, self.last_line = time.monotonic(), done, time.monotonic()

    def update(self, count, **shown):
        """Count `count` more, but never beyond the total; `shown` are names and texts beside the bar."""
        count = min(count, self.total - self.done)
        self.done += count
        now = time.monotonic()
        if self.bar is not None:
            self.bar.set_postfix(shown, refresh=False)
            self.bar.update(count)
            if not count and now - self.bar.last_print_t > 1:  # tqdm only refreshes when something was counted
                self.bar.refresh()
                self.bar.last_print_t = now
        elif now - self.last_line > LINE_SECONDS:
            self.last_line = now
            beside = "".join(f", {name} {text}" for name, text in shown.items())
            if self.done > self.first:
                left = (self.total - self.done) * (now - self.started) / (self.done - self.first)
                beside += f", about {left / 60:.1f} minutes left"
            self.say(f"{self.unit} {self.done:,} of {self.total:,}{beside}")

    def say(self, text):
        """Print a line without breaking the bar."""
        tqdm.write(text, file=sys.stderr)

    def close(self):
        """Leave the bar as it is."""
        if self.bar is not None:
            self.bar.close()
