"""Point huggingface_hub at this machine, before it is imported (it reads its environment once), and our cache away."""

from __future__ import annotations

import os
import sys
import tempfile

from tests import scratch
from tests.hub.loopback import Hub

if "huggingface_hub" in sys.modules:
    raise RuntimeError("huggingface_hub was imported before tests.loopback_env: the tests would reach the real Hub")

#: The one server of a test session; `tests/hub/conftest.py` starts and empties it.
HUB = Hub()

for _name in (
    "ADEPT_REGISTRY",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HF_HUB_OFFLINE",
):
    os.environ.pop(_name, None)
os.environ |= {
    "HF_ENDPOINT": HUB.endpoint,
    # Of fixtures of a file or of the session; `tests/conftest.py` gives each test another.
    "ADEPT_CACHE": tempfile.mkdtemp(prefix="cache-", dir=scratch.SCRATCH),
    "HF_HOME": tempfile.mkdtemp(prefix="hf-home-", dir=scratch.SCRATCH),
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_ETAG_TIMEOUT": "5",
    "NO_PROXY": "127.0.0.1,localhost",
}
