"""For all tests."""

import os

# Several processes test side by side; more threads than cores make all of them slower. Read when NumPy, PyTorch and
# Mesa are loaded, so it comes first.
for library in ("OMP", "MKL", "LP"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import envs  # noqa: E402, F401  # chooses MuJoCo's OpenGL, before a test module imports mujoco itself
