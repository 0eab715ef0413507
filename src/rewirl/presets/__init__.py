"""Settings by name, a file per paper."""
