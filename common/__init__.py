"""What the recipes share and no chapter teaches."""

from common import program

program.begin()  # here, so that it comes before the imports that take their time
