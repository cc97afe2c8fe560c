import numpy as np
import pytest

from mriqa.artifacts.phantom.abdomen import render_abdomen
from mriqa.artifacts.phantom.canvas import (
    Canvas,
    Grid,
    coverage,
    ellipsoid,
    generator,
    smooth_field,
    tube,
)
from mriqa.artifacts.phantom.person import Person, draw_body, draw_person
from mriqa.artifacts.phantom.tissue import DIXON_A

COARSE = Grid((6, 84, 112), (8.0, 4.464, 4.464), (10.0, 0.0, 0.0))


def area_cm2(person: Person, seed: int) -> float:
    """Mean area inside the skin over the slices."""
    _, depth = render_abdomen(person, DIXON_A, COARSE, seed)
    return float((depth > 0).mean(axis=0).sum() * 0.4464**2)


def test_a_filled_ellipsoid_and_tube_have_their_volumes():
    grid = Grid((40, 60, 60), (2.0, 2.0, 2.0))
    canvas = Canvas(grid, edge_mm=2.0)
    canvas.paint(ellipsoid(grid, (0, 0, 0), (20, 24, 30), 30), 1.0)
    assert canvas.image.sum() * 8 == pytest.approx(4 / 3 * np.pi * 20 * 24 * 30, rel=0.02)
    canvas = Canvas(grid, edge_mm=2.0)
    canvas.paint(tube(grid, (0, -30, 0), (0, 30, 0), 10.0), 1.0)
    expected = np.pi * 100 * 60 + 4 / 3 * np.pi * 1000
    assert canvas.image.sum() * 8 == pytest.approx(expected, rel=0.02)


def test_shapes_outside_the_grid_paint_nothing():
    grid = Grid((10, 20, 20), (2.0, 2.0, 2.0))
    assert ellipsoid(grid, (200, 0, 0), (5, 5, 5)) is None
    assert tube(grid, (0, 100, 0), (0, 120, 0), 3) is None


def test_coverage_is_half_at_the_edge():
    assert coverage(np.float32([-5, 0, 5]), 2.0).tolist() == [0.0, 0.5, 1.0]


def test_an_anchored_field_does_not_move_with_the_grid():
    near = Grid((8, 40, 40), (4.0, 4.0, 4.0))
    moved = Grid((8, 40, 40), (4.0, 4.0, 4.0), (8.0, -12.0, 20.0))
    one, other = (smooth_field(generator(5), grid, 30.0, anchored=True) for grid in (near, moved))
    np.testing.assert_allclose(one[2:, :-3, 5:], other[:-2, 3:, :-5], atol=1e-5)


def test_a_smooth_field_has_unit_variance():
    field = smooth_field(generator(1), Grid((40, 100, 100), (3.0, 3.0, 3.0)), 8.0)
    assert float(field.std()) == pytest.approx(1.0, abs=0.1)
    assert float(field.mean()) == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_body_grows_with_weight(seed):
    areas = [area_cm2(Person("M", 60, 175, weight), seed) for weight in (60, 80, 100, 120)]
    assert areas == sorted(areas)
    assert areas[-1] > 1.4 * areas[0]
    assert 300 < areas[0] < areas[-1] < 1500


def test_at_the_same_bmi_women_have_more_fat_under_the_skin_and_men_more_muscle():
    bodies = {
        sex: [
            draw_body(Person(sex, 60, height, 27 * (height / 100) ** 2), generator(seed))
            for seed in range(20)
        ]
        for sex, height in (("F", 165), ("M", 165))
    }
    fat = {sex: np.mean([body.skin_fat for body in some]) for sex, some in bodies.items()}
    wall = {sex: np.mean([body.wall for body in some]) for sex, some in bodies.items()}
    assert fat["F"] > 1.2 * fat["M"]
    assert wall["M"] > 1.1 * wall["F"]


def test_organs_grow_with_height_and_muscle_takes_up_fat_with_age():
    small, tall = (draw_body(Person("F", 60, h, 26 * h**2 / 1e4), generator(0)) for h in (150, 180))
    assert tall.scale == pytest.approx(small.scale * 180 / 150)
    young, old = (draw_body(Person("F", age, 165, 70), generator(0)) for age in (45, 80))
    assert old.muscle_fat > young.muscle_fat
    assert old.wall < young.wall


def test_people_are_plausible_and_differ():
    people = [draw_person(generator(0, number)) for number in range(400)]
    men = [person for person in people if person.sex == "M"]
    women = [person for person in people if person.sex == "F"]
    assert 0.4 < len(men) / len(people) < 0.6
    assert np.mean([p.height_cm for p in men]) - np.mean([p.height_cm for p in women]) > 10
    assert all(44 <= p.age <= 82 and 17.9 < p.bmi < 42.1 for p in people)
    assert np.std([p.bmi for p in people]) > 3


def test_the_same_seed_gives_the_same_image_and_another_seed_another():
    person = Person("F", 55, 165, 68)
    first, again, other = (render_abdomen(person, DIXON_A, COARSE, seed)[0] for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 0.01


def test_two_scans_of_a_person_show_the_same_anatomy():
    person = Person("M", 55, 178, 82)
    shifted = Grid(COARSE.shape, COARSE.spacing_mm, (18.0, 4.464, 0.0))  # one slice, one row
    one, other = (render_abdomen(person, DIXON_A, grid, 6)[0] for grid in (COARSE, shifted))
    stranger = render_abdomen(person, DIXON_A, COARSE, 7)[0]
    inner = (slice(1, None), slice(8, -8), slice(8, -8))
    moved = np.roll(np.roll(other, 1, axis=0), 1, axis=1)
    same = np.corrcoef(one[inner].ravel(), moved[inner].ravel())[0, 1]
    different = np.corrcoef(one[inner].ravel(), stranger[inner].ravel())[0, 1]
    assert same > 0.95 > different


def test_fat_is_dark_but_not_black_and_the_air_is_empty():
    person = Person("F", 60, 165, 95)
    image, depth = render_abdomen(person, DIXON_A, COARSE, 8)
    fat = image[(depth > 6) & (depth < 12)]
    assert 0.03 < np.median(fat) < 0.2
    liver_like = np.percentile(image[depth > 20], 95)
    assert liver_like > 4 * np.median(fat)
    far = np.zeros(COARSE.shape, bool)
    far[:, :6, 40:70] = True  # behind the back: table, no arms
    assert image[far & (depth < -8)].max() == 0
