import io

import numpy as np
import pytest
from PIL import Image

from dseh_tf.data.decoding import check_header, decode_bytes, decode_file, resize
from dseh_tf.errors import InputError


@pytest.fixture
def gradient():
    y, x = np.mgrid[:40, :60]
    return np.stack([x * 4, y * 6, 255 - x * 4], axis=-1).astype(np.uint8)


def test_rgb_png_is_read_exactly(tmp_path, gradient):
    Image.fromarray(gradient).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode_file(tmp_path / "a.png"), gradient)
    np.testing.assert_array_equal(decode_bytes((tmp_path / "a.png").read_bytes(), "a"), gradient)


def test_jpeg_is_close(tmp_path, gradient):
    Image.fromarray(gradient).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(decode_file(tmp_path / "a.jpg").astype(int) - gradient).mean() < 3


@pytest.mark.parametrize("mode", ["L", "1", "LA", "P", "CMYK", "YCbCr"])
def test_other_modes_become_rgb(tmp_path, gradient, mode):
    image = Image.fromarray(gradient).convert(mode)
    file = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr") else "a.png")
    image.save(file)
    found = decode_file(file)
    assert found.shape == (40, 60, 3) and found.dtype == np.uint8
    assert np.abs(found.astype(int) - np.asarray(image.convert("RGB"))).max() <= 3


def test_cmyk_jpeg(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    assert decode_file(tmp_path / "a.jpg")[4, 4].tolist() == pytest.approx([255, 0, 0], abs=6)


def test_16_bit_grey_keeps_its_high_byte(tmp_path):
    deep = np.arange(0, 65536, 1024, dtype=np.uint16).reshape(8, 8)
    Image.fromarray(deep).save(tmp_path / "a.png")
    Image.fromarray(deep).save(tmp_path / "a.tif")
    for name in ("a.png", "a.tif"):
        np.testing.assert_array_equal(decode_file(tmp_path / name), np.repeat((deep // 256)[..., None], 3, axis=2))


def test_transparent_parts_lie_on_white(tmp_path):
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0] = [10, 20, 30, 255]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert decode_file(tmp_path / "a.png")[:, 0].tolist() == [[10, 20, 30], [255, 255, 255]]


def test_exif_orientation_is_left_alone(tmp_path, gradient):
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me by 90 degrees"
    Image.fromarray(gradient).save(tmp_path / "a.jpg", exif=exif)
    assert decode_file(tmp_path / "a.jpg").shape == (40, 60, 3)


def _cut(tmp_path, gradient, suffix):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / f"whole{suffix}")
    data = (tmp_path / f"whole{suffix}").read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(data[: len(data) // 2])
    return tmp_path / f"cut{suffix}"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".gif", ".tif", ".webp"])
def test_cut_off_images_are_named(tmp_path, gradient, suffix):
    file = _cut(tmp_path, gradient, suffix)
    with pytest.raises(InputError, match=rf"cut{suffix}.*named in train.txt:7"):
        decode_file(file, "train.txt:7")


def test_animated_image(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "one.gif")
    for read in (decode_file, check_header):
        with pytest.raises(InputError, match=r"a.gif: found an animated image of 3 frames.*list.txt:1"):
            read(tmp_path / "a.gif", "list.txt:1")
    assert decode_file(tmp_path / "one.gif")[0, 0].tolist() == [255, 0, 0]


def test_what_is_no_image(tmp_path):
    (tmp_path / "a.jpg").write_text("no image")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name, words in (("a.jpg", "no image"), ("empty.jpg", "no image"), ("b.jpg", "no such file"), (".", "a folder")):
        for read in (decode_file, check_header):
            with pytest.raises(InputError, match=f"found {words}|{words}"):
                read(tmp_path / name, "x")
    with pytest.raises(InputError, match=r"shard.*no image"):
        decode_bytes(b"zzz", "shard")


def test_floating_point_pixels_are_refused():
    data = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.float32)).save(data, "TIFF")
    with pytest.raises(InputError, match="floating-point"):
        decode_bytes(data.getvalue(), "a.tif")


def test_resize_stretches_and_averages():
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, ::2] = 255  # stripes of one pixel: without antialiasing they would alias to black or white
    small = resize(image, 10)
    assert small.shape == (10, 10, 3) and small.dtype == np.uint8
    assert np.abs(small.astype(int) - 128).max() < 40
    assert resize(image[:, :40], 40) is not None and resize(image[:10, :10], 10).shape == (10, 10, 3)


def test_resize_against_a_triangle_filter():
    """Shrinking by 4: each pixel is the mean of its neighbours under a triangle of half-width 4, row by row."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (32, 32, 3), np.uint8)
    weights = np.zeros((8, 32))
    for out in range(8):
        centre = (out + 0.5) * 4
        weights[out] = np.maximum(0, 1 - np.abs((np.arange(32) + 0.5 - centre) / 4))
    weights /= weights.sum(axis=1, keepdims=True)
    expected = np.einsum("yi,xj,ijc->yxc", weights, weights, image)
    assert np.abs(resize(image, 8) - expected).max() <= 1.5
