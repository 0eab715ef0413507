"""What may be asked for: every option, and the way from what was asked to settings."""
