"""See the notebooks in `nbs/`."""
