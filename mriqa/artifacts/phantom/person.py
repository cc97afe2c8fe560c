"""Who is scanned: sex, age, height and weight, and the body that follows from them.

Distributions resemble a middle-aged European cohort; waist, fat and muscle follow body mass index,
sex and age with a person's own deviation, so that the same weight does not mean the same body.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Sex = Literal["F", "M"]


@dataclass(frozen=True)
class Person:
    """One participant as the demographics table has it."""

    sex: Sex
    age: int
    height_cm: float
    weight_kg: float

    @property
    def bmi(self) -> float:
        """Body mass index in kg/m²."""
        return self.weight_kg / (self.height_cm / 100) ** 2


@dataclass(frozen=True)
class Body:
    """Measures of a trunk, in mm unless named otherwise.

    `half_width` and `half_depth` are those of the outer skin at the waist; `skin_fat` is the mean
    subcutaneous thickness; `wall` that of the abdominal muscles; `scale` multiplies all organs.
    """

    half_width: float
    half_depth: float
    skin_fat: float
    wall: float
    scale: float
    hip_flare: float
    muscle_fat: float
    liver_fat: float
    lordosis: float


def draw_person(rng: np.random.Generator) -> Person:
    """Draw a participant aged 44 to 82, body mass index 18 to 42."""
    sex: Sex = "F" if rng.random() < 0.52 else "M"
    age = int(np.clip(rng.normal(64, 8), 44, 82))
    mean, spread = (163.0, 6.2) if sex == "F" else (176.5, 6.7)
    height = round(float(np.clip(rng.normal(mean, spread), 145, 200)), 1)
    median = 25.8 if sex == "F" else 27.0
    bmi = float(np.clip(median * np.exp(rng.normal(0, 0.155)), 18, 42))
    return Person(sex, age, height, round(bmi * (height / 100) ** 2, 1))


def draw_body(person: Person, rng: np.random.Generator) -> Body:
    """Draw the trunk of a person.

    Waist circumference grows by about 2.2 cm and skin fat by 1.2 (men) to 1.7 mm (women) per
    kg/m²; muscle thins and takes up fat with age.
    """
    male = person.sex == "M"
    over, years = person.bmi - 18.0, person.age - 64
    deviation = rng.normal(0, 1, 7)
    waist = (770 if male else 695) + 21.5 * over + 1.2 * years + 22 * deviation[0]
    ratio = float(np.clip(0.71 + 0.0045 * (over - 8) + 0.02 * deviation[1], 0.64, 0.86))
    # A superellipse of exponent 2.3 is some 3% longer around than the ellipse of its axes.
    half_width = waist / (2 * np.pi * np.sqrt((1 + ratio**2) / 2)) / 1.03
    fat = (3.5 + 1.15 * over if male else 5.0 + 1.65 * over) * np.exp(0.16 * deviation[2])
    return Body(
        half_width=float(half_width),
        half_depth=float(half_width * ratio),
        skin_fat=float(np.clip(fat, 2.5, 0.3 * half_width)),
        wall=float((16.5 if male else 12.5) - 0.09 * years + 1.2 * deviation[3]),
        scale=person.height_cm / 170 * (1.03 if male else 0.97),
        hip_flare=0.02 if male else 0.09,
        muscle_fat=float(np.clip(0.12 + 0.008 * years + 0.05 * deviation[4], 0.02, 0.4)),
        liver_fat=float(np.clip(0.012 * (over - 6) + 0.06 * deviation[5], 0.0, 0.35)),
        lordosis=float(6 + 2 * deviation[6]),
    )
