"""The methods there are, without their code: what a suite may name and what each one needs.

Offers `METHODS`. Light: no torch, so that planning never loads it.
"""

from __future__ import annotations

from lima_bench.common.registry import Registry
from lima_bench.lima.methods.card import MethodCard
from lima_bench.lima.methods.cards import (
    cleverdistiller,
    csc,
    gcc3d,
    hvdistill,
    lima,
    pointcontrast,
    ppkt,
    random,
    scalr,
    seal,
    slidr,
    st_slidr,
    superflow,
    tricc,
)

METHODS: Registry[MethodCard] = Registry("method")
for _module in (
    random,
    slidr,
    scalr,
    lima,
    ppkt,
    st_slidr,
    tricc,
    seal,
    csc,
    hvdistill,
    superflow,
    cleverdistiller,
    pointcontrast,
    gcc3d,
):
    METHODS.add(_module.CARD.name, _module.CARD)
