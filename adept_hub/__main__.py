"""Run ``adept`` as ``python -m adept_hub``."""

from __future__ import annotations

import sys

from adept_hub.cli.main import main

sys.exit(main())
