"""What operators see: events."""
