"""Prefect and the command line: the top floor, where the doors are opened."""
