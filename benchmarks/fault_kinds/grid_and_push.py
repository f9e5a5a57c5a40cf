"""Kills of the two long works around a training: a grid of runs, and a push to the Hub."""

from pathlib import Path
from typing import Any

import huggingface_hub.constants

from modeling_erc.grids.grid import run_ablation
from modeling_erc.hub.repository import HubRepository, staged
from tests.hub_server import HubServer

from . import Outcome, Plan, children, fault, small_run
from .kills import seconds_of

NAME = "me/model"


@fault("grid", "a grid of four runs is killed and started again: the scores of every run are those without a kill")
def grid(plan: Plan) -> Outcome:
    """Kills grids, whose worker processes end with them."""
    draw, log, home = plan.draw, plan.folder / "log", plan.folder / "home"
    recipe, *extra = small_run.write_corpus(plan.folder / "corpus", draw)

    def ablate(out: Path) -> None:
        small_run.own_caches(home)
        varied = {"fusion": ["joint_vector", "concat"]}
        options: dict[str, Any] = {"baseline": (("fusion", "concat"),), "jobs": 1, "command": "", "extra": extra}
        _, failed = run_ablation(Path(recipe), varied, [0, 1], out, **options)
        assert not failed, failed

    whole = plan.folder / "whole"
    lasting = seconds_of(lambda: children.run(ablate, whole, log=log, limit=600))
    failures = []
    trials = plan.count(5)
    for trial in range(trials):
        out = plan.folder / f"killed{trial}"
        children.run(ablate, out, log=log, kill_after=draw.uniform(0, lasting))
        code = children.run(ablate, out, log=log, limit=600)
        if code != 0:
            failures.append(f"{trial}: exit code {code}: {children.last_line(log)}")
        elif scores(out) != scores(whole):
            failures.append(f"{trial}: other scores")
    return Outcome(trials, failures)


def scores(out: Path) -> list[str]:
    """Returns the predictions of all runs of a grid."""
    return [file.read_text(encoding="utf-8") for file in sorted(out.glob("runs/*/predictions.csv"))]


@fault(
    "push",
    "a push is killed, or its connection cut: the repository has all files of a commit or none, the next push all",
)
def push(plan: Plan) -> Outcome:
    """Pushes a checkpoint to a Hub on this machine and kills the process, or cuts connections."""
    draw, log, home = plan.draw, plan.folder / "log", plan.folder / "home"
    run = plan.folder / "run"
    if error := small_run.finished(home, small_run.write_corpus(plan.folder / "corpus", draw), run, log):
        return Outcome(0, [f"the run to push: {error}"])
    with staged(run) as stage:
        expected = {
            path.relative_to(stage).as_posix(): path.read_bytes() for path in stage.rglob("*") if path.is_file()
        }
    failures, empty = [], 0

    def pushed(url: str) -> None:
        constants = huggingface_hub.constants
        constants.ENDPOINT, constants.HF_HUB_DISABLE_XET, constants.HF_HUB_OFFLINE = url, True, False
        HubRepository(NAME, token="hf_test").push(run)

    with HubServer() as server:
        lasting = seconds_of(lambda: children.run(pushed, server.url, log=log))
    trials = plan.count(30)
    for trial in range(trials):
        with HubServer() as server:
            if trial % 3 == 0:
                server.fail("PUT", "/lfs-upload/.*", None)
            children.run(pushed, server.url, log=log, kill_after=draw.uniform(0, lasting))
            found = held(server)
            empty += found == {}
            if found not in (None, {}, expected):
                failures.append(f"{trial}: a commit of {len(found or ())} of {len(expected)} files")
            code = children.run(pushed, server.url, log=log)
            if code != 0 or held(server) != expected:
                failures.append(f"{trial}: exit code {code}: {children.last_line(log)}")
    return Outcome(trials, failures, f"{empty} left an empty repository")


def held(server: HubServer) -> dict[str, bytes] | None:
    """Returns the files of the repository, None if there is none."""
    try:
        return server.files(NAME)
    except KeyError:
        return None
