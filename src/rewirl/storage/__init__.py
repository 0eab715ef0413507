"""All that touches the disk: run directories, checkpoints, policies, logs."""
