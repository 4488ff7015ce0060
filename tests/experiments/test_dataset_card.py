from experiments.dataset_card import throughput


def row(seconds: float, images: int, memory: float = 0.5) -> dict[str, float]:
    return {"seconds": seconds, "images": images, "largest_worker_gb": memory}


def test_speed_is_told_part_by_part() -> None:
    rows = [row(10, 100), row(20, 500, 0.7), row(30, 600), row(40, 1000, 0.6)]
    # 100 to 500 has its middle in the first half, the rest in the second.
    assert throughput(rows, parts=2) == [(0, 500, 40.0, 0.7), (500, 1000, 25.0, 0.6)]


def test_the_time_of_an_interruption_does_not_count() -> None:
    rows = [row(10, 100), row(20, 200), row(10, 300), row(20, 400)]
    assert throughput(rows, parts=1) == [(0, 400, 10.0, 0.5)]


def test_nothing_is_told_of_what_was_too_fast_to_see() -> None:
    assert throughput([], parts=10) == []
    assert throughput([row(3, 12)], parts=10) == []
