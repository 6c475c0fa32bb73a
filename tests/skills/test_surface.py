"""Laws of what the skills see: both ways of computing heights agree, and what hangs together is found as by hand."""

import numpy as np
import pytest

from qwenarm.body.cameras import pixel_grid, unproject
from qwenarm.body.objects.spec import make_spec
from qwenarm.body.scene import Placement, Scene
from qwenarm.body.simulation import Body
from qwenarm.registry import load
from qwenarm.skills import heightmap
from qwenarm.skills.grasp_shapes import rectangle


def by_hand(mask: np.ndarray, seed: tuple[int, int]) -> set[tuple[int, int]]:
    """All pixels that hang together with the seed by their sides, found one by one."""
    found, new = {seed}, [seed]
    while new:
        r, c = new.pop()
        for pixel in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
            inside = 0 <= pixel[0] < mask.shape[0] and 0 <= pixel[1] < mask.shape[1]
            if inside and mask[pixel] and pixel not in found:
                found.add(pixel)
                new.append(pixel)
    return found


@pytest.mark.parametrize("seed", range(12))
def test_what_hangs_together_is_found_as_by_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((25, 31)) < (0.45, 0.6, 0.75)[seed % 3]
    pixels = np.argwhere(mask)
    k = int(rng.integers(len(pixels)))
    found = pixels[heightmap._connected(np.flatnonzero(mask), k, mask.shape)]
    assert {tuple(pixel) for pixel in found.tolist()} == by_hand(mask, tuple(pixels[k].tolist()))


@pytest.mark.render
@pytest.mark.parametrize("camera", ["overhead", "front"])
def test_points_are_those_that_a_camera_sees_and_are_found_by_their_heights(camera: str) -> None:
    spec = make_spec("bowl", "blue")
    body = Body(Scene((Placement(spec, (0.5, 0.1, 0.0)),)), load("arms", "panda"))
    view = heightmap._DepthView(body, camera)
    points = view.points(np.arange(np.prod(heightmap.DEPTH_IMAGE_SIZE)))
    for low, high in ((heightmap.MIN_SURFACE_HEIGHT_M, heightmap.MAX_OBJECT_TOP_M), (0.02, 0.04), (-0.1, 0.001)):
        found = np.zeros(len(points), dtype=bool)
        found[view.between(low, high)] = True
        height = points[:, 2]
        clear = (np.abs(height - low) > 1e-6) & (np.abs(height - high) > 1e-6)  # single precision
        np.testing.assert_array_equal(found[clear], ((height > low) & (height < high))[clear])
        assert 0 < found.sum() < found.size
    depth = np.minimum(body.depth(camera, heightmap.DEPTH_IMAGE_SIZE), 1e3)
    aspect = heightmap.DEPTH_IMAGE_SIZE[1] / heightmap.DEPTH_IMAGE_SIZE[0]
    seen = unproject(pixel_grid(*heightmap.DEPTH_IMAGE_SIZE), depth, *body.camera_pose(camera), aspect)
    np.testing.assert_allclose(points, seen.reshape(-1, 3), rtol=1e-12)
    body.close()


@pytest.mark.parametrize("seed", range(6))
def test_the_rectangle_of_a_turned_rectangle_is_itself(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sides, yaw, middle = rng.uniform(0.03, 0.2, 2), np.radians(rng.integers(0, 90)), rng.uniform(-0.5, 0.5, 2)
    turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    corners = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) * sides / 2
    found = rectangle(corners @ turn.T + middle)
    np.testing.assert_allclose(found.center, middle, atol=1e-5)
    np.testing.assert_allclose(sorted(found.sides), sorted(sides), atol=1e-5)
    assert min(abs(found.yaw - yaw) % (np.pi / 2), np.pi / 2 - abs(found.yaw - yaw) % (np.pi / 2)) < 1e-6
