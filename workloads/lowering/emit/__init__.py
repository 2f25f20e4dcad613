"""What every emitter stands on: the builder of instructions, the weight stream, and the context that carries both."""
