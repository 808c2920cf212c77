from __future__ import annotations

import pytest

from paretobench.telemetry.gpu import open_gpu_probe

FIRST, SECOND = "GPU-0abc-0", "GPU-1abc-1"


def uuid_of(device, **environment):
    probe = open_gpu_probe(device, environment=environment)
    return None if probe is None else probe.uuid


@pytest.mark.parametrize("uuid", [SECOND, "1abc-1", "gpu-1abc-1", "GPU-1a"])
def test_a_uuid_finds_its_device_however_it_is_written(two_gpus, uuid):
    assert uuid_of(uuid) == SECOND


def test_the_uuid_decides_over_the_index(two_gpus):
    assert open_gpu_probe("cuda:0", uuid="1abc-1", environment={}).uuid == SECOND


@pytest.mark.parametrize("uuid", ["GPU-ffff", "GPU-"])
def test_a_uuid_of_no_device_or_of_two_gives_no_probe(two_gpus, uuid):
    assert uuid_of(uuid) is None
    assert two_gpus.users == 0


@pytest.mark.parametrize(
    ("device", "visible", "expected"),
    [
        (0, None, FIRST),
        ("cuda", None, FIRST),
        ("cuda:1", None, SECOND),
        (2, None, None),
        (0, "1", SECOND),
        (1, "1", None),
        ("cuda:1", "1,0", FIRST),
        (0, SECOND, SECOND),
        (1, f"0, {SECOND}", SECOND),
        (0, "GPU-1a", SECOND),
        (0, "", None),
        (0, "-1", None),
        (1, "0,-1,1", None),
        (0, "7", None),
    ],
)
def test_an_index_counts_the_visible_devices(two_gpus, device, visible, expected):
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert uuid_of(device, **environment) == expected


def test_among_different_gpus_an_index_counts_only_in_bus_order(two_gpus):
    two_gpus.names = ("NVIDIA A100", "NVIDIA H200")
    assert uuid_of(1) is None
    assert uuid_of(1, CUDA_DEVICE_ORDER="PCI_BUS_ID") == SECOND
    assert uuid_of(SECOND) == SECOND
