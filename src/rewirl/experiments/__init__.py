"""The papers' settings, what their tables measure, and sweeps of runs."""
