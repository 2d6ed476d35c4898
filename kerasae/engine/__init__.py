"""One step of learning, on three engines: differentiate, average, apply.

The only home of TensorFlow, JAX and PyTorch, and of Keras's private names (`internals`).
"""
