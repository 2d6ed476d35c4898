"""Two devices, or two processes, do what one does; `scale_out.py` is what they run."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import scale_out

BACKEND = os.environ["KERAS_BACKEND"]
# On PyTorch, Keras runs on one device in each process.
WAYS = ("processes",) if BACKEND == "torch" else ("devices", "processes")


def test_shares_of_batches_are_all_of_them():
    data, *_ = scale_out.data_of("plain")
    halves = [scale_out.share_of(data, index).reshape(4, 8, -1) for index in (0, 1)]
    np.testing.assert_array_equal(np.concatenate(halves, axis=1).reshape(64, -1), data)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """What the halves found, by the way they shared the work and by model: all run at once."""
    folder = tmp_path_factory.mktemp("shared")
    port = str(_free_port())
    runs = [[folder, "processes", index, port] for index in "01"]
    runs += [[folder, "devices"]] * ("devices" in WAYS)
    started = [_start(run) for run in runs]
    try:
        for process in started:
            output, _ = process.communicate(timeout=300)
            assert process.returncode == 0, output[-3000:]
    finally:
        for process in started:
            process.kill()
    return {
        (way, kind): [np.load(path) for path in sorted(folder.glob(f"{way}-{kind}-*.npz"))]
        for way in WAYS
        for kind in scale_out.kinds(way)
    }


def _start(arguments):
    devices = 2 if "devices" in arguments else 1
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, scale_out.__file__, *arguments],
        env={**os.environ, "XLA_FLAGS": flags},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _free_port():
    """A port whose successor is free as well."""
    while True:
        with socket.socket() as one, socket.socket() as next_one:
            one.bind(("localhost", 0))
            port = one.getsockname()[1]
            try:
                next_one.bind(("localhost", port + 1))
                return port
            except OSError:
                continue


@pytest.mark.parametrize(
    ("way", "kind"), [(way, kind) for way in WAYS for kind in scale_out.kinds(way)]
)
def test_two_do_what_one_does(shared, way, kind):
    one, halves = scale_out.results(kind), shared[way, kind]
    # Inference compares energies, and rounding decides where they are almost equal.
    tolerance = 1e-4 if kind == "predictive" else 1e-5
    assert len(halves) == {"devices": 1, "processes": 2}[way]
    for name, expected in one.items():
        if name.startswith("validation") and way == "processes":
            continue
        if name.endswith("diversity") and BACKEND != "jax":
            continue  # of the distances in a batch; there, of those in each half of it
        found = [half[name] for half in halves]
        if not name.startswith("step"):
            for each in found:  # the same on both
                np.testing.assert_allclose(each, expected, atol=1e-5, rtol=tolerance, err_msg=name)
        # On TensorFlow each host logs its own examples.
        value = np.mean(found, 0)
        np.testing.assert_allclose(
            value, expected, rtol=tolerance, atol=tolerance / 10, err_msg=name
        )
    moved = [name for name in one if name.startswith("weight")]
    start = scale_out.start(kind)
    assert max(np.abs(one[name] - start[name]).max() for name in moved) > 1e-3
