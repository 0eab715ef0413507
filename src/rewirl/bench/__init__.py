"""Benchmarks: what is timed, in turns, on which machine. For `rewirl bench` and for the commands in benchmarks/."""
