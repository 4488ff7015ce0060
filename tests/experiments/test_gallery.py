import base64
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from experiments import play
from experiments.gallery import write_gallery

RUNS = """cell,figure,pipeline,randomization,agent,train_domain,seed
hopper-source-state-none-ppo,hopper,state,none,ppo,source,0
"ant,contact_forces=none-source-state-none-cem","ant[contact_forces=none]",state,none,cem,source,0
half_cheetah-source-state-none-ppo,half_cheetah,state,none,ppo,source,0
hopper-source-pose-none-ppo,hopper,pose,none,ppo,source,0
"""
COLUMNS = "study,figure,horizon,pipeline,randomization,agent,steps,train_domain,eval_domain,iqm"
SUMMARY = f"""{COLUMNS}
s,hopper,500,state,none,ppo,1000,source,source,1700.4
s,hopper,500,state,none,ppo,1000,source,target,1226.2
s,half_cheetah,1000,state,none,ppo,1000,source,target,12345.6
s,ant[contact_forces=none],1000,state,none,cem,1000,source,target,1628
s,hopper,500,pose,none,ppo,1000,source,target,900
s,hopper,500,pose@two-frame,none,ppo,1000,source,target,80
"""
VIDEOS = [
    "ant,contact_forces=none-source-state-none-cem-in-target",
    "half_cheetah-source-state-none-ppo-in-target",
    "hopper-source-pose-none-ppo-in-target",
    "hopper-source-pose-none-ppo-through-two-frame-in-target",
    "hopper-source-state-none-ppo-in-target",
]


def film(path: Path) -> None:
    """Twenty frames that grow brighter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    play._write(path, [np.full((32, 32, 3), 10 * number, np.uint8) for number in range(20)], 50.0)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    study = tmp_path / "results" / "s"
    for name in VIDEOS:
        film(study / "videos" / f"{name}.mp4")
    (study / "runs.csv").write_text(RUNS)
    (study / "summary.csv").write_text(SUMMARY)
    (study / "report.html").touch()
    return tmp_path / "results"


def cards(page: Path) -> list[str]:
    """What each card says, without its pictures."""
    found = re.findall(r"<article>(.*?)</article>", page.read_text(), re.DOTALL)
    return [" ".join(re.sub(r"<[^>]*>", " ", card).split()) for card in found]


def test_each_video_is_a_card_with_its_return_under_its_figure(results: Path) -> None:
    page = write_gallery(results, results / "gallery.html")
    assert cards(page) == [
        "cem on state, no randomisation, trained in source, contact_forces=none "
        "1628 in 1000 steps, in target report of s",
        "ppo on state, no randomisation, trained in source 12,346 in 1000 steps, in target report of s",
        "ppo on pose, no randomisation, trained in source 900 in 500 steps, in target report of s",
        "ppo on pose@two-frame, no randomisation, trained in source "
        "80 in 500 steps, in target through two-frame report of s",
        "ppo on state, no randomisation, trained in source 1226 in 500 steps, in target report of s",
    ]
    text = page.read_text()
    assert re.findall(r"<h2>(.*)</h2>", text) == ["ant", "half cheetah", "hopper"]
    assert text.count('href="s/report.html"') == 5
    for attribute in ("muted", "loop", "playsinline", "controls"):
        assert len(re.findall(rf"<video [^>]*\b{attribute}\b", text)) == 5


def test_the_page_holds_its_videos_and_posters_itself(results: Path) -> None:
    text = write_gallery(results, results / "gallery.html").read_text()
    videos = [base64.b64decode(data) for data in re.findall(r'src="data:video/mp4;base64,([^"]+)"', text)]
    assert sorted(videos) == sorted(path.read_bytes() for path in (results / "s" / "videos").iterdir())
    posters = re.findall(r'poster="data:image/jpeg;base64,([^"]+)"', text)
    assert len(posters) == 5
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(posters[0]), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (32, 32, 3)
    assert picture.mean() == pytest.approx(100, abs=15)  # from the middle: the tenth of twenty
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)


def test_a_page_elsewhere_links_to_the_reports_where_they_are(results: Path, tmp_path: Path) -> None:
    page = write_gallery(results, tmp_path / "pages" / "mine.html")
    assert page.read_text().count('href="../results/s/report.html"') == 5


def test_videos_without_a_study_are_shown_without_a_return(tmp_path: Path) -> None:
    film(tmp_path / "figures" / "ant" / "videos" / "ant-walks.mp4")
    page = write_gallery(tmp_path, tmp_path / "gallery.html")
    assert cards(page) == ["ant-walks report of ant"]
    assert re.findall(r"<h2>(.*)</h2>", page.read_text()) == ["ant"]


def test_a_damaged_video_is_named(results: Path) -> None:
    broken = results / "s" / "videos" / f"{VIDEOS[0]}.mp4"
    broken.write_bytes(b"no video")
    with pytest.raises(ValueError, match=rf"{VIDEOS[0]}\.mp4: cannot be read; accepted: an MP4 video"):
        write_gallery(results, results / "gallery.html")
    assert not (results / "gallery.html").exists()
