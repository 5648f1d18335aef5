"""URL handler for ``MODEL.WEIGHTS: "adept://adept_joint"`` in Detectron2, registered when this module is imported.

The config must match the weights: start from that of ``adept export``, or check your own with ``adept doctor``. For a
Cascade R-CNN use ``adept://adept_joint#detector=cascade_rcnn``.
"""

from __future__ import annotations

from typing import IO, Any

from detectron2.utils.file_io import PathManager
from iopath.common.file_io import PathHandler

from adept_hub.errors import SourceError
from adept_hub.integrations.url_handler import PREFIX, cached_weights


class AdeptHandler(PathHandler):  # type: ignore[misc]  # iopath is untyped
    """iopath's handler for ``adept://``: fetch, verify and convert into a local, read-only file."""

    def _get_supported_prefixes(self) -> list[str]:
        return [PREFIX]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        self._check_kwargs(kwargs)
        return str(cached_weights(path, "detectron2", force=force))

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **kwargs: Any) -> IO[Any]:
        self._check_kwargs(kwargs)
        if set(mode) - set("rbt"):
            raise SourceError(
                f"{path} is read-only, so it cannot be opened with mode {mode!r}.\n"
                "To get a copy: adept export SOURCE --to detectron2 --out DIR"
            )
        return open(self._get_local_path(path), mode, buffering)  # noqa: PTH123  # the caller closes it

    def _isfile(self, path: str, **kwargs: Any) -> bool:
        self._check_kwargs(kwargs)
        return True

    def _exists(self, path: str, **kwargs: Any) -> bool:
        self._check_kwargs(kwargs)
        return True


PathManager.register_handler(AdeptHandler(), allow_override=True)
