"""What keeps a process observable: clock, logs, crash hooks, watchdog, health, disk."""
