"""Films are read back with the ffmpeg that wrote them: size, number and colours of the pictures."""

from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from qwenarm.display.video import FilmWriter
from qwenarm.errors import BadInput


def picture(height: int, width: int, shade: int) -> np.ndarray:
    rgb = np.full((height, width, 3), shade, np.uint8)
    rgb[: height // 2, :, 0] = 255 - shade
    return rgb


def read(path: Path) -> tuple[dict, list[np.ndarray]]:
    frames = imageio_ffmpeg.read_frames(str(path))
    meta = next(frames)
    assert isinstance(meta, dict)
    width, height = meta["size"]
    return meta, [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in frames]


@pytest.mark.parametrize(("size", "even"), [((64, 80), (64, 80)), ((63, 81), (64, 82)), ((1, 1), (2, 2))])
def test_what_is_written_can_be_read(tmp_path: Path, size: tuple[int, int], even: tuple[int, int]):
    shades = range(20, 230, 15)
    with FilmWriter(tmp_path / "new" / "film.mp4", fps=10) as film:
        for shade in shades:
            film.add(picture(*size, shade))
    meta, frames = read(film.path)
    assert meta["codec"] == "h264" and "yuv420p" in meta["pix_fmt"] and meta["fps"] == 10
    assert film.pictures == len(frames) == len(shades)
    for shade, frame in zip(shades, frames, strict=True):
        assert frame.shape[:2] == even
        if min(size) > 1:
            error = frame[: size[0], : size[1]].astype(float) - picture(*size, shade)
            assert np.abs(error).mean() < 6


def test_an_exception_leaves_a_film_of_what_came_before(tmp_path: Path):
    path = tmp_path / "film.mp4"

    def shoot() -> None:
        with FilmWriter(path) as film:
            for shade in (10, 100, 200, 300):
                film.add(picture(32, 32, shade))

    with pytest.raises(OverflowError):
        shoot()
    assert len(read(path)[1]) == 3


def test_a_film_without_pictures_is_no_file(tmp_path: Path):
    with FilmWriter(tmp_path / "film.mp4") as film:
        pass
    assert not film.path.exists()


def test_wrong_pictures_are_refused_and_do_not_harm_the_film(tmp_path: Path):
    with FilmWriter(tmp_path / "film.mp4") as film:
        film.add(picture(32, 48, 100))
        with pytest.raises(BadInput, match="32 x 48"):
            film.add(picture(48, 32, 100))
        for wrong in (np.zeros((32, 48), np.uint8), np.zeros((32, 48, 3)), np.zeros((0, 48, 3), np.uint8)):
            with pytest.raises(BadInput, match="uint8"):
                film.add(wrong)
        film.add(picture(32, 48, 120))
    assert len(read(film.path)[1]) == 2
    with pytest.raises(BadInput, match="closed"):
        film.add(picture(32, 48, 100))


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    film = FilmWriter(tmp_path / "file" / "film.mp4")
    with pytest.raises(OSError, match="file"):
        film.add(picture(32, 32, 0))
