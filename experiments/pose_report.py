"""The report on an estimator: tables and figures of what ``simgap fit-pose`` stored. It trains and renders nothing."""

import shutil
from dataclasses import asdict
from pathlib import Path

from experiments.files import read_json, read_json_lines, write_json, write_text
from experiments.pages import TEMPLATES
from experiments.plots import save
from experiments.pose_charts import agreement_chart, episode_chart, error_chart
from experiments.pose_checks import teachers
from experiments.pose_files import (
    BLENDER,
    PROVENANCE,
    REPORT,
    STAGES,
    VALIDATION,
    images_file,
    read_pose_config,
    reconstructed,
)
from experiments.pose_findings import (
    agreement,
    causes,
    estimates,
    goals,
    held_out,
    noise_ablation,
    read_images,
)
from experiments.pose_tables import (
    errors_row,
    keypoint_rows,
    name_of,
    noise_rows,
    single_row,
    stage_rows,
    state_rows,
)
from pipelines.choices import CAMERAS
from vision.estimators import ESTIMATORS
from vision.keypoints import keypoints_of
from vision.state_metrics import measure_states

ESTIMATOR = "learned"
"""The state estimator that the goals are judged by."""
DT = 0.008
"""Of a frame, s."""
SHOWN = "hopper/good"
"""The policy whose episode is drawn, if it is among the judged; else the first."""


def write_pose_report(directory: Path) -> Path:
    """Write README.md, metrics.json and figures to the directory's ``report``, and return the README.

    Raises:
        ValueError: something that the report needs is missing or damaged.
    """
    config, facts = read_pose_config(directory), read_json(directory / PROVENANCE)
    figure, size, seed = facts["figure"], config.network.input_size, config.rollouts.seed
    keypoints, report = keypoints_of(figure), directory / REPORT
    charts = report / "figures"
    charts.mkdir(parents=True, exist_ok=True)

    judged = read_images(directory)
    images = {where: found.measure(keypoints) for where, found in judged.items()}
    save(error_chart({name_of(where): judged[where].errors() for where in (BLENDER, *CAMERAS)}), charts / "errors.png")
    tracks = {camera: held_out(directory, camera) for camera in reconstructed(directory)}
    states, noise, agreements = {}, {}, {}
    for camera, seen in tracks.items():
        found = estimates(directory, figure, camera, size)
        states[camera] = {name: measure_states(values, seen.observations) for name, values in found.items()}
        noise[camera] = noise_ablation(directory, figure, camera, size, seed)
        agreements[camera] = agreement(directory, camera, seed)
        part = seen.parts[list(seen.policy).index(SHOWN) if SHOWN in seen.policy else 0]
        drawn = {name: values[part] for name, values in found.items()}
        save(episode_chart(seen.observations[part], drawn, DT), charts / f"episode-{camera}.png", dpi=110)
    for camera in CAMERAS:
        shutil.copyfile(images_file(directory, camera).with_suffix(".jpg"), report / f"pictures-{camera}.jpg")
    if agreements:
        save(agreement_chart(agreements, keypoints), charts / "agreement.png")

    wanted = goals(images, states, ESTIMATOR)
    context = {
        "figure": figure,
        "teachers": len(teachers(config, figure)),
        "model": config.network.model,
        "size": size,
        "count": f"{facts['images']:,}",
        "keypoints": list(keypoints.names),
        "angles": ["torso", *(f"{keypoints.names[joint]} angle" for joint, _ in keypoints.skeleton[1:])],
        "cameras": CAMERAS,
        "reconstructed": list(tracks),
        "estimators": ESTIMATORS,
        "estimator": ESTIMATOR,
        "goals": wanted,
        "causes": causes(wanted, images, noise),
        "overall": list(keypoint_rows(judged, {where: images[where] for where in (BLENDER, *CAMERAS)}, keypoints)),
        "single": [single_row(name_of(where), images[where]) for where in (BLENDER, *CAMERAS)],
        "episodes": {camera: len(seen.lengths) for camera, seen in tracks.items()},
        "frames": {camera: int(seen.lengths.sum()) for camera, seen in tracks.items()},
        "states": {camera: state_rows(states[camera], seen.observations) for camera, seen in tracks.items()},
        "looks": [errors_row(name_of(where), metrics.overall) for where, metrics in images.items()],
        "noise": {camera: noise_rows(states[camera], noise[camera]) for camera in tracks},
        "validation": read_json_lines(directory / "training" / VALIDATION),
        "stages": stage_rows(read_json(directory / STAGES)),
        "facts": facts,
    }
    numbers = {
        "goals": [asdict(goal) for goal in wanted],
        "images": {where: metrics.to_dict() for where, metrics in images.items()},
        "states": {camera: {name: m.to_dict() for name, m in states[camera].items()} for camera in tracks},
        "error_model": agreements,
    }
    write_json(report / "metrics.json", numbers)
    write_text(report / "README.md", TEMPLATES.get_template("pose_report.md.j2").render(**context))
    return report / "README.md"
