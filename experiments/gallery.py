"""One page with the videos of all studies: a card for each, with its return and a link to the study's report."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from envs.options import split_figure
from experiments.files import write_text
from experiments.findings import method, number
from experiments.pages import TEMPLATES, data_uri

POSTER = 0.5
"""Where in a video its poster is taken, as a share of its frames: at the start every policy only stands."""


@dataclass(frozen=True)
class Card:
    """What the page says of one video."""

    figure: str
    title: str
    """How the policy was trained, and the options of its figure's task."""
    judged: str
    """Where it acts, and through what it sees where that is not its own pipeline."""
    value: str
    """Interquartile mean of its cell's returns there; empty where none is known."""
    horizon: str
    report: str
    """Address of the study's report from the page."""
    study: str
    video: str
    poster: str


def write_gallery(results: Path, page: Path) -> Path:
    """Write ``page``, a self-contained HTML file with every ``videos/*.mp4`` below ``results``.

    Raises:
        ValueError: there is no video, one cannot be read, or the page's name does not end in .html.
    """
    if page.suffix != ".html":
        raise ValueError(f"{page}: accepted: a file name that ends in .html")
    videos = sorted(path for path in results.rglob("videos/[!.]*.mp4"))
    if not videos:
        raise ValueError(f"{results}: no video is there; accepted: a folder of studies, as simgap study makes them")
    cards = sorted((_card(video, page) for video in videos), key=lambda card: (card.figure, card.study))
    figures = {card.figure: [each for each in cards if each.figure == card.figure] for card in cards}
    write_text(page, TEMPLATES.get_template("gallery.html.j2").render(figures=figures, count=len(cards)))
    return page


def _card(video: Path, page: Path) -> Card:
    study = video.parent.parent
    cell, _, domain = video.stem.partition("-in-")
    cell, _, sight = cell.partition("-through-")
    row = _summary(study, cell, domain, sight)
    figure, title = cell.partition("-")[0], cell
    if row:
        figure, options = split_figure(row["figure"])
        title = f"{row['agent']} on {row['pipeline']}, {method(row['randomization'])}, trained in {row['train_domain']}"
        title += "".join(f", {name}={value}" for name, value in options.items())
    report = next((study / name for name in ("report.html", "README.md") if (study / name).exists()), study)
    return Card(
        figure=figure,
        title=title,
        judged=" through ".join(filter(None, [f"in {domain}" if domain else "", sight])),
        value=number(row["iqm"]) if row else "",
        horizon=f"{row['horizon']} steps" if row else "",
        report=Path(os.path.relpath(report, page.parent)).as_posix(),
        study=study.name,
        video=data_uri(video.read_bytes(), "video/mp4"),
        poster=data_uri(_poster(video), "image/jpeg"),
    )


def _summary(study: Path, cell: str, domain: str, sight: str) -> dict[str, Any]:
    """The row of the study's ``summary.csv`` on the cell in the domain; empty without one."""
    try:
        runs = pd.read_csv(study / "runs.csv", keep_default_na=False)
        summary = pd.read_csv(study / "summary.csv", keep_default_na=False)
        found = runs[runs["cell"] == cell].iloc[:1]
        if sight:
            found = found.assign(pipeline=found["pipeline"] + f"@{sight}")
        rows = summary.merge(found[["figure", "pipeline", "randomization", "agent", "train_domain"]])
        rows = rows[rows["eval_domain"] == domain]
    except (OSError, KeyError, ValueError):
        return {}
    return dict(rows.iloc[0]) if len(rows) else {}


def _poster(video: Path) -> bytes:
    """A frame of the video as JPEG."""
    film = cv2.VideoCapture(str(video))
    try:
        film.set(cv2.CAP_PROP_POS_FRAMES, int(POSTER * film.get(cv2.CAP_PROP_FRAME_COUNT)))
        there, frame = film.read()
    finally:
        film.release()
    if not there:
        raise ValueError(f"{video}: cannot be read; accepted: an MP4 video")
    return bytes(np.asarray(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]))
