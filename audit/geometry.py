"""The one way from an image of any shape to the model's square input, for image and mask alike."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}


@dataclass(frozen=True)
class Geometry:
    """How a photograph of any shape becomes the model's square input.

    Parameters
    ----------
    size : int
        Side of the input in pixels.
    resize : int or None
        Length of the shorter side before cropping; None: `size`. Unused when `crop` is ``none``.
    crop : str
        ``center``: resize the shorter side to `resize`, take the middle `size` x `size`.
        ``none``: squeeze the whole image into `size` x `size`.
    interpolation : str
        ``bilinear``, ``bicubic``, ``lanczos`` or ``nearest`` (of the image; masks are always
        nearest).
    """

    size: int = 224
    resize: int | None = None
    crop: str = "center"
    interpolation: str = "bilinear"

    def apply(self, image: Image.Image, *, is_mask: bool = False) -> Image.Image:
        """Bring an image, or a mask of the same shape, to `size` x `size`.

        The arithmetic is that of torchvision's ``Resize`` and ``CenterCrop`` on PIL images, so
        that a model meets here what it met in training.

        Parameters
        ----------
        image : PIL image
            Of any shape.
        is_mask : bool
            Take the nearest pixel and mix none.
        """
        resample = Image.Resampling.NEAREST if is_mask else _RESAMPLING[self.interpolation]
        if self.crop == "none":
            return image.resize((self.size, self.size), resample)
        width, height = image.size
        short = self.resize or self.size
        long = int(short * max(width, height) / min(width, height))
        fitted = (short, long) if width <= height else (long, short)
        if fitted != image.size:
            image = image.resize(fitted, resample)
        return self._center_crop(image)

    def _center_crop(self, image: Image.Image) -> Image.Image:
        width, height = image.size
        # Where the image is smaller than the crop, PIL pads with black, as torchvision does.
        # torchvision first pads to at least `size`, then crops; the roundings are its own.
        pad_left = (self.size - width) // 2 if self.size > width else 0
        pad_top = (self.size - height) // 2 if self.size > height else 0
        left = -pad_left if self.size > width else round((width - self.size) / 2.0)
        top = -pad_top if self.size > height else round((height - self.size) / 2.0)
        return image.crop((left, top, left + self.size, top + self.size))
