"""What the numbers of a track record are worth: pure functions of returns, equity and round trips."""
