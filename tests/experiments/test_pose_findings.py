import numpy as np

from experiments.pose_findings import causes, goals, places
from vision.keypoints import keypoints_of
from vision.metrics import measure_keypoints
from vision.state_metrics import measure_states


def test_what_limits_a_missed_goal_has_the_goals_unit() -> None:
    rng = np.random.default_rng(0)
    points, flags = rng.uniform(0, 200, (40, 5, 2)), np.full((40, 5), 2)
    skeleton = keypoints_of("hopper").skeleton
    near = measure_keypoints(points + 0.1, points, flags, skeleton)
    images = dict.fromkeys(places(), near) | {"rail": measure_keypoints(points + 2.0, points, flags, skeleton)}
    true = rng.normal(size=(40, 11))
    off = measure_states(true + 0.5, true)
    wanted = goals(images, {camera: {"learned": off} for camera in ("track", "rail")}, "learned")
    assert [goal.unit for goal in wanted] == [" px", " px", "", "°", "", " m/s", " m/s", " cm"]
    found = causes(wanted, images, {camera: {"learned": {0.0: off}} for camera in ("track", "rail")})
    assert "rail, keypoint error, median: 2.83 px, and 0.14 px over a grey floor, no shadow or reflection." in found
    assert "rail, height, RMSE: 50.0 cm, and 50.000 cm with true keypoints." in found
    assert "rail, joint angles, mean absolute error: 28.65°, and 28.648° with true keypoints." in found
    assert "track, velocity x, RMSE: 0.50 m/s, and 0.500 m/s with true keypoints." in found
