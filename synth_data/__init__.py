"""Labelled synthetic images of a figure, rendered by Blender."""
