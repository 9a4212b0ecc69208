"""Planted shortcuts whose truth is measured without the tool: how well the verdict finds them."""
