"""Jobs of a sweep on other processes and machines, over joblib, submitit (SLURM) and Ray.

Hydra composes every job here; what travels is a `Work`, our own dataclasses, and what comes back an `Outcome`. So a
worker needs no Hydra, a lost one is one failed job among others, and results reach the tables at the end.
"""
