"""The version, read as text by setup.py and imported by everything else."""

__version__ = '0.1.0'
