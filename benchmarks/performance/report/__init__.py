"""Results for people: Markdown, plots, ratios, targets."""
