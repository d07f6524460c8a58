"""Streets drawn from a seed, with all ten classes and exact labels."""
