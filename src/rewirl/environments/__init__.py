"""The world: finding, making and checking environments."""
