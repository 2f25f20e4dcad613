"""What `archsim validate` compares that needs a workload: the published sampler, and a step on the network."""
