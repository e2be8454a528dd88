"""One idea per file; each runs as a script and imports without side effects."""
