"""TensorFlow Datasets: builders of the embedded sets, and reading of real ones.

TensorFlow Datasets writes a set into an ``incomplete.…`` folder, which becomes the set when it is
renamed, and every record carries a CRC. So a set is there as a whole or not at all. No CRC detects
a file that is cut between two records, or a wrong number in the set's description. The equation

    bytes of a split's files = bytes of its records + 16 · number of its records

detects both, and is checked before anything is read: a record is framed by 16 bytes, its length
and two CRCs.

Importing this module registers the builders, so `tfds.load("strokes")` works too. It imports
TensorFlow, so `kerasae.datasets` imports it only if it is needed.
"""

import contextlib
import json
import re
import shutil
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from kerasae.datasets import drawn, store
from kerasae.storage import archives, files

Arrays = tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]


@dataclass(eq=False)
class Request(tfds.core.BuilderConfig):
    """A request for an embedded set; its name is a folder of the prepared set."""

    train: int = 12_000
    test: int = 2_000
    seed: int = 0
    size: int | None = None


class _DrawnBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Builder of an embedded set; a record has the features `image`, `label` and `factors`."""

    @property
    def request(self) -> Request:
        """Return the request for the set, by default one with the default numbers."""
        return self.builder_config or Request(name="default")

    def origin(self) -> dict[str, int | str | None]:
        """Return what the prepared records depend on."""
        request = self.request
        size = drawn.full_size(self.name, request.size)
        return drawn.origin(
            self.name, train=request.train, test=request.test, seed=request.seed, size=size
        )

    def _info(self) -> tfds.core.DatasetInfo:
        images, _, factors = drawn.draw(self.name, 1, split="train", seed=0, size=self.request.size)
        features = {
            "image": tfds.features.Image(shape=images.shape[1:], encoding_format="png"),
            "label": tfds.features.Tensor(shape=(), dtype=np.int64),
            "factors": {
                # As bytes: TensorFlow's own list of floats would cut float64 to float32.
                name: tfds.features.Tensor(
                    shape=values.shape[1:], dtype=values.dtype, encoding="bytes"
                )
                for name, values in factors.items()
            },
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=type(self).__doc__,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            metadata=tfds.core.MetadataDict(self.origin()),
            # Keep the order of drawing, so that both sources return equal arrays.
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        return {split: self._generate_examples(split) for split in drawn.SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict]]:
        request = self.request
        n = {"train": request.train, "test": request.test}[split]
        images, labels, factors = drawn.draw(
            self.name, n, split=split, seed=request.seed, size=request.size
        )
        for i in range(n):
            values = {name: column[i] for name, column in factors.items()}
            yield i, {"image": images[i], "label": labels[i], "factors": values}


def _version(name: str) -> tfds.core.Version:
    """Return a drawing's version as the three numbers that TensorFlow Datasets requires."""
    numbers = str(drawn.module(name).VERSION).split(".")
    return tfds.core.Version(".".join([*numbers, "0", "0"][:3]))


class Strokes(_DrawnBuilder):
    """Handwritten digits drawn from curves, with their true factors."""

    VERSION = _version("strokes")


class Shapes(_DrawnBuilder):
    """Coloured shapes, with their true factors."""

    VERSION = _version("shapes")


class Faces(_DrawnBuilder):
    """Cartoon faces, with their true factors."""

    VERSION = _version("faces")


BUILDERS = {"strokes": Strokes, "shapes": Shapes, "faces": Faces}


def folder() -> Path:
    """Return the folder in which TensorFlow Datasets prepares sets."""
    return store.folder() / "tensorflow_datasets"


def drawn_arrays(name: str, *, train: int, test: int, seed: int, size: int | None) -> list[Arrays]:
    """Prepare an embedded set and read it back.

    A set that is damaged, or was drawn by other code, is prepared again with a warning.

    Args:
        name: Name of the embedded set.
        train: Number of training images.
        test: Number of test images.
        seed: The set's seed.
        size: Side of the images, for sets that have several.

    Raises:
        OSError: If the set cannot be prepared.
    """
    size = drawn.full_size(name, size)
    title = f"train{train}-test{test}-seed{seed}{'' if size is None else f'-size{size}'}"
    request = Request(title, train=train, test=test, seed=seed, size=size)
    where = folder() / name / title / str(BUILDERS[name].VERSION)
    try:
        return _prepare_and_read(name, request, where)
    except ValueError as error:
        problem = archives.one_line(error).removesuffix(": delete it and load again")
        warnings.warn(f"{problem}; {name} is prepared again.", stacklevel=3)
        shutil.rmtree(where, ignore_errors=True)
        return _prepare_and_read(name, request, where)


def _prepare_and_read(name: str, request: Request, where: Path) -> list[Arrays]:
    try:
        builder = _prepared(where, lambda: BUILDERS[name](data_dir=folder(), config=request))
    except _NotPrepared as error:
        raise OSError(f"{name} cannot be prepared in {folder()}: {error}.") from error
    with _damage(where):
        if json.loads((where / "metadata.json").read_text(encoding="utf-8")) != builder.origin():
            raise ValueError("it was drawn by other code")
        numbers = [builder.info.splits[split].num_examples for split in drawn.SPLITS]
        if numbers != [request.train, request.test]:
            raise ValueError(f"it promises {numbers} images")
        return [_arrays(builder, split, None) for split in drawn.SPLITS]


def real_arrays(name: str, counts: dict[str, int | None], advice: str) -> list[Arrays]:
    """Read the first images of a real set; download and prepare it first if necessary.

    Args:
        name: Name of the set in TensorFlow Datasets.
        counts: Number of images by split; None for all.
        advice: Advice for the error message if the set cannot be obtained.

    Raises:
        FileNotFoundError: If the set is not prepared and cannot be downloaded.
        ValueError: If the prepared set is damaged.
    """
    builder = _real(name, advice)
    for split, n in counts.items():
        _check_number(builder, split, n, argument=split)
    with _damage(builder.data_path):
        return [_arrays(builder, split, n) for split, n in counts.items()]


def real_batches(
    name: str,
    batch_size: int,
    *,
    split: str,
    n: int | None,
    seed: int | None,
    labels: bool,
    advice: str,
) -> tf.data.Dataset:
    """Return a real set as batches; download and prepare it first if necessary.

    Args:
        name: Name of the set in TensorFlow Datasets.
        batch_size: Number of images in a batch.
        split: Either "train" or "test".
        n: Number of images; None for all.
        seed: Seed of the shuffling; None keeps the order.
        labels: If True, a batch is (x, y) instead of x.
        advice: Advice for the error message if the set cannot be obtained.
    """
    builder = _real(name, advice)
    _check_number(builder, split, n, argument="n")

    def example(record: dict[str, tf.Tensor]) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        x = tf.cast(record["image"], tf.float32) / 255.0
        return (x, tf.cast(record["label"], tf.int64)) if labels else x

    records = _records(builder, split, n)
    if seed is not None:
        records = records.shuffle(10_000, seed=seed, reshuffle_each_iteration=True)
    return records.map(example, tf.data.AUTOTUNE).batch(batch_size).prefetch(tf.data.AUTOTUNE)


class _NotPrepared(Exception):
    """A set is not prepared and cannot be, for the given reason."""


def _real(name: str, advice: str) -> tfds.core.DatasetBuilder:
    """Return the builder of a real set, prepared."""
    try:
        return _prepared(folder() / name, lambda: tfds.builder(name, data_dir=folder()))
    except _NotPrepared as error:
        sentence = f"{name} is not here and cannot be downloaded ({error}): go online, or {advice}."
        raise FileNotFoundError(sentence) from error


def _prepared(
    where: Path, make: Callable[[], tfds.core.DatasetBuilder]
) -> tfds.core.DatasetBuilder:
    """Make the builder of the set in `where`, and prepare the set unless it is there."""
    if keras.config.backend() != "tensorflow":
        # TensorFlow only reads here: the accelerator's memory belongs to the other backend.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    with _damage(where):
        builder = make()
    if not builder.data_path.exists():
        _sweep(Path(builder.data_path).parent)
        try:
            _reach(builder)
            builder.download_and_prepare()
        except Exception as error:  # no network, space or permission: all become one sentence
            # Another process may have been faster, and then the folder cannot be renamed.
            if not builder.data_path.exists():
                raise _NotPrepared(archives.one_line(error)) from error
            builder = make()
    with _damage(Path(builder.data_path)):
        _check_bytes(builder)
    return builder


def _reach(builder: tfds.core.DatasetBuilder) -> None:
    """Raise at once if a set's first address cannot be reached.

    TensorFlow Datasets tries for minutes before it says the same.
    """
    addresses = list(builder.url_infos or ())
    if addresses:
        request = urllib.request.Request(addresses[0], method="HEAD")
        # An answer of any kind, even a refusal, shows that the host is there.
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=10).close()


@contextlib.contextmanager
def _damage(where: Path) -> Iterator[None]:
    """Turn any error that a damaged set raises into one sentence that says what to delete."""
    try:
        yield
    except Exception as error:
        # TensorFlow puts the name of its own node, in braces, before the sentence.
        reason = re.sub(r"{{.*?}} *", "", archives.one_line(error))
        raise ValueError(f"{where} is damaged ({reason}): delete it and load again.") from error


def _check_bytes(builder: tfds.core.DatasetBuilder) -> None:
    """Check that a prepared set's files are as long as its description says."""
    for split in builder.info.splits.values():
        if builder.info.file_format == tfds.core.FileFormat.TFRECORD:
            size = sum(Path(path).stat().st_size for path in split.filepaths)
            promised = int(split.num_bytes) + 16 * split.num_examples
            if size != promised:
                raise ValueError(f"{size} of {promised} bytes in {split.name}")


def _check_number(
    builder: tfds.core.DatasetBuilder, split: str, n: int | None, argument: str
) -> None:
    """Check that a prepared set has as many images as asked for."""
    count = builder.info.splits[split].num_examples
    if n is not None and n > count:
        raise ValueError(f"`{argument}` is {n}, expected at most {count} for {builder.name}.")


def _records(builder: tfds.core.DatasetBuilder, split: str, n: int | None) -> tf.data.Dataset:
    """Return a split's first records in order, for any number of files."""
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    part = split if n is None else f"{split}[:{n}]"
    return builder.as_dataset(split=part, shuffle_files=False, read_config=config)


def _arrays(builder: tfds.core.DatasetBuilder, split: str, n: int | None) -> Arrays:
    """Read a split's first images, labels and factors."""

    def flat(record: dict) -> dict:
        return {"image": record["image"], "label": record["label"]} | {
            f"factor.{name}": values for name, values in record.get("factors", {}).items()
        }

    batches = list(tfds.as_numpy(_records(builder, split, n).map(flat).batch(1000)))
    columns = {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}
    images, labels = columns.pop("image"), columns.pop("label")
    return images, labels, {key.removeprefix("factor."): v for key, v in columns.items()}


def _sweep(where: Path) -> None:
    """Delete unfinished folders that interrupted processes left long ago."""
    for part in (*where.glob("incomplete.*"), *folder().glob("downloads/*/*.tmp.*")):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > files.ABANDONED:
                shutil.rmtree(part)
