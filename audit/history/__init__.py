"""Runs of one audit beside each other: what changed, who said so, and when to raise an alarm."""
