"""The experiments with HyS-Net: the tables of its paper, on a cohort of one's own."""
