import pandas as pd

from experiments.report_tables import training_words

RUNS = pd.DataFrame(
    {"figure": ["hopper", "ant", "hopper", "ant"], "pipeline": "state", "agent": ["ppo", "cem", "ppo", "cem"]}
    | {"wall_s": [60.0, 3600, 90, 7200], "steps_per_s": [2000.0, 1000, 2000, 1000], "diverged": [0, 1, 0, 2]}
)


def test_the_words_on_training_tell_what_a_run_of_each_setting_took() -> None:
    assert training_words(RUNS) == (
        "4 training runs; a run took 30 min 45 s in the median (2 h 00 min at most), at 1500 steps/s; "
        "3 training episodes diverged. By setting: hopper 1 min 15 s, ant 1 h 30 min."
    )


def test_the_words_on_training_of_one_setting() -> None:
    assert training_words(RUNS.query("figure == 'hopper'")) == (
        "2 training runs; a run took 1 min 15 s in the median (1 min 30 s at most), at 2000 steps/s."
    )
