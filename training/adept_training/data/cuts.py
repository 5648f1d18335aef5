"""Cut the views of a batch out of cached squares, on the device.

A view is two small matrix products, rows and columns, whose matrices are PIL's antialiased bilinear filter between a
window with fractional edges and the view. Windows are drawn with the sample, so the result depends on nothing else.

Legend: N images, S pixels per side of a square.
"""

from __future__ import annotations

import torch
from torch import Tensor

from adept_training.data.detector_view import DetectorBatch
from adept_training.data.loader import Batch


def view_pixels(batch: Batch, sizes: tuple[int, int, int]) -> list[Tensor]:
    """Return each view's pixels (N, H, W, 3) in 0-255: uint8 as the loader cut them, or float32 cut here."""
    if not isinstance(batch.squares_NSS3, Tensor):
        return [view.pixels_NHWC for view in batch.views]
    source_N3SS = _planes(batch.squares_NSS3)
    return [cut(source_N3SS, batch.windows_N35[:, view], size) for view, size in enumerate(sizes)]


def detector_pixels(batch: DetectorBatch, size: int) -> Tensor:
    """Return the pixels of a detector's view as `view_pixels` does."""
    if not isinstance(batch.squares_NSS3, Tensor):
        return batch.view.pixels_NHWC
    return cut(_planes(batch.squares_NSS3), batch.window_N5, size)


def _planes(squares_NSS3: Tensor) -> Tensor:
    return squares_NSS3.permute(0, 3, 1, 2).to(torch.get_default_dtype())


def cut(source_N3SS: Tensor, windows_N5: Tensor, size: int) -> Tensor:
    """Cut a window of each image, resize it to ``size`` and flip it if asked: (N, size, size, 3), a view on NCHW.

    Args:
        source_N3SS: floating-point images.
        windows_N5: x, y, w, h as shares of the image, and whether the view is flipped.
        size: side of the view in pixels.
    """
    side = source_N3SS.shape[-1]
    window = windows_N5.to(source_N3SS)
    columns_NWS = _resampling(window[:, 0] * side, window[:, 2] * side, side, size)
    columns_NWS = torch.where(window[:, 4, None, None] > 0.5, columns_NWS.flip(1), columns_NWS)
    rows_NHS = _resampling(window[:, 1] * side, window[:, 3] * side, side, size)
    with torch.autocast(source_N3SS.device.type, enabled=False):
        view_N3HW = rows_NHS[:, None] @ source_N3SS @ columns_NWS[:, None].transpose(2, 3)
    return view_N3HW.permute(0, 2, 3, 1)


def _resampling(start_N: Tensor, length_N: Tensor, side: int, size: int) -> Tensor:
    """Return matrices (N, size, side): a triangle around each pixel, as wide as a pixel of the coarser grid."""
    scale_N = length_N / size
    support_N = scale_N.clamp(min=1.0)
    out = torch.arange(size, device=start_N.device, dtype=start_N.dtype) + 0.5
    center_NP = start_N[:, None] + out * scale_N[:, None]
    pixel = torch.arange(side, device=start_N.device, dtype=start_N.dtype) + 0.5
    weight_NPS = (1 - (pixel - center_NP[..., None]).abs() / support_N[:, None, None]).clamp(min=0)
    return weight_NPS / weight_NPS.sum(dim=2, keepdim=True)
