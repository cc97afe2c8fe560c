"""The experiments with HyS-Net."""
