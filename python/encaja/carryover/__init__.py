"""Carries over what happened in the cloud after the backup."""
