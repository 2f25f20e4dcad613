"""From a model, a schedule and a machine to one instruction stream."""
