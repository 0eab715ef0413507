"""Curves and tables from run directories written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rewirl.experiments.curves import draw, main, read_curve, table

CONNECTIONS = {"actor": 10, "critic1": 20, "critic2": 30, "target_actor": 10}


def run(path: Path, agent: str, seed: int, returns: list[float]) -> Path:
    path.mkdir()
    train = {"agent": agent, "env": "Probe-v0", "seed": seed}
    config = {"config": {"train": train, "agent": {"batch_size": 100, "policy_delay": 2}}}
    (path / "config.json").write_text(json.dumps(config))
    lines = [{"event": "start", "step": 0}]
    for index, value in enumerate(returns):
        lines.append(
            {
                "event": "evaluation",
                "step": index * 100_000,
                "return_mean": value,
                "seconds": 10.0 * index,
                "updates": 4 * index,
                "connections": CONNECTIONS,
            }
        )
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"event": "evalu')
    return path


def test_a_curve_is_what_the_log_says(tmp_path: Path) -> None:
    curve = read_curve(run(tmp_path / "a", "ds-td3", 3, [0.0, 500.0, 700.0]))
    assert (curve.agent, curve.env, curve.seed, curve.parameters) == ("ds-td3", "Probe-v0", 3, 60)
    assert curve.steps.tolist() == [0, 100_000, 200_000]
    assert curve.returns.tolist() == [0.0, 500.0, 700.0]
    # 4 updates of 100 samples: critics 4 times, actor twice, 6 operations per connection and sample
    assert curve.flops.tolist()[1] == 100 * 6 * (4 * 50 + 2 * 10)
    assert curve.at(150_000) == 500.0
    assert curve.at(250_000) != curve.at(250_000)  # beyond the end: not known


def test_a_table_has_mean_and_deviation_over_seeds(tmp_path: Path) -> None:
    runs = [run(tmp_path / str(seed), "td3", seed, [0.0, 400.0 + 200 * seed, 800.0]) for seed in (0, 1)]
    row = table([read_curve(path) for path in runs], checkpoints=(100_000, 500_000)).splitlines()[-1]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    final = "433 ± 33"  # (0 + 400 + 800) / 3 and (0 + 600 + 800) / 3
    assert cells == ["td3", "Probe-v0", "0, 1", "200,000", "60", "2.64e+05", "500 ± 100", "-", final, "0.087 ± 0.007"]


def test_a_run_without_evaluations_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="empty has no evaluation"):
        read_curve(run(tmp_path / "empty", "td3", 0, []))


def test_the_command_prints_a_table_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tuple(run(tmp_path / str(seed), "td3", seed, [0.0, 400.0, 800.0]) for seed in (0, 1))
    main(runs, figure=tmp_path / "pictures" / "curves.png")
    assert "| td3 | Probe-v0 | 0, 1 |" in capsys.readouterr().out
    assert (tmp_path / "pictures" / "curves.png").read_bytes().startswith(b"\x89PNG")
    other = run(tmp_path / "other", "td3", 0, [1.0])
    config = json.loads((other / "config.json").read_text())
    config["config"]["train"]["env"] = "Other-v0"
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(SystemExit, match="one environment"):
        main((*runs, other), figure=tmp_path / "no.png")


def test_curves_of_different_lengths_are_drawn_to_the_shorter(tmp_path: Path) -> None:
    long, short = run(tmp_path / "a", "td3", 0, [0.0, 1.0, 2.0]), run(tmp_path / "b", "td3", 1, [0.0, 1.0])
    draw([read_curve(long), read_curve(short)], tmp_path / "curves.svg")
    assert "<svg" in (tmp_path / "curves.svg").read_text()
