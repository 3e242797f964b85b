"""Fixtures: mmdetection3d and its own encoder; tests skip, with a reason, where they are absent."""

import pytest

from tests.downstream.mmdet3d.mm_here import mmdet3d_or_skip, spconv_on_cpu, spconv_or_skip


@pytest.fixture(scope="session")
def models():
    """The registry, with our plug-in and everything else in it."""
    mmdet3d_or_skip()
    from mmdet3d.registry import MODELS
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet3d")
    import lima_bench.downstream.mmdet3d.plugin  # noqa: F401

    return MODELS


@pytest.fixture
def spconv():
    """mmdetection3d with spconv, which its own encoder needs."""
    spconv_or_skip()
    with spconv_on_cpu():
        yield
