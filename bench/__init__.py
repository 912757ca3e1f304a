"""What it costs, measured as ratios to something else in the same run."""
