"""Slice, volume and subject ratings from few, noisy labels (Liu et al., IEEE TMI 2020)."""
