"""Hooks: an Airflow connection becomes the engine's connection, its secrets masked in every log."""
