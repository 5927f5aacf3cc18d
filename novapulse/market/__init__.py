"""Market data: the lake of bars, what comes in and how good it is, calendars, rings, resampling, a sample market."""
