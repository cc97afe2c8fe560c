"""Simulated MR artifacts with a physically anchored severity.

artifact = draw(Family.BREATHING, 0.5, volume.shape, spacing_mm, seed=7)
degraded = apply(volume, spacing_mm, artifact)
again = apply(volume, spacing_mm, Artifact.from_json(artifact.to_json()))  # equal
"""

from mriqa.artifacts.apply import apply
from mriqa.artifacts.draw import draw
from mriqa.artifacts.families import Acquisition, Family, PhaseAxis, Timing
from mriqa.artifacts.model import Artifact

__all__ = ["Acquisition", "Artifact", "Family", "PhaseAxis", "Timing", "apply", "draw"]
