"""Sweeps: agents x environments x seeds x options as runs in one directory, made side by side, resumed where cut."""
