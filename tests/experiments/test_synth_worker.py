import subprocess
import sys


def test_without_blender_it_says_how_to_install_it() -> None:
    code = "import sys; sys.modules['bpy'] = None; import experiments.synth_worker"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr == (
        "Blender cannot be loaded (import of bpy halted; None in sys.modules); it needs Python 3.11, "
        "python -m pip install -c constraints.txt -e '.[synth]', and the system packages that README.md names\n"
    )
