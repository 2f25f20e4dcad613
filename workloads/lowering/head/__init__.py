"""What follows the last layer: the LM head, mixtures of embeddings, a policy network, the test for end tokens."""
