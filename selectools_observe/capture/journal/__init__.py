"""Run journals: the steps of a run on disk while it goes on, and the recovery of killed runs."""
