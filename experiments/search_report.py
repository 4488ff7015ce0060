"""The report of a search: from its trials to a table, charts, the best configuration and a page.

::

    results/<search>/
      space.yaml        what was searched            trials.csv     a row per trial
      best.yaml         simgap train --config it      importance.json
      figures/*.png     report.html   README.md       provenance.json
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import yaml
from optuna.trial import FrozenTrial, TrialState

from experiments import plots, search_charts
from experiments.files import read_json, read_yaml, write_json, write_text
from experiments.findings import count, duration, number
from experiments.objectives import OBJECTIVES
from experiments.pages import TEMPLATES, data_uri
from experiments.plain import parse_config, to_plain, to_yaml
from experiments.provenance import provenance
from experiments.search_parameters import label
from experiments.search_space import FIRST_SEED, SearchSpace
from experiments.search_study import first_number, reason_of, shown, standing

STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
WORDS = {
    "mean": "mean return",
    "iqm": "interquartile mean of the returns",
    "stable": "mean \u00b7 (1 \u2212 std / |mean|) of the returns",
    "motion": "mean of return \u00b7 share of the episode in which the figure gets ahead by 0.1 m/s or more",
}
FEWEST = 10
"""Complete trials from which on importances and correlations are shown: fewer say nothing."""
BEST = 10
"""Rows of the short table."""


def collect(space: SearchSpace, study: optuna.Study, url: str, directory: Path) -> None:
    """Write what the database holds of the search into its directory."""
    here = provenance()  # first: tables that git tracks would make the source look changed
    trials = [trial for trial in standing(study)[: space.trials] if trial.state in STATES]
    rows = [_row(trial, space) for trial in trials]
    write_text(directory / "space.yaml", to_yaml(space))
    write_text(directory / "trials.csv", pd.DataFrame(rows).to_csv(index=False))
    importances: dict[str, float] = {}
    if sum(trial.state == TrialState.COMPLETE for trial in trials) >= FEWEST:
        # PED-ANOVA, https://arxiv.org/abs/2304.10255. The best tenth, Optuna's default, is two trials of twenty.
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)
        counted = optuna.create_study(direction="maximize")
        counted.add_trials(trials)
        importances = optuna.importance.get_param_importances(counted, evaluator=evaluator)
    write_json(directory / "importance.json", importances)
    times = [time for trial in trials for time in (trial.datetime_start, trial.datetime_complete) if time]
    facts = {"command": f"simgap search {space.name}", "storage": shown(url)}
    facts |= {"started": str(min(times)), "ended": str(max(times))} if times else {}
    write_json(directory / "provenance.json", {**here, **facts})


def _row(trial: FrozenTrial, space: SearchSpace) -> dict[str, Any]:
    complete, failed = trial.state == TrialState.COMPLETE, trial.state == TrialState.FAIL
    return {
        "number": trial.number,
        "state": STATES[trial.state],
        "score": trial.value if complete else None,
        **{name: trial.user_attrs.get(name) for name in OBJECTIVES},
        "wall_s": trial.user_attrs.get("wall_s"),
        "last_step": max(trial.intermediate_values, default=None),
        **{key: _cell(trial.params[key], space, key) for key in space.parameters if key in trial.params},
        "folder": f"trial-{first_number(trial):04d}",
        "reason": reason_of(trial) if failed else "",
    }


def _cell(value: Any, space: SearchSpace, key: str) -> Any:
    """Choices are texts: beside numbers and gaps, a table would take 0 for 0.0, and None for nothing."""
    return value if space.parameters[key].choices is None else str(value)


def write_search_report(directory: Path) -> Path:
    """Write every derived file of the search in ``directory`` and return the path of the page; trains nothing.

    Raises:
        ValueError: an input is missing or damaged, or no trial was completed; one line names the file.
    """
    file = directory / "space.yaml"
    space = parse_config(SearchSpace, read_yaml(file), str(file))
    trials = _read_trials(directory / "trials.csv", space)
    done = trials[trials["state"] == "complete"].sort_values("score", ascending=False, kind="stable")
    failed = trials[trials["state"] == "failed"]
    if done.empty:
        reasons = [f"; trial {row['number']}: {row['reason']}" for _, row in failed.iterrows()]
        raise ValueError(f"{directory / 'trials.csv'}: no trial was completed{''.join(reasons[:1])}")
    facts, importances = read_json(directory / "provenance.json"), read_json(directory / "importance.json")
    values = {key: _value(space, key, done.iloc[0][key]) for key in space.parameters}
    best = to_plain(space.config(values))
    write_text(directory / "best.yaml", _best_yaml(space, int(done.iloc[0]["number"]), best))
    figures = _figures(space, trials, importances)
    for name, figure in figures.items():
        plots.save(figure["figure"], directory / "figures" / f"{name}.png")
    context = {
        "space": space,
        "score": WORDS[space.objective],
        "judged": _judged(space, best),
        "best": {"number": int(done.iloc[0]["number"]), "score": number(done.iloc[0]["score"])},
        "values": {key: _shown(done.iloc[0][key]) for key in space.parameters},
        "names": search_charts.short_names(list(space.parameters)),
        "counts": _counts(trials),
        "trained": duration(done["wall_s"].sum()),
        "horizon": best["horizon"],
        "top": _table(space, done.head(BEST)),
        "all": _table(space, trials),
        "failures": [f"Trial {n}: {reason}" for n, reason in zip(failed["number"], failed["reason"], strict=True)],
        "provenance": facts,
        "figures": figures,
        "first_seed": FIRST_SEED,
        "directory": directory.as_posix(),
        "uris": {n: data_uri((directory / "figures" / f"{n}.png").read_bytes(), "image/png") for n in figures},
    }
    write_text(directory / "README.md", TEMPLATES.get_template("search.md.j2").render(context))
    write_text(directory / "report.html", TEMPLATES.get_template("search.html.j2").render(context))
    return directory / "report.html"


def _read_trials(path: Path, space: SearchSpace) -> pd.DataFrame:
    """Texts stay texts: choices such as ``1`` and ``true`` are told apart by the space."""
    needed = ["number", "state", "score", *OBJECTIVES, "wall_s", *space.parameters, "folder", "reason"]
    texts = {key: str for key, parameter in space.parameters.items() if parameter.choices is not None}
    try:
        trials = pd.read_csv(path, dtype={**texts, "reason": str}, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path}: cannot be read ({' '.join(str(error).split())}); accepted: a search's table"
        ) from None
    if missing := [column for column in needed if column not in trials.columns]:
        raise ValueError(f"{path}: has no column {missing[0]}; accepted: {', '.join(needed)}")
    return trials


def _value(space: SearchSpace, key: str, cell: Any) -> Any:
    """A key's value from its table cell."""
    parameter = space.parameters[key]
    if parameter.choices is not None:
        return next(choice for choice in parameter.choices if str(label(choice)) == str(cell))
    return int(cell) if parameter.integers is not None else float(cell)


def _best_yaml(space: SearchSpace, trial: int, config: Mapping[str, Any]) -> str:
    keys = {key: value for key, value in config.items() if key not in ("study", "seed")}
    text = yaml.safe_dump(keys, sort_keys=False, allow_unicode=True, width=100)
    return f"# Trial {trial} of simgap search {space.name}: simgap train --config best.yaml --seed 0\n{text}"


def _judged(space: SearchSpace, best: Mapping[str, Any]) -> str:
    """Where trials were judged, and what that cost in a domain that is not the one they train in."""
    episodes = f"{count(space.episodes, 'episode')} of {best['horizon']} steps"
    seeds = f"each of {count(space.seeds, 'training seed')}" if space.seeds > 1 else "its training seed"
    where = f"Each trial is judged on {episodes} in {space.judged_in} for {seeds}, with seeds disjoint from training."
    if "domain" not in space.parameters and space.judged_in == best["domain"]:
        return f"{where} That is the domain that it trains in; no other was seen, so the target budget is 0 episodes."
    total = space.trials * space.seeds * space.episodes
    return (
        f"{where} That domain was named by the user and is not (always) the one that a trial trains in: settings are "
        f"selected on it, with a budget of {number(total)} episodes there at most."
    )


def _counts(trials: pd.DataFrame) -> str:
    states = trials["state"].value_counts()
    parts = [f"{states.get(state, 0)} {state}" for state in STATES.values() if states.get(state, 0)]
    return f"{count(len(trials), 'trial')}: {', '.join(parts)}"


def _shown(cell: Any) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) and cell != round(cell) else str(cell).removesuffix(".0")


def _table(space: SearchSpace, trials: pd.DataFrame) -> dict[str, Any]:
    names = search_charts.short_names(list(space.parameters))
    rows = []
    for _, row in trials.iterrows():
        reached = row["score"] if row["state"] == "complete" else float("nan")
        others = ["" if pd.isna(row[name]) else number(row[name]) for name in OBJECTIVES]
        values = ["" if pd.isna(row[key]) else _shown(row[key]) for key in space.parameters]
        took = "" if pd.isna(row["wall_s"]) else duration(row["wall_s"])
        rows.append([str(row["number"]), row["state"], number(reached), *values, *others, took])
    return {"columns": ["trial", "ended", "score", *names.values(), *OBJECTIVES, "training"], "rows": rows}


def _figures(space: SearchSpace, trials: pd.DataFrame, importances: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    figures = {
        "history": {
            "figure": search_charts.history_chart(trials, f"score ({space.objective})"),
            "title": "Score of each trial",
            "caption": f"Score: {WORDS[space.objective]}. Marks on the axis: trials without one.",
        }
    }
    done = trials[trials["state"] == "complete"]
    if importances:
        figures["importance"] = {
            "figure": search_charts.importance_chart(importances),
            "title": "Which parameters matter",
            "caption": f"PED-ANOVA over {count(len(done), 'complete trial')}: how far the values of the best quarter "
            "differ from those of all. With few trials it is rough.",
        }
    table = search_charts.correlations(trials, space.parameters)
    if len(done) >= FEWEST and len(table) > 1:
        figures["correlation"] = {
            "figure": search_charts.correlation_chart(table),
            "title": "What goes with what",
            "caption": f"Spearman\u2019s rank correlations over {count(len(done), 'complete trial')}. Parameters "
            "correlate with each other because the sampler goes where it is promising.",
        }
    figures["slices"] = {
        "figure": search_charts.slices_chart(trials, space.parameters, f"score ({space.objective})"),
        "title": "Score over each parameter",
        "caption": "Each point is a complete trial; later ones are darker.",
    }
    return figures
