"""Automatic quality assessment of MRI for cohorts of tens of thousands of subjects."""

__version__ = "0.1.0"
