#!/bin/sh
# Two sparsities, two seeds, one page. Run: sh sweep_and_report.sh [OPTIONS of all runs, such as --total-timesteps 2000]
set -e
rewirl sweep sparsities.toml --directory runs/sparsities --dry-run "$@" # which runs, and about how long they take
rewirl sweep sparsities.toml --directory runs/sparsities "$@"           # again after Ctrl-C, and it goes on
rewirl report runs/sparsities --output sparsities.html                  # curves, intervals, connections
