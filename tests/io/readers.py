"""Every kind of reader with a sound file of its own, to be harmed: how it is made and read, and its error."""

from __future__ import annotations

from tests.io import readers_data, readers_runs, readers_weights
from tests.io.reader import Reader

READERS: dict[str, Reader] = {**readers_weights.READERS, **readers_data.READERS, **readers_runs.READERS}
