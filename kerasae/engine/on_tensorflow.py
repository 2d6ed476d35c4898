"""The step on TensorFlow: a tape around the loss; the optimizer adds the gradients of all replicas.

Keras leaves XLA off on a CPU. Where the step is dense algebra, XLA makes it a fifth to a third
faster, and takes a second or two to compile it: a long `fit` is compiled, a short one is not.
"""

import weakref
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

Tensor = Any
Variables = list[keras.Variable]
Function = Callable[[Any], Any]

LONG = 3000  # steps of a `fit` from which on compiling pays, the slowest compiling included

# Products of matrices, functions and sums of each number, and the bookkeeping of shapes. Not here:
# convolutions, no faster by XLA; Keras's random layers, thirty times slower; and what it cannot
# compile.
_DENSE = frozenset(
    """
    Abs AddN AddV2 All Any ArgMax ArgMin AssignAddVariableOp AssignSubVariableOp AssignVariableOp
    BatchMatMulV2 BiasAdd BiasAddGrad Bitcast BitwiseAnd BitwiseOr BitwiseXor BroadcastGradientArgs
    BroadcastTo Cast ClipByValue ConcatV2 Const Cos Cosh Cumsum DivNoNan DynamicStitch Elu EluGrad
    Equal Erf Erfinv Exp ExpandDims Expm1 Fill Floor FloorDiv FloorMod GatherV2 Greater GreaterEqual
    Identity IdentityN InvertPermutation IsFinite IsNan L2Loss LeakyRelu LeakyReluGrad LeftShift
    Less LessEqual Lgamma Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr MatMul Max Maximum
    Mean Min Minimum Mul MulNoNan Neg NoOp NotEqual OneHot OnesLike Pack Pad PadV2 Placeholder Pow
    Prod Range ReadVariableOp RealDiv Reciprocal ReciprocalGrad Relu Relu6 ReluGrad Reshape
    RightShift Round Rsqrt RsqrtGrad Select SelectV2 Selu SeluGrad Shape ShapeN Sigmoid SigmoidGrad
    Sign Sin Sinh Size Slice Softmax SoftmaxCrossEntropyWithLogits Softplus SoftplusGrad Softsign
    SparseSoftmaxCrossEntropyWithLogits Split SplitV Sqrt SqrtGrad Square SquaredDifference Squeeze
    StopGradient StridedSlice StridedSliceGrad Sub Sum Tanh TanhGrad Tile Transpose Unpack
    UnsortedSegmentSum Xdivy Xlogy ZerosLike
    """.split()
)


def differentiate(model: keras.Model, optimizer: Any, loss_fn: Any, variables: Variables) -> tuple:
    """Return what `loss_fn` returned, and the gradients of the loss."""
    values = [variable.value for variable in variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        loss, results = loss_fn()
        scaled = optimizer.scale_loss(loss)
    gradients = tape.gradient(scaled, values)
    for index, gradient in enumerate(gradients):
        # That of an embedding has a row for each use of a word: Adam would square the rows, not
        # their sum.
        if isinstance(gradient, tf.IndexedSlices):
            gradients[index] = tf.convert_to_tensor(gradient)
    return (loss, results), gradients


def apply(optimizer: Any, gradients: list[Tensor], variables: Variables) -> None:
    """Take the optimizer's step."""
    optimizer.apply(gradients, variables)


def accumulate(variable: keras.Variable, value: Tensor) -> None:
    """Add a value to a variable."""
    variable.assign_add(value)


class Step:
    """`train_step` and `test_step` as Keras calls them on TensorFlow."""

    def train_step(self, data: Any) -> dict[str, Tensor]:
        """Take a step on a batch."""
        return self.learn(*keras.utils.unpack_x_y_sample_weight(data))

    def test_step(self, data: Any) -> dict[str, Tensor]:
        """Evaluate a batch."""
        return self.judge(*keras.utils.unpack_x_y_sample_weight(data))

    def make_train_function(self, force: bool = False) -> None:
        """Make the function that `fit` calls with an iterator."""
        long = self.steps_to_come >= LONG
        if self.train_function is None or force or (long and not self._compiled_as_long):
            super().make_train_function(force=True)
            step, keras_own = self.train_step, self.train_function
            self.train_function = _of_streams(self, step, keras_own, long)
            self._compiled_as_long = long

    def make_test_function(self, force: bool = False) -> None:
        """Make the function that `evaluate` calls with an iterator."""
        if self.test_function is None or force:
            super().make_test_function(force)
            self.test_function = _of_streams(self, self.test_step, self.test_function, False)


def _of_streams(model: keras.Model, step: Function, keras_own: Function, long: bool) -> Function:
    """Return a function that takes a step on an iterator's next batch.

    Keras's own is for tf.data: it knows beforehand that a last batch may be shorter. Of arrays, as
    `streams` gives them, the first would be taken for all, and the step traced twice.
    All batches of an iterator are of one kind: `tf.function` looks it up at each, which takes it a
    tenth of a millisecond.
    """
    traced: dict[str, Function] = {}  # by the kind of a batch
    latest, compiled = None, None

    def trace(kind: Any, by_xla: bool) -> Function:
        return tf.function(step, autograph=False, jit_compile=by_xla).get_concrete_function(kind)

    def of_kind(kind: Any) -> Function:
        name = repr(kind)
        if name not in traced:
            function = trace(kind, by_xla=long or model.jit_compile)
            if long and not (model.jit_compile or _is_dense(function.graph)):
                function = trace(kind, by_xla=False)
            traced[name] = function
        return traced[name]

    def function(iterator: Any) -> dict[str, Tensor]:
        if isinstance(iterator, tf.data.Iterator | tf.distribute.DistributedIterator):
            return keras_own(iterator)
        nonlocal latest, compiled
        data = next(iterator)
        if model.run_eagerly:
            return step(data)
        if latest is None or latest() is not iterator:
            latest, compiled = weakref.ref(iterator), of_kind(keras.tree.map_structure(_any, data))
        return compiled(data)

    return function


def _is_dense(graph: tf.Graph) -> bool:
    """Return whether a step is one that XLA makes faster on a CPU."""

    def philox(operation: tf.Operation) -> bool:
        name, inputs = operation.type, operation.inputs
        return (
            name.startswith("StatelessRandom")
            and tf.get_static_value(inputs[-1]) == tf.random.Algorithm.PHILOX.value
        )

    return all(each.type in _DENSE or philox(each) for each in graph.get_operations())


def _any(array: Any) -> Any:
    """Return what an array is, with any number of examples."""
    return None if array is None else tf.TensorSpec((None, *array.shape[1:]), array.dtype)
