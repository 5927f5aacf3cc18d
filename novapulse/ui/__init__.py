"""What notebooks and apps share: one theme, and the charts that are drawn in it."""
