"""The rules by which topologies change."""
