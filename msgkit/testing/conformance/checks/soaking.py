"""Everything at once, in short: what `soak` does for longer."""

from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.registry import check
from msgkit.testing.conformance.soak import Soak

__all__: list[str] = []


@check(1, 3, 4, 5, 6, 7, 12, limit=20)
async def a_random_run_without_faults_keeps_every_promise(lab: Lab) -> None:
    for seed in (1, 2):
        await Soak(lab, seed, faults=False).run(lab.patience / 3)


@check(1, 3, 4, 5, 6, 7, 11, 12, 13, limit=30)
async def a_random_run_with_faults_keeps_every_promise(lab: Lab) -> None:
    for seed in (11, 12):
        await Soak(lab, seed).run(lab.patience / 2)
