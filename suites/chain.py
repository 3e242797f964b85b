"""Builds the chain of jobs behind one cell: world -> features -> pretrain -> task. Pure.

Offers `Chain` and `Identity`. Used by `lima_bench.suites.expand` only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from lima_bench.datasets.api import base_of
from lima_bench.datasets.label_shares import DETECTION
from lima_bench.lima.clusters.kinds import VERSION as CLUSTERS_VERSION
from lima_bench.lima.clusters.kinds import cluster_facts
from lima_bench.lima.recipes import PretrainRecipe
from lima_bench.suites.adopted import AdoptedCheckpoint
from lima_bench.suites.job import Job, world_role
from lima_bench.suites.known import Known
from lima_bench.suites.load import Loaded
from lima_bench.suites.profile_schema import RecipeSet, Splits
from lima_bench.suites.schema import Column, Row
from lima_bench.suites.segments import Segmentation

_NOT_HASHED = ("precision", "checkpoint_steps")
"""Settings of a recipe that decide how a run goes, not what it means: recorded, not hashed."""

_ELSEWHERE = ("superpixels", "semantic", "instances", "clusters")
"""Settings of a recipe that enter by the key of a cached stage, if the method reads it."""

Data = dict[str, Any] | list[dict[str, Any]]
"""What a job reads: of one data set, or of several at once."""


@dataclass(frozen=True)
class Identity:
    """Which data the jobs are about: a world to render, or files that lie somewhere.

    Attributes:
        world: By data set, every setting that its recordings depend on, as JSON values; None for
            files.
        world_version: Of the world's code.
        manifests: Data-set id to the digest of the files on disk; beside a world, of data sets
            that it is not written as.
        masks: Folder of masks, relative to the data root, to the digest of its files.
        provisional: The digests were not read from disk: good for plans, not for runs.
    """

    world: Mapping[str, Mapping[str, Any]] | None = None
    world_version: int = 0
    manifests: Mapping[str, str] = field(default_factory=dict)
    masks: Mapping[str, str] = field(default_factory=dict)
    provisional: bool = False

    def renders(self, dataset: str) -> bool:
        """Whether the world is written as this data set."""
        return base_of(dataset) in (self.world or {})


@dataclass
class Chain:
    """Collects jobs while cells ask for them; each exists once.

    Attributes:
        loaded: The suite in its profile.
        known: What exists and what is built.
        identity: Which data.
        jobs: Key to job, inputs before what reads them.
    """

    loaded: Loaded
    known: Known
    identity: Identity
    jobs: dict[str, Job] = field(default_factory=dict)

    def recipes(self, row: Row) -> RecipeSet:
        """The recipe set of a row."""
        profile = self.loaded.profile
        own = self._recipes_of_adopted(row)
        name = row.recipes or own or self.loaded.suite.defaults.recipes or profile.default_recipes
        return profile.recipes[name]

    def _recipes_of_adopted(self, row: Row) -> str:
        """The recipe set for students that are fed as an adopted one is, if the profile has it."""
        if not (found := self._adopted(row)):
            return ""
        sets = self.loaded.profile.recipes.items()
        return next((name for name, made in sets if made.student == found.file.student.name), "")

    def _adopted(self, row: Row) -> AdoptedCheckpoint | None:
        return self.known.adopted.get(row.adopted or "")

    def teacher(self, row: Row) -> str:
        """The teacher's id; empty if the method has none, or nobody names one."""
        if row.adopted:
            return row.teacher or ""
        if "features" not in self.known.card_of(row).needs:
            return ""
        return (
            row.teacher or self.loaded.suite.defaults.teacher or self.loaded.profile.teacher or ""
        )

    def pretrain_on(self, row: Row) -> tuple[str, ...]:
        """The data sets that the row is taught on."""
        return row.pretrain_on or self.loaded.suite.defaults.pretrain_on or ()

    def student(self, row: Row, *, on: str | None = None) -> dict[str, Any]:
        """Settings of the student, as it is fed on the data set `on`."""
        if found := self._adopted(row):
            changes = {"backbone": found.file.backbone}
            return found.student.resolved(on=on, method=row.method or None, changes=changes)
        backbone = row.student or self.loaded.suite.defaults.student
        changes = {"backbone": backbone} if backbone else {}
        recipe = self.loaded.recipes[self.recipes(row).student]
        return recipe.resolved(on=on, method=row.method, changes=changes)

    def detector(self, row: Row) -> str:
        """What finds boxes on top of the row's backbone; empty if nobody names anything."""
        return row.detector or self.loaded.suite.defaults.detector or ""

    def recipe_of(self, row: Row, column: Column) -> str | None:
        """The recipe by which a column is asked of a row; None if its recipe set has none."""
        kind = self.detector(row) if column.task == "detect" else str(column.task)
        recipe: str | None = getattr(self.recipes(row), kind, None)
        return recipe

    def frames(self, row: Row) -> int | None:
        """How many frames the method of a row sees."""
        method = self.known.card_of(row)
        if row.frames is not None:
            return row.frames
        if not method.learns:
            return None
        return int(self.settings(row).get("frames", method.frames))

    def settings(self, row: Row) -> dict[str, Any]:
        """Every setting of the row's method."""
        card = self.known.card_of(row)
        changes = dict(row.settings)
        if row.frames is not None and "frames" in card.settings.model_fields:
            changes["frames"] = row.frames
        return card.settings.model_validate(changes).model_dump(mode="json")

    def assumed(self, row: Row) -> bool:
        """Whether the row's pretraining uses a value that no source states."""
        if found := self._adopted(row):
            return bool(found.student.assumed)
        used = self.recipes(row)
        return any(self.loaded.recipes[name].assumed for name in (used.student, used.pretrain))

    def pretrain(self, row: Row, seed: int) -> str:
        """The pretraining of a row, with all that it reads; returns its key.

        A method that does not learn (`random`) reads nothing: its job is the first weights. Where
        the row is adopted, its job takes the weights over, whoever taught them.
        """
        if found := self._adopted(row):
            return self._take_over(found)
        method = self.known.card_of(row)
        config: dict[str, Any] = {"method": row.method, "settings": self.settings(row)}
        if not method.learns:
            config["student"] = self.student(row)
            return self._add(Job("pretrain", method.version, config, seed))
        own_seed = seed if self.loaded.profile.pretraining == "per_seed" else 0
        datasets = self.pretrain_on(row)
        dataset = datasets[0] if len(datasets) == 1 else None
        recipe, runtime = self._recipe(self.recipes(row).pretrain, row, dataset)
        data, inputs = self._datasets(datasets)
        inputs |= self._caches(row, recipe, data, dict(inputs))
        for name in _ELSEWHERE:
            del recipe[name]
        if "survey" not in method.needs:
            del recipe["survey_frames"]
        config |= {"student": self.student(row, on=dataset), "recipe": recipe, "data": data}
        if self.teacher(row):
            config["teacher"] = self._teacher_facts(row)
        return self._add(Job("pretrain", method.version, config, own_seed, inputs, runtime))

    def ask(self, row: Row, column: Column, checkpoint: str, seed: int) -> str:
        """The downstream job of a cell, reading the row's `checkpoint`; returns its key."""
        task, dataset = str(column.task), str(column.on)
        name = str(self.recipe_of(row, column))
        recipe, runtime = self._recipe(name, row, dataset, labels=column.labels)
        splits = self._splits(dataset)
        data, inputs = self._data(dataset, train=splits.train, val=splits.val)
        config: dict[str, Any] = {
            "student": self.student(row, on=dataset),
            "recipe": recipe,
            "data": data,
            "labels": self._labels(dataset, column),
        }
        if task == "detect":
            config["detector"] = self.detector(row)
        if column.corrupted:
            copies = self._splits(column.corrupted)
            config["corrupted"], made_by = self._data(column.corrupted, val=copies.val)
            inputs |= made_by
        inputs["checkpoint"] = checkpoint
        version = self.known.tasks[task].version
        return self._add(Job(task, version, config, seed, inputs, runtime))

    def _take_over(self, adopted: AdoptedCheckpoint) -> str:
        """Equal weights are one job, whatever they are called and wherever they come from."""
        config = {"backbone": adopted.file.backbone, "weights": adopted.file.digest}
        runtime = {"checkpoint": str(adopted.checkpoint)}
        return self._add(Job("adopt", 1, config, runtime=runtime))

    def _add(self, job: Job) -> str:
        self.jobs.setdefault(job.key, job)
        return job.key

    def _recipe(
        self, name: str, row: Row, dataset: str | None, *, labels: str | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Settings that are hashed, and those that are not."""
        recipe = self.loaded.recipes[name]
        backbone = self.student(row, on=dataset)["backbone"]
        settings = recipe.resolved(
            labels=labels, on=dataset, method=row.method or None, student=backbone
        )
        runtime = {key: settings.pop(key) for key in _NOT_HASHED}
        return settings, runtime

    def _data(self, dataset: str, **splits: str) -> tuple[dict[str, Any], dict[str, str]]:
        """What is read of one data set, and the job that makes it, if one does."""
        facts = self.known.datasets[dataset]
        data: dict[str, Any] = {"dataset": dataset, "version": facts.version, "splits": splits}
        if not self.identity.renders(dataset):
            data["manifest"] = self.identity.manifests[dataset]
            return data, {}
        base = base_of(dataset)
        config = {"dataset": base, "spec": (self.identity.world or {})[base]}
        job = Job("world", self.identity.world_version, config)
        return data, {world_role(base): self._add(job)}

    def _datasets(self, datasets: Sequence[str]) -> tuple[Data, dict[str, str]]:
        """What is read for pretraining: of one data set, or a list of several."""
        read: list[dict[str, Any]] = []
        inputs: dict[str, str] = {}
        for dataset in datasets:
            data, made_by = self._data(dataset, pretrain=self._splits(dataset).pretrain)
            read.append(data)
            inputs |= made_by
        return (read if len(read) > 1 else read[0]), inputs

    def _caches(
        self, row: Row, recipe: Mapping[str, Any], data: Data, inputs: Mapping[str, str]
    ) -> dict[str, str]:
        """The cached stages that the method reads: teacher features, superpixels, clusters."""
        card = self.known.card_of(row)
        features = partial(self._features, row, recipe, data, inputs)
        caches = {}
        # A teacher that runs in every step needs the cache for its mean and deviation at most.
        cached = recipe["images"] is None or recipe["teacher_features"] == "standardised"
        if "features" in card.needs and cached:
            caches["features"] = features()
        if segments := Segmentation.of(card, recipe):
            size = list(PretrainRecipe.model_validate(recipe).superpixel_size)
            masks = segments.config(self.identity.masks)
            read = dict(inputs)
            if segments.card.needs == "features":
                read["features"] = features()
            config = {"image_size": size, "data": data, **masks}
            job = Job("superpixels", 1, config, inputs=read, runtime=segments.runtime)
            caches["superpixels"] = self._add(job)
        if "clusters" in card.needs:
            config = {**cluster_facts(card.clusters, recipe["clusters"]), "data": data}
            job = Job("clusters", CLUSTERS_VERSION, config, inputs=inputs)
            caches["clusters"] = self._add(job)
        return caches

    def _features(
        self, row: Row, recipe: Mapping[str, Any], data: Data, inputs: Mapping[str, str]
    ) -> str:
        seen = {name: recipe[name] for name in ("image_size", "antialias")}
        config = {**seen, "data": data, "teacher": self._teacher_facts(row)}
        return self._add(Job("features", 1, config, inputs=inputs))

    def segmentation(self, row: Row) -> Segmentation | None:
        """What cuts the images of a row; None if its method reads no superpixels, or gets none."""
        datasets = self.pretrain_on(row)
        dataset = datasets[0] if len(datasets) == 1 else None
        recipe, _ = self._recipe(self.recipes(row).pretrain, row, dataset)
        return Segmentation.of(self.known.card_of(row), recipe)

    def _teacher_facts(self, row: Row) -> dict[str, str]:
        name = self.teacher(row)
        return {"name": name, "weights": self.known.weights.get(name, "")}

    def _splits(self, dataset: str) -> Splits:
        chosen = self.loaded.profile.splits
        by_card = Splits.model_validate(self.known.datasets[dataset].roles)
        return chosen.get(dataset) or chosen.get(base_of(dataset)) or by_card

    def _labels(self, dataset: str, column: Column) -> dict[str, str]:
        """The share, and the convention that names its list: as written, or the card's."""
        share, _, convention = column.labels.partition("@")
        declared = self.known.datasets[dataset].label_shares
        by_card = declared.get(share, declared.get("default", ""))
        if column.task == "detect":
            by_card = declared.get(DETECTION, by_card)
        return {"share": share, "convention": convention or by_card}
