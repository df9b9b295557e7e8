"""The errors of the engine: each message says what came, what was expected and what to do."""


class Moe3dError(Exception):
    """Base of every error that the engine raises on purpose."""


class ConfigError(Moe3dError):
    """A setting is unknown, out of range or contradicts another."""


class ShapeError(Moe3dError):
    """An array has the wrong shape, type or range."""


class CheckpointError(Moe3dError):
    """Weights are missing, corrupt or belong to another network."""


class EngineError(Moe3dError):
    """A compiled engine is missing, foreign to this machine or wrong."""


class BackendError(Moe3dError):
    """A backend cannot be opened or failed while it ran."""


class InputError(Moe3dError):
    """A message, image or file from outside cannot be used."""


class SizeMismatchError(InputError):
    """An image has another size than its camera_info."""
