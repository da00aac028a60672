"""The version of the package and of the model folders it writes."""

__version__ = "0.1.0"

# Raised when a model folder's layout changes so that older code would misread it.
FORMAT_VERSION = 1
