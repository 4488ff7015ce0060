"""One process that renders samples of a dataset: ``python -m experiments.synth_worker DIR PART`` with indices on stdin.

Blender (GPL) lives here and nowhere else. Each line that it adds to the file ``PART`` is one finished sample.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from experiments.dataset import image_path, make_sampler
from experiments.files import append_json_line
from randomization.sensing import compress, expose
from randomization.textures import find_photos, read_photo
from synth_data.coco import make_record
from synth_data.scene import GROUND

try:
    from synth_data.blender import Studio, silence
except ImportError as error:
    sys.exit(
        f"Blender cannot be loaded ({error}); it needs Python 3.11, "
        "python -m pip install -c constraints.txt -e '.[synth]', and the system packages that README.md names"
    )


def main(directory: Path, part: Path, indices: list[int]) -> None:
    """Render ``indices``, one after the other."""
    silence()
    cv2.setNumThreads(1)
    for folder in (image_path(directory, 0).parent, part.parent):
        folder.mkdir(parents=True, exist_ok=True)
    sampler = make_sampler(directory)
    config = sampler.config
    photos = [read_photo(path) for path in find_photos(Path(config.photos))] if config.photos else []
    with tempfile.TemporaryDirectory(prefix="simgap-") as scratch:
        studio = Studio(sampler.scene, config, Path(scratch) / "frame.exr")
        for index in indices:
            sample = sampler.sample(index)
            light, seen = studio.render(sample, photos)
            data = compress(sample.sensor, expose(sample.sensor, light))
            file = image_path(directory, index)
            temporary = file.with_suffix(".tmp")
            temporary.write_bytes(data)
            temporary.replace(file)
            figure = (seen > 0) & (seen < GROUND)
            checksum = hashlib.sha256(data).hexdigest()
            record = make_record(
                sample, np.asarray(figure), studio.hidden(sample), str(file.relative_to(directory)), checksum
            )
            append_json_line(part, record)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.load(sys.stdin))
