"""The experiments with HyS-Net: the paper's tables on one's own cohort."""
