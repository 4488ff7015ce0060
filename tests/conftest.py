"""For all tests."""

import envs  # noqa: F401  # chooses MuJoCo's OpenGL, before a test module imports mujoco itself
