"""The base of every block of settings: recipes, methods, cards.

Offers `Settings`. Light: no torch.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Base of every settings block: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
