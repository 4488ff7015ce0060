"""Sample i is a function of the configuration, the seed and i; its camera is held as drawn."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from envs.hopper import Hopper
from envs.task import load_model
from randomization.appearance import AppearanceConfig
from synth_data.poses import PoseConfig, Poser
from synth_data.sample import Sample, Sampler, SynthConfig
from synth_data.scene import Scene
from vision.keypoints import keypoints_of

MODEL = load_model(Hopper())
JOINTS = SynthConfig(poses=PoseConfig({"joints": 1.0}))


def sampler(config: SynthConfig = JOINTS) -> Sampler:
    return Sampler(config, Scene(MODEL, keypoints_of("hopper"), config.size), Poser(MODEL, config.poses, {}))


def blurred(probability: float, **appearance: Any) -> SynthConfig:
    return replace(JOINTS, appearance=AppearanceConfig(blur=probability, shutter=0.05, **appearance))


def assert_same(one: Sample, two: Sample) -> None:
    np.testing.assert_equal(asdict(one), asdict(two))


def test_a_sample_does_not_depend_on_what_was_drawn_before() -> None:
    ordered, used = sampler(), sampler()
    expected = [ordered.sample(index) for index in range(6)]
    for index in (4, 2, 2, 5, 0):
        assert_same(used.sample(index), expected[index])
        assert_same(sampler().sample(index), expected[index])


def test_every_index_and_seed_draws_otherwise() -> None:
    drawn = [sampler(replace(JOINTS, seed=seed)).sample(index) for seed in (0, 1) for index in (0, 1, 7)]
    for part in (
        [sample.pose.qpos[3] for sample in drawn],
        [sample.appearance for sample in drawn],
        [sample.sensor.seed for sample in drawn],
    ):
        assert len(set(part)) == len(drawn)


def test_a_change_to_one_part_leaves_the_others_as_they_were() -> None:
    one = sampler().sample(3)
    two = sampler(replace(JOINTS, appearance=AppearanceConfig(distractors=(9, 9), links={"noise": 1}))).sample(3)
    assert (one.view, one.split, one.sensor) == (two.view, two.split, two.sensor)
    np.testing.assert_array_equal(one.pose.qpos, two.pose.qpos)
    assert one.appearance != two.appearance


def test_photos_are_drawn_only_when_there_is_a_folder_of_them() -> None:
    looks = AppearanceConfig(floor={"plain": 1, "photo": 9}, links={"plain": 1, "photo": 9})
    for photos, kinds in (("", {"plain"}), ("folder", {"plain", "photo"})):
        drawing = sampler(replace(JOINTS, appearance=looks, photos=photos))
        samples = [drawing.sample(index) for index in range(30)]
        assert {sample.appearance.floor.texture.kind for sample in samples} == kinds
        assert {link.texture.kind for sample in samples for link in sample.appearance.links} == kinds


def test_splits_and_cameras_have_their_shares() -> None:
    drawing = sampler(replace(JOINTS, validation=0.3, test=0.2, cameras={"track": 3, "rail": 1}))
    samples = [drawing.sample(index) for index in range(250)]
    splits, views = [sample.split for sample in samples], [sample.view for sample in samples]
    for found, shares in ((splits, {"train": 0.5, "val": 0.3, "test": 0.2}), (views, {"track": 0.75, "rail": 0.25})):
        assert set(found) == set(shares)
        for name, share in shares.items():
            assert abs(found.count(name) / 250 - share) < 4 * np.sqrt(share * (1 - share) / 250)


def test_the_moment_is_the_pose_seen_through_the_held_camera() -> None:
    for index in range(3):
        drawing = sampler()
        sample = drawing.sample(index)
        posed = drawing.scene.pose(sample.pose.qpos, sample.view)
        hold = sample.appearance.hold
        turn = Rotation.from_euler("XYZ", hold.angles).as_matrix()  # pitch, then yaw, then roll, each about turned axes
        expected = replace(posed, camera=posed.camera.held(hold.offset, turn, hold.zoom))
        for part, value in asdict(expected.camera).items():
            np.testing.assert_allclose(getattr(sample.moment.camera, part), value, rtol=0, atol=1e-12)
        np.testing.assert_equal(asdict(replace(sample.moment, camera=expected.camera)), asdict(expected))


def test_without_blur_there_is_no_start_and_no_end() -> None:
    for sample in map(sampler(blurred(0.0)).sample, range(5)):
        assert sample.start is sample.end is None


def test_the_shutter_opens_and_closes_half_its_time_from_the_moment() -> None:
    for sample in map(sampler(blurred(1.0)).sample, range(5)):
        assert sample.start is not None
        assert sample.end is not None
        half = sample.pose.qvel * sample.appearance.shutter / 2
        for posed, sign in ((sample.start, -1), (sample.end, 1)):
            slid = posed.positions[1] - sample.moment.positions[1]  # the torso, which the two slides move
            np.testing.assert_allclose(slid, sign * np.array([half[0], 0, half[1]]), atol=1e-12)
            turn = posed.rotations[1] @ sample.moment.rotations[1].T
            np.testing.assert_allclose(Rotation.from_matrix(turn).as_rotvec(), [0, sign * half[2], 0], atol=1e-9)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": 0}, r"^count is 0; it must be from 1 to 10000000$"),
        ({"size": 8}, r"^size is 8; it must be from 16 to 4096$"),
        ({"seed": -1}, r"^seed is -1; it must be from 0 to 2147483648$"),
        ({"light_paths": 0}, r"^light_paths is 0; it must be from 1 to 4096$"),
        ({"validation": 0.5, "test": 0.5}, r"^validation is 0.5 and test 0.5; accepted: shares that leave some for"),
        ({"validation": -0.1}, r"^validation is -0.1 and test 0.1; accepted"),
        ({"test": float("nan")}, r"^validation is 0.1 and test nan; accepted"),
        ({"cameras": {}}, r"^cameras are {}; accepted: camera names with shares of 0 or more, not all 0$"),
        ({"cameras": {"track": 0}}, r"^cameras are {'track': 0}; accepted"),
        ({"cameras": {"track": 2, "rail": -1}}, r"^cameras are {'track': 2, 'rail': -1}; accepted"),
        ({"cameras": {"track": float("inf")}}, r"^cameras are {'track': inf}; accepted"),
    ],
)
def test_bad_configurations_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SynthConfig(**given)
