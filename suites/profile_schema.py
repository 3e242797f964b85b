"""What a profile and a recipe file may say; unknown keys are errors.

Offers `Profile`, its `RecipeSet`, `Data` and `Splits`, and `RecipeFile` with its `Rule`s, as
`lima_bench.suites.schema` does for suites. Light: no torch, no disk.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from lima_bench.suites.schema import Identifier, Labels, Names, Part, Seeds, Variant


class Data(Part):
    """Where recordings come from: a world that is rendered, or files below the data root.

    Attributes:
        world: Name of a built-in world, None for files.
        settings: Settings of that world that differ.
    """

    world: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)


class Splits(Part):
    """Which split of a data set serves what."""

    pretrain: str = "pretrain"
    train: str = "train"
    val: str = "val"


class RecipeSet(Part):
    """Recipe names by kind: what the student is, how it is taught and asked; a detector is a kind.

    A task or detector without a recipe is not asked of the rows that use the set.
    """

    student: str
    pretrain: str
    linear_probe: str | None = None
    finetune: str | None = None
    centerpoint: str | None = None
    second: str | None = None


def _kind(value: str) -> str:
    if value not in RecipeSet.model_fields:
        raise ValueError(f"a recipe is of one of the kinds {', '.join(RecipeSet.model_fields)}")
    return value


RecipeKind = Annotated[str, AfterValidator(_kind)]


class Profile(Part):
    """Sizes and roots: everything that may differ between a laptop and a cluster.

    Attributes:
        data: Where recordings come from.
        variant: Which rows and columns of a suite belong to it.
        teacher: For rows that name none.
        recipes: Recipe sets by name.
        default_recipes: The set for rows that name none.
        splits: Data-set id to splits, where they differ from those of the card.
        seeds: Unless the suite or the command line says otherwise.
        pretraining: ``per_seed``: every seed has its own pretraining. ``shared``: seeds differ
            downstream only, and all start from the pretraining of seed 0 (first weights, which cost
            nothing, still differ).
        reference: What scores are compared with.
    """

    schema_: Annotated[Literal[1], Field(alias="schema")]
    name: Identifier
    title: str
    data: Data = Data()
    variant: Variant
    teacher: str | None = None
    recipes: Annotated[dict[str, RecipeSet], Field(min_length=1)]
    default_recipes: str = "standard"
    splits: dict[str, Splits] = Field(default_factory=dict)
    seeds: Seeds = (0,)
    pretraining: Literal["per_seed", "shared"] = "per_seed"
    reference: Literal["paper", "golden"] = "golden"

    @model_validator(mode="after")
    def _known_set(self) -> Self:
        if self.default_recipes not in self.recipes:
            raise ValueError(f'there is no recipe set "{self.default_recipes}" in recipes')
        return self


class Rule(Part):
    """Settings that differ where every condition holds.

    Attributes:
        labels: A label share, as the column writes it.
        on: A data-set id.
        method: A method id, or several.
        student: A backbone id, or several.
        settings: Merged over the recipe's; a ``length`` replaces the whole length.
    """

    labels: Labels | None = None
    on: str | None = None
    method: Names | None = None
    student: Names | None = None
    settings: dict[str, Any]


class RecipeFile(Part):
    """One recipe.

    Attributes:
        name: Its file's name.
        title: What it reproduces.
        kind: What it sets: the student, pretraining, a task, or a detector.
        source: Where the values were read.
        settings: Validated against the kind's own settings class.
        when: Rules in order; later ones win.
        assumed: Setting (dotted) to the reason why no source states it.
    """

    schema_: Annotated[Literal[1], Field(alias="schema")]
    name: Identifier
    title: str
    kind: RecipeKind
    source: str = ""
    settings: dict[str, Any]
    when: tuple[Rule, ...] = ()
    assumed: dict[str, str] = Field(default_factory=dict)
