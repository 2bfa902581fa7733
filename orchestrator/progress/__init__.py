"""What a running sweep tells its audience, how far it is, and how that is shown."""
