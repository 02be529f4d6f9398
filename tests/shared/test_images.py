"""Every kind of file that a set of medical images may hold becomes the right picture, or says why it cannot."""

from __future__ import annotations

import contextlib
import io
import pickle
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from stages.shared.core.errors import UserError
from stages.shared.images.decode import MAX_PIXELS, UnreadableImage, decode, to_array

RAMP = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (16, 1))  # 16×24, 0…230 from left to right


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def test_grey_png_is_returned_as_it_is():
    image = decode(encoded(Image.fromarray(RAMP)), "a.png")
    assert image.mode == "L"
    assert image.info["source_mode"] == "L"
    assert np.array_equal(to_array(image, "grey")[..., 0], RAMP)


def test_to_array_gives_the_channels_asked_for():
    image = Image.fromarray(RAMP)
    assert to_array(image, "grey").shape == (16, 24, 1)
    rgb = to_array(image, "rgb")
    assert rgb.shape == (16, 24, 3)
    assert (rgb == RAMP[..., None]).all()


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bit_is_scaled_from_its_own_minimum_and_maximum(form: str):
    deep = np.linspace(1000, 3047, 16 * 24).reshape(16, 24).astype(np.uint16)  # an 11-bit range inside 16 bits
    image = decode(encoded(Image.fromarray(deep), form), "film")
    array = np.asarray(image)
    assert (array.min(), array.max()) == (0, 255)
    assert np.abs(array - (deep - 1000.0) / 2047 * 255).max() <= 0.51
    assert image.info["source_mode"].startswith("I;16")


def test_float_tiff_with_nan_is_scaled_over_its_finite_values():
    values = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
    values[0, 0] = np.nan
    array = np.asarray(decode(encoded(Image.fromarray(values), "TIFF"), "map.tif"))
    assert array[0, 0] == 0
    assert array[7, 7] == 255


def test_constant_16_bit_image_is_black_and_not_a_division_by_zero():
    assert not np.asarray(decode(encoded(Image.fromarray(np.full((4, 4), 900, np.uint16))), "a.png")).any()


def test_cmyk_becomes_the_same_colours_in_rgb():
    red = Image.new("RGB", (16, 16), (250, 10, 10))
    image = decode(encoded(red.convert("CMYK"), "JPEG", quality=100), "red.jpg")
    assert image.mode == "RGB"
    assert image.info["source_mode"] == "CMYK"
    assert np.abs(np.asarray(image).astype(int) - (250, 10, 10)).max() <= 12


def test_transparent_pixels_lie_on_black():
    rgba = Image.new("RGBA", (4, 4), (200, 100, 50, 255))
    rgba.putpixel((0, 0), (200, 100, 50, 0))
    rgba.putpixel((1, 0), (200, 100, 50, 128))
    array = np.asarray(decode(encoded(rgba), "a.png"))
    assert tuple(array[0, 0]) == (0, 0, 0)
    assert np.abs(array[0, 1].astype(int) - (100, 50, 25)).max() <= 1
    assert tuple(array[3, 3]) == (200, 100, 50)


def test_grey_with_alpha_stays_grey():
    image = decode(encoded(Image.new("LA", (4, 4), (100, 255))), "a.png")
    assert image.mode == "L"
    assert (np.asarray(image) == 100).all()


def test_grey_palette_becomes_grey_and_a_coloured_one_rgb():
    grey = Image.fromarray(RAMP).convert("P")
    assert np.array_equal(np.asarray(decode(encoded(grey), "a.png")), RAMP)
    coloured = Image.new("RGB", (4, 4), (255, 0, 0)).quantize(4)
    image = decode(encoded(coloured), "b.png")
    assert image.mode == "RGB"
    assert image.getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("form", ["GIF", "TIFF", "WEBP"])
def test_first_frame_of_several_is_taken(form: str):
    frames = [Image.new("RGB", (8, 8), (20, 20, 20)), Image.new("RGB", (8, 8), (240, 240, 240))]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    assert np.asarray(decode(data, "moving")).mean() < 40


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation: int):
    turned = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
              5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
              8: Image.Transpose.ROTATE_270}  # fmt: skip
    stored = Image.fromarray(RAMP)
    if orientation > 1:
        stored = stored.transpose(turned[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(np.asarray(decode(encoded(stored, "PNG", exif=exif), "phone.png")), RAMP)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "GIF", "BMP"])
def test_truncated_file_is_unreadable_and_says_so(form: str):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    data = encoded(noise, form)
    with pytest.raises(UnreadableImage) as caught:
        decode(data[: len(data) // 2], "half.img")
    assert caught.value.name == "half.img"
    assert caught.value.reason
    assert isinstance(caught.value, UserError)


@pytest.mark.parametrize(
    ("data", "reason"), [(b"", "0 bytes"), (b"hello", "not an image"), (b"\x89PNG\r\n\x1a\n", ".")]
)
def test_what_is_no_image_is_unreadable_with_the_reason(data: bytes, reason: str):
    with pytest.raises(UnreadableImage, match=reason):
        decode(data, "notes.png")


@pytest.mark.parametrize(
    "start", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\xc5\xd0\xd3\xc6" + bytes(60)]
)
def test_what_only_a_foreign_program_could_decode_is_no_image(start: bytes, monkeypatch: pytest.MonkeyPatch):
    """For EPS, Pillow would start Ghostscript, which runs the program that the file is."""
    import subprocess

    monkeypatch.setattr(subprocess, "Popen", lambda *args, **options: pytest.fail("a program was started"))
    with pytest.raises(UnreadableImage, match="not an image"):
        decode(start + b"showpage\n", "film.png")


def test_damaged_bytes_never_end_in_another_error():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    rng = np.random.default_rng(1)
    for form in ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP"):
        whole = encoded(noise, form)
        for _ in range(40):
            data = bytearray(whole)
            for place in rng.integers(0, len(data), 6):
                data[place] = rng.integers(256)
            with warnings.catch_warnings(action="ignore"), contextlib.suppress(UnreadableImage):
                decode(bytes(data), f"damaged.{form}")


def test_a_small_file_that_claims_a_huge_picture_is_refused_before_it_is_decoded():
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    for side in (10_000, 60_000):  # over the limit; over twice the limit, where Pillow itself refuses
        header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
        assert side * side > MAX_PIXELS
        with warnings.catch_warnings(action="ignore"), pytest.raises(UnreadableImage, match="pixels"):
            decode(bomb, "bomb.png")


def test_the_error_survives_the_way_back_from_a_worker():
    error = pickle.loads(pickle.dumps(UnreadableImage("a.png", "torn")))
    assert (error.name, error.reason) == ("a.png", "torn")


def dicom(pixels: np.ndarray, **tags: object) -> bytes:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = tags.pop("syntax", ExplicitVRLittleEndian)
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    data.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = pixels.itemsize * 8
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


DEEP = np.linspace(0, 4000, 64).reshape(8, 8).astype(np.uint16)


@pytest.mark.parametrize("name", ["film.dcm", "IM0001"])
def test_dicom_is_known_by_name_or_header(name: str):
    image = decode(dicom(DEEP), name)
    assert image.mode == "L"
    assert image.info["source_mode"] == "DICOM MONOCHROME2"
    assert np.abs(np.asarray(image) - DEEP / 4000 * 255).max() <= 0.51


def test_monochrome1_is_turned_so_that_bone_is_white():
    straight = np.asarray(decode(dicom(DEEP), "a.dcm"))
    turned = np.asarray(decode(dicom(DEEP, PhotometricInterpretation="MONOCHROME1"), "a.dcm"))
    assert np.array_equal(turned, 255 - straight)


def test_rescale_and_window_are_applied():
    hounsfield = DEEP.astype(float) - 1024
    data = dicom(DEEP, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=400)
    array = np.asarray(decode(data, "ct.dcm"))
    expected = np.clip((hounsfield - (40 - 200)) / 400, 0, 1) * 255
    assert np.abs(array - expected).max() <= 1.5


BYTES = np.arange(256, dtype=np.uint8).reshape(16, 16)


def shown(pixels: np.ndarray, **tags: object) -> np.ndarray:
    return np.asarray(decode(dicom(pixels, **tags), "film.dcm"))


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(128, 1280), (100, 60), (300, 200)])
def test_a_window_is_shown_as_pydicom_shows_it(function: str, centre: float, width: float):
    """Of 8 bits, so pydicom's own output is in 0…255. In a wide window the levels are close together, and stay so."""
    from pydicom import dcmread
    from pydicom.pixels import apply_voi_lut

    tags = {"WindowCenter": centre, "WindowWidth": width, "VOILUTFunction": function}
    expected = apply_voi_lut(BYTES, dcmread(io.BytesIO(dicom(BYTES, **tags))))
    assert np.abs(shown(BYTES, **tags) - expected.astype(float)).max() <= 0.51
    if width == 1280:
        assert 100 < shown(BYTES, **tags).min() < shown(BYTES, **tags).max() < 155


@pytest.mark.parametrize("table", [np.arange(4096)[::-1], np.arange(4096) // 2 + 1000])
def test_a_voi_table_is_shown_over_the_range_of_its_bits(table: np.ndarray):
    from pydicom.dataset import Dataset
    from pydicom.multival import MultiValue

    lut = Dataset()
    lut.LUTDescriptor, lut.LUTData = MultiValue(int, [4096, 0, 12]), table.astype("<u2").tobytes()
    assert np.abs(shown(DEEP, VOILUTSequence=[lut]) - table[DEEP] / 4095 * 255).max() <= 0.51


def test_8_bits_without_a_window_keep_their_levels():
    dim = BYTES // 4 + 20
    assert np.array_equal(shown(dim), dim)
    assert np.array_equal(shown(dim, PhotometricInterpretation="MONOCHROME1"), 255 - dim)


def test_a_hot_pixel_costs_no_grey_levels():
    film = np.tile(np.linspace(0, 4000, 64), (64, 1)).astype(np.uint16)
    whole = shown(film)
    film[5, 5] = 65535
    assert np.array_equal(np.delete(shown(film).ravel(), 5 * 64 + 5), np.delete(whole.ravel(), 5 * 64 + 5))
    assert np.array_equal(np.asarray(decode(encoded(Image.fromarray(film)), "a.png")), shown(film))


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("window", [{}, {"WindowCenter": 1500, "WindowWidth": 1000}])
@pytest.mark.parametrize("limit", [None, 65000])
def test_padding_is_black_and_changes_nothing_else(kind: str, window: dict, limit: int | None):
    film = np.linspace(1000, 2000, 64 * 64).reshape(64, 64).astype(np.uint16)
    whole = shown(film, PhotometricInterpretation=kind, **window)
    film[:, :8] = 65535 if limit is None else np.linspace(65000, 65535, 64 * 8).reshape(64, 8)
    tags = {"PixelPaddingValue": 65535} | ({"PixelPaddingRangeLimit": limit} if limit else {})
    array = shown(film, PhotometricInterpretation=kind, **tags, **window)
    assert not array[:, :8].any()
    assert np.abs(array[:, 8:].astype(int) - whole[:, 8:]).max() <= 1


def test_a_number_that_is_none_in_dicom_is_no_python_message():
    damaged = dicom(DEEP, WindowCenter=40, WindowWidth=400).replace(b"400.0", b"4x0.0")
    with pytest.raises(UnreadableImage) as caught:
        decode(damaged, "a.dcm")
    assert caught.value.reason == "damaged"


@pytest.mark.parametrize("missing", ["Rows", "PhotometricInterpretation", "BitsStored"])
def test_dicom_without_what_its_pixels_need_says_what_is_missing(missing: str):
    from pydicom import dcmread

    dataset = dcmread(io.BytesIO(dicom(DEEP)))
    delattr(dataset, missing)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    with pytest.raises(UnreadableImage, match=f"DICOM without {missing}, so its pixels cannot be read"):
        decode(buffer.getvalue(), "a.dcm")


def test_colour_dicom_is_rgb():
    colours = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(decode(dicom(colours), "skin.dcm")), colours)


def test_rle_and_jpeg_inside_dicom_show_the_same_picture():
    from pydicom import dcmread
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGBaseline8Bit, RLELossless

    dataset = dcmread(io.BytesIO(dicom(DEEP)))
    dataset.compress(RLELossless)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    assert np.array_equal(np.asarray(decode(buffer.getvalue(), "rle.dcm")), shown(DEEP))
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))
    jpeg = dicom(
        ramp, syntax=JPEGBaseline8Bit, PixelData=encapsulate([encoded(Image.fromarray(ramp), "JPEG", quality=95)])
    )
    assert np.abs(np.asarray(decode(jpeg, "jpeg.dcm")).astype(int) - ramp).max() <= 4


def test_a_missing_decoder_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch):
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders import JPEGLosslessSV1Decoder
    from pydicom.uid import JPEGLosslessSV1

    monkeypatch.setattr(JPEGLosslessSV1Decoder, "_available", {})
    monkeypatch.setattr(
        JPEGLosslessSV1Decoder, "_unavailable", {"pylibjpeg": ("pylibjpeg>=2.0", "pylibjpeg-libjpeg>=2.1")}
    )
    packed = dicom(DEEP, syntax=JPEGLosslessSV1, PixelData=encapsulate([b"\0" * 64]))
    with pytest.raises(
        UnreadableImage, match=r"JPEG Lossless.*no decoder is installed. Install one \(pylibjpeg.*pylibjpeg-lib"
    ):
        decode(packed, "a.dcm")


def test_dicom_that_cannot_be_read_says_why():
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEG2000Lossless

    packed = dicom(DEEP, syntax=JPEG2000Lossless, PixelData=encapsulate([b"\0" * 64]))
    with pytest.raises(UnreadableImage, match=r"JPEG 2000.*uncompressed"):
        decode(packed, "a.dcm")
    with pytest.raises(UnreadableImage, match="without DICOM's header"):
        decode(b"plain text", "a.dcm")
    with pytest.raises(UnreadableImage, match="damaged pixels .*less than expected"):
        decode(dicom(DEEP)[:-40], "short.dcm")
