"""What metric columns alone say of raters' grades: `mriqa experiment metrics`."""
