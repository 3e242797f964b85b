"""The spconv engine: sparse convolution on CUDA by the library that most of the field uses.

Offers `SPCONV` and `SpconvEngine`. It computes over our kernel maps (`spconv_pairs`) with spconv's
kernels (`spconv_library`), and is taken only where it agrees with the reference (`parity`).

Precision. spconv multiplies float32, exactly or on tensor cores as TF32; it has no kernels for
bfloat16, and its float16 ones may add in float16. So float32 stays exact unless
``torch.backends.cuda.matmul.allow_tf32`` is set, and both half types (autocast) are widened to
float32 and multiplied as TF32: that loses nothing, because TF32 holds their mantissas (7 and 10
bits, TF32 10) and exponents (8 and 5 bits, TF32 8); sums are float32, and only the result is
rounded. Derived, not measured here: TF32 changes each factor by up to 2**-10 where it cuts it off,
which leaves 1e-4 to 1e-3 of the largest value of a layer; bfloat16 rounds by up to 2**-9, which
leaves about 4e-3 with its rounded result; exact float32 leaves about 1e-6.

Algorithm. ``LIMA_BENCH_SPCONV=implicit``, the default, gathers while it multiplies; ``native``
gathers, multiplies and scatters weight by weight, always in exact float32, for GPUs on which the
former fails. Only CPU tensors of the tests ever take ``native`` off a GPU.

Repeatability. Where torch is asked for deterministic algorithms, as `lima_bench.lima.loop` does,
kernels are chosen by rule and another run of the program adds in the same order; elsewhere spconv
takes what it timed as fastest, and the last bits may differ between runs.
"""

from __future__ import annotations

import os

import torch
from jaxtyping import Float
from torch import Tensor

from lima_bench.common.errors import unknown_name
from lima_bench.lima.backbones.sparse.kernel_map import KernelMap
from lima_bench.lima.backbones.sparse.parity import Agreement, agreement
from lima_bench.lima.backbones.sparse.reference import REFERENCE
from lima_bench.lima.backbones.sparse.spconv_convolution import ALGORITHMS, Plan, convolve
from lima_bench.lima.backbones.sparse.spconv_library import Kernels, why_missing

VARIABLE = "LIMA_BENCH_SPCONV"
TOLERANCE = 1e-5
"""Largest error, relative to the largest value, of exact float32 against float64: assumed. Rounding
leaves about 1e-6, TF32 slipped in leaves more than 1e-4, a wrong pair leaves about 1."""

TF32_TOLERANCE = 5e-3
"""The same for TF32, whose factors carry 10 bits of mantissa: assumed."""

TRIALS = {
    "fastest kernels": Kernels(trial=True),
    "repeatable kernels": Kernels(repeatable=True, trial=True),
    "fastest TF32 kernels": Kernels(tf32=True, trial=True),
    "repeatable TF32 kernels": Kernels(tf32=True, repeatable=True, trial=True),
}
"""What is tried before the engine is trusted: every set of kernels that it may use."""


class SpconvEngine:
    """Kernels of spconv over our maps.

    Args:
        algorithm: One of `ALGORITHMS`; by default what the environment variable says.
        held_to: Which kernels may run, whatever torch's settings say.
    """

    def __init__(self, algorithm: str | None = None, held_to: Kernels | None = None) -> None:
        self._algorithm, self._held_to = algorithm, held_to
        self._findings: dict[tuple[str, int], dict[str, Agreement]] = {}

    @property
    def algorithm(self) -> str:
        """Which of spconv's algorithms computes.

        Raises:
            UserError: The environment variable names none.
        """
        name = self._algorithm or os.environ.get(VARIABLE, ALGORITHMS[0])
        if name not in ALGORITHMS:
            raise unknown_name(VARIABLE, "algorithm of spconv", name, ALGORITHMS)
        return name

    def why_not(self, device: torch.device) -> str | None:
        """See `lima_bench.lima.backbones.sparse.engine.Engine`; tries it once on each GPU."""
        if device.type != "cuda":
            return "It computes on CUDA only: on a CPU spconv's sums are wrong with two threads."
        if not torch.cuda.is_available():
            return "torch sees no CUDA device."
        if (reason := why_missing()) is not None:
            return reason
        algorithm = self.algorithm
        try:
            findings = self.trial(device)
        except Exception as error:  # whatever a foreign kernel dies of, the reference computes
            return f"It failed its trial: {str(error).partition(chr(10))[0]} {_way_out(algorithm)}"
        bad = [f"{what}: {each}" for what, each in findings.items() if not _passes(what, each)]
        return (
            f"It disagrees with float64 ({'; '.join(bad)}). {_way_out(algorithm)}" if bad else None
        )

    def trial(self, device: torch.device) -> dict[str, Agreement]:
        """How well each set of kernels agrees with the reference; found once per GPU."""
        index = torch.cuda.current_device() if device.index is None else device.index
        key = self.algorithm, index
        if key not in self._findings:
            self._findings[key] = {
                what: agreement(SpconvEngine(key[0], which), torch.device("cuda", index))
                for what, which in TRIALS.items()
            }
        return self._findings[key]

    def convolve(
        self,
        features: Float[Tensor, "in c_in"],
        weight: Float[Tensor, "K c_in c_out"],
        kernel_map: KernelMap,
    ) -> Float[Tensor, "out c_out"]:
        """See `lima_bench.lima.backbones.sparse.engine.Engine`.

        float64 and maps without rows on one side, for neither of which spconv has kernels, are
        computed by the reference engine.
        """
        kernel_map.must_fit(features, weight)
        if torch.float64 in (features.dtype, weight.dtype) or not _has_work(weight, kernel_map):
            return REFERENCE.convolve(features, weight, kernel_map)
        return convolve(features, weight, kernel_map, self._plan(features))

    def _plan(self, features: Tensor) -> Plan:
        device = features.device.type
        autocast = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else features.dtype
        tf32 = dtype != torch.float32 or torch.backends.cuda.matmul.allow_tf32
        chosen = self._held_to or Kernels(tf32, torch.are_deterministic_algorithms_enabled())
        return Plan(self.algorithm, chosen, dtype)


SPCONV = SpconvEngine()


def _passes(what: str, found: Agreement) -> bool:
    return found.worst <= (TF32_TOLERANCE if TRIALS[what].tf32 else TOLERANCE)


def _has_work(weight: Tensor, kernel_map: KernelMap) -> bool:
    return weight.numel() > 0 and kernel_map.n_in > 0 and kernel_map.n_out > 0


def _way_out(algorithm: str) -> str:
    return f"{VARIABLE}=native may work." if algorithm == "implicit" else ""
