"""The card of a dataset, and how fast it was made."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

from experiments.plain import to_yaml
from experiments.provenance import provenance
from synth_data.coco import Record
from synth_data.sample import SPLITS, SynthConfig
from vision.keypoints import keypoints_of

Progress = Mapping[str, float]
"""``seconds`` since the start, ``images`` so far, ``largest_worker_gb``."""


def card(config: SynthConfig, records: Sequence[Record], progress: Sequence[Progress]) -> str:
    """Markdown for whoever finds the dataset: what it holds, how fast it was made, and from what it was drawn."""
    facts = provenance()
    splits = Counter(record["split"] for record in records)
    sources = Counter(record["state"]["source"] for record in records)
    flags = Counter(point[2] for record in records for point in record["keypoints"])
    keypoints = keypoints_of(config.figure)
    rows = [
        ("figure", config.figure),
        ("images", f"{len(records):,} of {config.size} × {config.size} pixels, JPEG"),
        ("split", ", ".join(f"{split} {splits[split]:,}" for split in SPLITS)),
        ("keypoints", ", ".join(keypoints.names)),
        ("visible, hidden, outside", ", ".join(f"{flags[flag]:,}" for flag in (2, 1, 0))),
        ("poses", ", ".join(f"{name} {count:,}" for name, count in sorted(sources.items()))),
        ("seed", config.seed),
        ("made with", ", ".join(f"{name} {version}" for name, version in facts["versions"].items())),
        ("on", f"{facts['cpu']}, {facts['cores']} cores, Python {facts['python']}"),
        ("commit", facts["commit"]),
    ]
    table = "".join(f"| {name} | {value} |\n" for name, value in rows)
    return (
        f"# Synthetic keypoints: {config.figure}\n\n"
        "Rendered by Blender's Cycles from the compiled MuJoCo model. Pixel coordinates have the centre of the first "
        "pixel at (0, 0). Flags are COCO's: 0 outside the image, 1 hidden by something, 2 visible. `samples.jsonl` "
        "says what was drawn for every image; sample i depends on the seed and on i alone.\n\n"
        f"| | |\n| --- | --- |\n{table}\n{_speed_table(progress)}"
        "Check the files with `sha256sum -c manifest.sha256`. Everything was drawn from:\n\n"
        f"```yaml\n{to_yaml(config)}```\n"
    )


def _speed_table(progress: Sequence[Progress]) -> str:
    # A part with few measurements would tell more of when they fell than of the speed.
    rows = throughput(progress, parts=min(10, 1 + len(progress) // 4))
    if not rows:
        return ""
    lines = "".join(f"| {low:,} to {high:,} | {speed:.1f} | {memory:.2f} GB |\n" for low, high, speed, memory in rows)
    return f"| images | images/s | largest worker |\n| --- | ---: | ---: |\n{lines}\n"


def throughput(progress: Sequence[Progress], parts: int) -> list[tuple[int, int, float, float]]:
    """First image, last image, images per second and largest worker's memory in GB, of ``parts`` equal parts.

    The time between an interruption and the restart is left out.
    """
    last = int(progress[-1]["images"]) if progress else 0
    images, seconds, memory = (
        defaultdict[int, float](float),
        defaultdict[int, float](float),
        defaultdict[int, float](float),
    )
    for before, after in pairwise(progress):
        if after["seconds"] > before["seconds"] and after["images"] > before["images"]:
            part = min(int(parts * (before["images"] + after["images"]) / 2 / last), parts - 1)
            images[part] += after["images"] - before["images"]
            seconds[part] += after["seconds"] - before["seconds"]
            memory[part] = max(memory[part], after["largest_worker_gb"])
    return [
        (last * part // parts, last * (part + 1) // parts, images[part] / seconds[part], memory[part])
        for part in sorted(images)
    ]
