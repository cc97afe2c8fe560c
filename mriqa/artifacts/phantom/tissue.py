"""How bright each tissue is in a water image: fractions of the brightest organ."""

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Tissue:
    """Signal of each tissue, 0 (none) to about 1, in a T1-weighted gradient-echo water image."""

    fat: float
    visceral_fat: float
    skin: float
    muscle: float
    liver: float
    spleen: float
    renal_cortex: float
    renal_medulla: float
    pancreas: float
    blood: float
    hepatic_blood: float
    marrow: float
    disc: float
    cerebrospinal_fluid: float
    cord: float
    cortical_bone: float
    bowel_wall: float
    bowel_content: float
    fluid: float
    gas: float
    lung: float


DIXON_A = Tissue(
    fat=0.075,
    visceral_fat=0.095,
    skin=0.30,
    muscle=0.43,
    liver=0.66,
    spleen=0.50,
    renal_cortex=0.62,
    renal_medulla=0.50,
    pancreas=0.64,
    blood=0.58,
    hepatic_blood=0.84,
    marrow=0.25,
    disc=0.36,
    cerebrospinal_fluid=0.22,
    cord=0.44,
    cortical_bone=0.06,
    bowel_wall=0.47,
    bowel_content=0.40,
    fluid=0.26,
    gas=0.02,
    lung=0.035,
)
"""The first scanner: proton-density-like T1 weighting, fat well suppressed."""

DIXON_B = Tissue(
    fat=0.045,
    visceral_fat=0.06,
    skin=0.26,
    muscle=0.40,
    liver=0.72,
    spleen=0.42,
    renal_cortex=0.70,
    renal_medulla=0.47,
    pancreas=0.74,
    blood=0.85,
    hepatic_blood=0.60,
    marrow=0.20,
    disc=0.27,
    cerebrospinal_fluid=0.13,
    cord=0.38,
    cortical_bone=0.04,
    bowel_wall=0.45,
    bowel_content=0.34,
    fluid=0.16,
    gas=0.02,
    lung=0.03,
)
"""The second scanner: stronger T1 weighting and inflow, veins darker than the liver."""


def personal(tissue: Tissue, liver_fat: float, rng: np.random.Generator) -> Tissue:
    """The tissues of one person: some 6% of own deviation each; a fatty liver has less water."""
    values = {
        item.name: float(getattr(tissue, item.name) * np.exp(rng.normal(0, 0.06)))
        for item in fields(Tissue)
    }
    values["liver"] *= 1 - liver_fat
    values["bowel_content"] *= float(np.exp(rng.normal(0, 0.2)))
    return Tissue(**values)
