"""The audit as a list of steps, on a run folder and without Prefect."""
