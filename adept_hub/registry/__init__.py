"""What models exist: models.json and its typed reader. Imports neither torch nor the network."""

from __future__ import annotations

from adept_hub.registry.reader import Location, ModelInfo, Registry, list_models, model_info, registry

__all__ = ["Location", "ModelInfo", "Registry", "list_models", "model_info", "registry"]
