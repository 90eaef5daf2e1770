"""SynthRooms: ray-cast indoor scenes with exact labels, in the on-disk layouts of NYUD-v2 and PASCAL-Context.

NumPy, SciPy and Pillow only. Normals are in camera space: x to the right, y up, z towards the camera. Depth is the
distance from the camera plane in metres.
"""

from .generate import Recipe, generate, make_view

__all__ = ['Recipe', 'generate', 'make_view']
