"""The version, in the one place where it is written; the build reads it without importing the package."""

__version__ = "0.1.0"
