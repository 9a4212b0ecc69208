"""Photographed objects on photographed scenes: worlds with a causal truth, audited."""
