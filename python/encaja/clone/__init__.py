"""Copying production into another environment: direction, files, database."""
